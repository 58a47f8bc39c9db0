"""Data files for `dvc plots show` and `dvc plots diff`: JSON lists of points, one file per plot and model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages.common import json_file
from stages.evaluation.learning_curve import Curve
from stages.evaluation.rounded_json import write_json
from stages.tasks import Task

MODELS = ("head", "finetuned", "baseline")  # dvc.yaml names the files of all three; those of an absent model are empty
PLOTS = ("confusion", "roc", "pr", "per_class", "reliability", "slices", "slices_errors", "scatter")
CURVES = ("backbone", "baseline", "backbone_errors", "baseline_errors")

Points = list[dict[str, Any]]

# `dvc plots show` puts the parsed points into a script of its page, so that escapes of JSON are gone by then: the label
# `</script><script>…` would run. Only another character helps, and only `<` needs one.
LESS_THAN = str.maketrans("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")


def from_model(truth: np.ndarray, outputs: np.ndarray, task: Task, spread: float = 1) -> dict[str, Points]:
    """Compute confusion, ROC, precision-recall, per-class metrics and reliability of one model; a scatter of numbers.

    Args:
        truth: (rows, …) targets of the task.
        outputs: (rows, …) of the task.
        spread: of accuracies, as in scores/intervals.py.
    """
    if not task.has_classes:
        pairs = zip(truth.tolist(), task.predicted(outputs).to_pylist(), strict=True)
        return {"scatter": [{"actual": actual, "predicted": predicted} for actual, predicted in pairs]}
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


def from_curve(curve: Curve, metric: str) -> Points:
    """List labels per class, of numbers all labels, and the mean, lowest and highest metric of the draws."""
    return [
        {
            "labels_per_class": point.per_class,
            metric: point.value,
            "lowest": min(point.values),
            "highest": max(point.values),
        }
        for point in curve.points
    ]


def write(
    folder: Path, models: Mapping[str, Mapping[str, Points]], curves: Mapping[str, Points], *, metric: str
) -> None:
    """Write `folder`/MODEL/PLOT.json for every model and plot, and `folder`/learning_curve/NAME.json.

    dvc.yaml names one metric for a file, so slices and curves of errors have files of their own.

    Args:
        metric: of slices and curves: the accuracy, or an error.
    """
    ending = "" if metric == "accuracy" else "_errors"
    for name in MODELS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        plots = {f"{plot}{ending}" if plot == "slices" else plot: part for plot, part in models.get(name, {}).items()}
        for plot in PLOTS:
            points = without_markup(plots.get(plot, []))
            # The numbers of a scatter have any size, so that a number of decimals may be too few.
            (json_file.write if plot == "scatter" else write_json)(folder / name / f"{plot}.json", points)
    (folder / "learning_curve").mkdir()
    named = {f"{name}{ending}": points for name, points in curves.items()}
    for name in CURVES:
        write_json(folder / "learning_curve" / f"{name}.json", named.get(name, []))


def without_markup(points: Points) -> Points:
    """Replace `<` in the names of labels and slices."""
    return [
        {key: value.translate(LESS_THAN) if isinstance(value, str) else value for key, value in point.items()}
        for point in points
    ]
