"""prepare.unknown: rows of no class are not learned, decide from where rows are accepted, and are reported apart."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.common.predict_params import PredictParams
from stages.heads import certainty_file, model_card
from stages.tables import features, prepared
from tests.projects import QUICK, Done, contents, make_project, run_stages, set_params, stage

UNKNOWN = "garden"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every stage ran; one of its eight classes is unknown. Not to be changed."""
    project = make_project(tmp_path_factory.mktemp("unknown") / "project")
    set_params(project, **QUICK, prepare__unknown=UNKNOWN, predict__target_accuracy=0.45)
    return run_stages(project, "prepare", "extract", "train_head", "finetune")


@pytest.fixture(scope="module")
def evaluated(project: Path) -> Done:
    return stage(project, "evaluate")


@pytest.fixture(scope="module")
def details(project: Path, evaluated: Done) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
    return content


def unknown_rows(project: Path, split: str) -> features.Features:
    rows = features.read_unknown(project / "data/features", split)
    assert rows is not None
    return rows


def test_an_unknown_class_is_learned_by_no_head(project: Path) -> None:
    assert UNKNOWN not in model_card.read_head(project / "data/head").labels
    for split in prepared.SPLITS:
        labels = prepared.identities(project / "data/prepared", split)["label"].to_pylist()
        assert UNKNOWN not in labels and {*unknown_rows(project, split).labels} == {UNKNOWN}


def test_prepare_counts_unknown_rows_apart(project: Path) -> None:
    summary = json.loads((project / "data/prepared/summary.json").read_text("utf-8"))
    assert summary["unknown"] == {split: len(unknown_rows(project, split).ids) for split in prepared.SPLITS}
    assert sum(summary["unknown"].values()) == 100 and sum(summary["kept"].values()) == 700
    assert UNKNOWN not in summary["classes"]


def test_the_threshold_meets_its_target_with_unknown_rows_as_wrong_ones(project: Path) -> None:
    held_out = certainty_file.read(project / "data/head").held_out
    assert held_out is not None and held_out.unknown is not None and held_out.source == "out-of-fold"
    assert len(held_out.unknown) == len(unknown_rows(project, "train").ids)
    settings = PredictParams(target_accuracy=0.45)
    limit = held_out.limits(settings).confidence
    assert limit > held_out._replace(unknown=None).limits(settings).confidence
    accepted = held_out.confidence >= limit
    wrong = (held_out.unknown >= limit).sum()
    assert held_out.is_right[accepted].sum() / (accepted.sum() + wrong) >= 0.45
    assert held_out.limits(settings).probability == held_out._replace(unknown=None).limits(settings).probability


def test_evaluate_reports_recall_and_precision_of_none_of_these(project: Path, details: dict[str, Any]) -> None:
    rows = [
        *prepared.read(project / "data/prepared", "test").to_pylist(),
        *prepared.read(project / "data/prepared", prepared.unknown("test")).to_pylist(),
    ]
    with (project / "new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([row["text"]] for row in rows)])
    stage(project, "predict", "data/head", "new.csv", "out.csv")
    with (project / "out.csv").open(newline="", encoding="utf-8") as file:
        predicted = list(csv.DictReader(file))
    is_unknown = np.array([row["label"] == UNKNOWN for row in rows])
    accepted = np.array([row["accepted"].lower() == "true" for row in predicted])
    right = [row["predicted"] == other["label"] for row, other in zip(predicted, rows, strict=True)]
    values, ends = details["head_unknown"], details["head_unknown_ci95"]
    assert values["recall"] == pytest.approx((~accepted)[is_unknown].mean(), abs=1e-4)
    assert values["precision"] == pytest.approx(is_unknown[~accepted].mean(), abs=1e-4)
    assert values["accepted_accuracy"] == pytest.approx(np.array(right)[accepted].mean(), abs=1e-4)
    assert 0 < values["recall"] < 1 and ends["recall"]["low"] < values["recall"] < ends["recall"]["high"]


def test_other_metrics_are_of_known_rows(project: Path, details: dict[str, Any]) -> None:
    assert details["test_rows"] == len(prepared.identities(project / "data/prepared", "test"))
    assert details["classes"] == 7


def test_verdict_and_report_tell_of_unknown_rows(project: Path, evaluated: Done, details: dict[str, Any]) -> None:
    assert f"none of these: {details['head_unknown']['recall']:.3f} (" in evaluated.stdout
    assert "of the class prepare.unknown are not accepted" in (project / "data/evaluation/report.html").read_text(
        "utf-8"
    )


def test_without_an_unknown_class_there_is_no_such_table(finished: Path) -> None:
    assert not [name for name in contents(finished / "data") if "/unknown/" in name]
    assert b"unknown" not in (finished / "data/head/certainty.safetensors").read_bytes()[:1000]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prepare__unknown": "gardn"}, "has no row of that class; did you mean garden?"),
        ({"prepare__unknown": UNKNOWN, "prepare__test": 0.0}, "whose rows are judged as test rows, but prepare.test"),
        ({"prepare__unknown": UNKNOWN, "prepare__task": "ordinal"}, "which is for the task single; correct one"),
    ],
)
def test_an_unknown_class_that_cannot_be_judged_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    made = make_project(tmp_path / "project")
    set_params(made, **settings)
    done = stage(made, "prepare", check=False)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.slow
def test_a_fine_tuned_model_has_a_threshold_of_its_own(tmp_path: Path, tiny_encoder: Path) -> None:
    made = make_project(tmp_path / "project")
    set_params(
        made,
        prepare__unknown=UNKNOWN,
        backbone__name=str(tiny_encoder),
        backbone__revision=None,
        finetune__method="full",
        finetune__epochs=1,
        evaluate__learning_curve=[],
        evaluate__bootstrap=50,
        evaluate__explain=0,
    )
    run_stages(made)
    held_out = certainty_file.read(made / "data/finetuned").held_out
    assert held_out is not None and held_out.unknown is not None
    assert len(held_out.unknown) == len(unknown_rows(made, "validation").ids)
    content = json.loads((made / "data/evaluation/details.json").read_text("utf-8"))
    assert content["finetuned_unknown"].keys() >= {"recall", "unfamiliar"}
