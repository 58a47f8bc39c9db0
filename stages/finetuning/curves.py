"""The curves of a training run, logged by dvclive as what `dvc plots show` draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dvclive.live import Live

FOLDER = "training"  # of a fine-tuned model
NAMES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "accuracy": "validation/accuracy",
    "log_loss": "validation/log_loss",
}


def write(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write one file for each metric of `Progress.history`, one row for each epoch.

    At the end, from the whole history: a run that was killed and went on has the same curves as another.
    """
    with Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live:
        for entry in history:
            live.step = int(entry["epoch"])
            for key, name in NAMES.items():
                if key in entry:
                    live.log_metric(name, entry[key])
