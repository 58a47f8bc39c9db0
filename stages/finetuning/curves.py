"""The curves of a training run, as files in the format of dvclive, which `dvc plots show` and DVC's extension draw.

Not written by dvclive: it looks into the Git repository around, and fails in one without a commit, after the training.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = "training"  # in the folder of a fine-tuned model
NAMES = {
    "loss": ("train", "loss"),
    "learning_rate": ("train", "learning_rate"),
    "accuracy": ("validation", "accuracy"),
    "log_loss": ("validation", "log_loss"),
    "mean_absolute_error": ("validation", "mean_absolute_error"),
    "root_mean_squared_error": ("validation", "root_mean_squared_error"),
}


def write(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write a file for each metric of `Progress.history` with a row for each epoch, and the last values as JSON.

    Call it after training: so a resumed run has the same curves as one that was never killed.
    """
    last: dict[str, Any] = {}
    for key, (part, name) in NAMES.items():
        points = [(int(entry["epoch"]), entry[key]) for entry in history if key in entry]
        if not points:
            continue
        path = folder / "plots" / "metrics" / part / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([("step", name), *points])
        last.setdefault(part, {})[name] = points[-1][1]
    text = json.dumps({**last, "step": len(history)}, indent=4)
    (folder / "metrics.json").write_text(f"{text}\n", encoding="utf-8", newline="\n")
