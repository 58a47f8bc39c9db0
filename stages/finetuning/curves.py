"""The curves of a training run, as dvclive logs that `dvc plots show` draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dvclive.live import Live

FOLDER = "training"  # in the folder of a fine-tuned model
NAMES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "accuracy": "validation/accuracy",
    "log_loss": "validation/log_loss",
}


def write(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write one file for each metric of `Progress.history`, with one row for each epoch.

    Call it after training: so a resumed run has the same curves as one that was never killed.
    """
    with Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live:
        for entry in history:
            live.step = int(entry["epoch"])
            for key, name in NAMES.items():
                if key in entry:
                    live.log_metric(name, entry[key])
