"""Data files for `dvc plots show` and `dvc plots diff`: JSON lists of points, one file per plot and model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages.evaluation.learning_curve import Curve
from stages.evaluation.rounded_json import write_json
from stages.tasks import Task

MODELS = ("head", "finetuned", "baseline")  # dvc.yaml names the files of all three; those of an absent model are empty
PLOTS = ("confusion", "roc", "pr", "per_class", "reliability", "slices")

Points = list[dict[str, Any]]

# `dvc plots show` puts the parsed points into a script of its page, so that escapes of JSON are gone by then: the label
# `</script><script>…` would run. Only another character helps, and only `<` needs one.
LESS_THAN = str.maketrans("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")


def from_model(truth: np.ndarray, outputs: np.ndarray, task: Task, spread: float = 1) -> dict[str, Points]:
    """Compute confusion, ROC, precision-recall, per-class metrics and reliability of one model.

    Args:
        truth: (rows, …) targets of the task.
        outputs: (rows, …) of the task.
        spread: of accuracies, as in scores/intervals.py.
    """
    roc, pr = task.curves(truth, outputs)
    return {
        "confusion": [
            {"actual": task.labels[actual], "predicted": task.labels[predicted]}
            for actual, predicted in task.pairs(truth, outputs)
        ],
        "roc": roc,
        "pr": pr,
        "per_class": task.per_label(truth, outputs),
        "reliability": task.reliability(truth, outputs, spread),
    }


def from_curve(curve: Curve) -> Points:
    """List labels per class, and the mean, lowest and highest accuracy of the draws."""
    return [
        {
            "labels_per_class": point.per_class,
            "accuracy": point.accuracy,
            "lowest": min(point.accuracies),
            "highest": max(point.accuracies),
        }
        for point in curve.points
    ]


def write(folder: Path, models: Mapping[str, Mapping[str, Points]], curves: Mapping[str, Points]) -> None:
    """Write `folder`/MODEL/PLOT.json for every model and plot, and `folder`/learning_curve/NAME.json."""
    for name in MODELS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for plot in PLOTS:
            write_json(folder / name / f"{plot}.json", without_markup(models.get(name, {}).get(plot, [])))
    (folder / "learning_curve").mkdir()
    for name, points in curves.items():
        write_json(folder / "learning_curve" / f"{name}.json", points)


def without_markup(points: Points) -> Points:
    """Replace `<` in the names of labels and slices."""
    return [
        {key: value.translate(LESS_THAN) if isinstance(value, str) else value for key, value in point.items()}
        for point in points
    ]
