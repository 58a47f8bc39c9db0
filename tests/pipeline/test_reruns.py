"""What a change reruns."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.projects import STAGES as FOLDERS
from tests.projects import make_project, ran, run, set_params

STAGES = list(FOLDERS)

RERUNS: list[tuple[dict[str, Any], list[str]]] = [
    ({"prepare__seed": 1}, STAGES),
    ({"backbone__name": "char_wb"}, STAGES[1:]),
    ({"extract__normalize": False}, STAGES[1:]),
    ({"budget__per_class": 10}, STAGES[2:]),
    ({"train_head__kind": "ridge"}, STAGES[2:]),
    # The stage says what it did not do in the same words, so evaluate is skipped.
    ({"finetune__epochs": 7}, ["finetune"]),
    ({"evaluate__seed": 1}, ["evaluate"]),
    ({"runtime__device": "cpu"}, []),
    ({"prepare__max_rejected": 0.02}, ["prepare"]),
]


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on TF-IDF, where stages take a second."""
    project = make_project(tmp_path_factory.mktemp("light") / "project")
    set_params(project, backbone__family="tfidf", backbone__name="word", train_head__C=[1, 10])
    assert ran(run(project, "dvc", "repro")) == STAGES
    return project


@pytest.mark.parametrize(("change", "stages"), RERUNS, ids=lambda value: str(value)[:30])
def test_a_change_reruns_only_what_it_affects(light: Path, change: dict[str, Any], stages: list[str]) -> None:
    before = (light / "params.yaml").read_text("utf-8")
    lock = (light / "dvc.lock").read_text("utf-8")
    set_params(light, **change)
    status = json.loads(run(light, "dvc", "status", "--json").stdout)
    section = next(iter(change)).split("__")[0]
    directly = {stage for stage, reasons in status.items() if section in json.dumps(reasons)}
    users = {"backbone": {"extract"}, "extract": {"extract"}, "budget": set(STAGES[2:]), "runtime": set()}
    assert set(status) == directly == users.get(section, {section})
    assert ran(run(light, "dvc", "repro")) == stages
    (light / "params.yaml").write_text(before, "utf-8")
    back = run(light, "dvc", "repro")
    assert ran(back) == [], "switched back: restored from the run cache"
    assert (light / "dvc.lock").read_text("utf-8") == lock


def test_a_change_of_fine_tuning_reruns_it_and_evaluate(tmp_path: Path, tiny_encoder: Path) -> None:
    project = make_project(tmp_path / "project")
    set_params(
        project,
        backbone__name=str(tiny_encoder),
        backbone__revision=None,
        extract__max_length=8,
        finetune__method="full",
        finetune__epochs=1,
    )
    assert ran(run(project, "dvc", "repro")) == STAGES
    set_params(project, finetune__seed=1)
    assert ran(run(project, "dvc", "repro")) == ["finetune", "evaluate"]
    assert "finetuned" in json.loads((project / "data/evaluation/metrics.json").read_text("utf-8"))
    # Without fine-tuning there are no plots of it, and no intervals without a bootstrap: DVC still draws what there is.
    set_params(project, finetune__method="none", evaluate__bootstrap=0)
    run(project, "dvc", "repro")
    report = json.loads((project / "data/evaluation/metrics.json").read_text("utf-8"))
    assert "finetuned" not in report and not [name for name in report if name.endswith("_ci95")]
    assert not json.loads(run(project, "dvc", "plots", "show", "--json").stdout).get("errors")
