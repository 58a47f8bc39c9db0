"""The curves of a run: the files that dvclive would write, wherever it runs."""

import json
from pathlib import Path

from stages.finetuning import curves

HISTORY = [
    {"epoch": 1, "loss": 1 / 3, "learning_rate": 1e-5, "accuracy": 0.5, "log_loss": 0.7},
    {"epoch": 2, "loss": 0.25, "learning_rate": 0.0, "accuracy": 0.75, "log_loss": 0.5},
]


def test_every_metric_has_a_file_with_a_row_for_each_epoch(tmp_path: Path) -> None:
    curves.write(tmp_path, HISTORY)
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.tsv")}
    assert files == {
        "plots/metrics/train/loss.tsv": b"step\tloss\n1\t0.3333333333333333\n2\t0.25\n",
        "plots/metrics/train/learning_rate.tsv": b"step\tlearning_rate\n1\t1e-05\n2\t0.0\n",
        "plots/metrics/validation/accuracy.tsv": b"step\taccuracy\n1\t0.5\n2\t0.75\n",
        "plots/metrics/validation/log_loss.tsv": b"step\tlog_loss\n1\t0.7\n2\t0.5\n",
    }
    assert json.loads((tmp_path / "metrics.json").read_text("utf-8")) == {
        "train": {"loss": 0.25, "learning_rate": 0.0},
        "validation": {"accuracy": 0.75, "log_loss": 0.5},
        "step": 2,
    }


def test_a_run_without_validation_rows_has_no_file_for_them(tmp_path: Path) -> None:
    curves.write(tmp_path, [{"epoch": 1, "loss": 0.5, "learning_rate": 0.0}])
    assert not (tmp_path / "plots/metrics/validation").exists()
    assert "validation" not in json.loads((tmp_path / "metrics.json").read_text("utf-8"))
