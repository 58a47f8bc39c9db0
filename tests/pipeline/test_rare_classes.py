"""The stages on classes of few rows, down to one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.projects import TFIDF, run_stages, set_params


def write(project: Path, sizes: dict[str, int]) -> None:
    lines = [f"{label} word{n % 7} number {n},{label}" for label, size in sizes.items() for n in range(size)]
    (project / "data/reviews.csv").write_text("text,category\n" + "\n".join(lines) + "\n", "utf-8")


def test_classes_of_one_to_five_rows_go_through_all_stages(project: Path, verb: Callable[..., Any]) -> None:
    write(project, {"alone": 1, "pair": 2, "triple": 3, "five": 5, "many": 30, "more": 30})
    set_params(project, **TFIDF, evaluate__learning_curve=[2, 5], evaluate__bootstrap=20, prepare__max_rejected=0.0)
    run_stages(project, "prepare", "extract")
    printed = verb("train_head").stdout
    assert "C was chosen without classes of one training row, which cannot be in two folds: alone, pair\n" in printed
    run_stages(project, "finetune")
    printed = verb("evaluate").stdout
    assert "; 1 of 6 classes has no test row, so nothing tells how well it is recognised: alone\n" in printed
    test = pq.read_table(project / "data/prepared/test")["label"].to_pylist()
    assert set(test) == {"pair", "triple", "five", "many", "more"}
    (project / "new.csv").write_text("text\nalone word0 number 0\n", "utf-8")
    verb("predict", "data/head", "new.csv", "out.parquet")
    assert pq.read_table(project / "out.parquet").column_names[-1] == "rejected"


def test_one_training_row_per_class_needs_no_cross_validation(project: Path, verb: Callable[..., Any]) -> None:
    write(project, {"a": 2, "b": 2, "c": 2})
    set_params(project, **TFIDF, evaluate__learning_curve=[1], evaluate__bootstrap=20, prepare__validation=0)
    run_stages(project, "prepare", "extract")
    assert (
        "C is 10 without a cross-validation, which needs two classes of two training rows\n"
        in verb("train_head").stdout
    )
    run_stages(project, "finetune", "evaluate")
    card = json.loads((project / "data/head/model.json").read_text("utf-8"))
    assert card["training"]["per_class"] == {"a": 1, "b": 1, "c": 1}
