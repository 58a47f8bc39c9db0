"""What a change reruns."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from stages.tables.labels_file import NewLabel, append
from stages.tables.prepared import content_id
from tests.conftest import copy
from tests.dvc_here import dvc
from tests.projects import STAGES as FOLDERS
from tests.projects import keep_rows, make_project, ran, run, set_params

STAGES = list(FOLDERS)

RERUNS: list[tuple[dict[str, Any], list[str]]] = [
    ({"prepare__seed": 1}, STAGES),
    ({"backbone__name": "char_wb"}, STAGES[1:]),
    ({"extract__normalize": False}, STAGES[1:]),
    ({"extract__unlabelled": False}, ["extract"]),
    ({"budget__per_class": 10}, STAGES[2:]),
    ({"train_head__kind": "ridge"}, STAGES[2:]),
    # Without unlabelled rows train_head gets none, so the head has the same bytes.
    ({"train_head__unlabelled": "propagate"}, ["extract", "train_head", "evaluate"]),
    # The stage says what it did not do in the same words, so evaluate is skipped.
    ({"finetune__epochs": 7}, ["finetune"]),
    # Without unlabelled rows finetune gets none, so prepare and extract write the same bytes.
    ({"finetune__unlabelled": "pseudo"}, ["prepare", "extract", "finetune"]),
    ({"evaluate__seed": 1}, ["evaluate"]),
    ({"predict__coverage": 0.8}, ["evaluate"]),
    ({"runtime__device": "cpu"}, []),
    ({"prepare__max_rejected": 0.02}, ["prepare"]),
]
QUICK = ("train_head__kind", "finetune__epochs", "runtime__device")


def key(change: dict[str, Any]) -> str:
    return next(iter(change))


@pytest.fixture(scope="module")
def light(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on TF-IDF, where stages take a second."""
    return copy(reproduced, tmp_path_factory.mktemp("reruns") / "project")


@pytest.fixture
def lock(light: Path) -> Iterator[str]:
    """dvc.lock before a test changes params.yaml, which is as it was afterwards."""
    before = (light / "params.yaml").read_text("utf-8")
    yield (light / "dvc.lock").read_text("utf-8")
    (light / "params.yaml").write_text(before, "utf-8")


@pytest.mark.parametrize("change", [change for change, _ in RERUNS], ids=key)
@pytest.mark.usefixtures("lock")
def test_a_change_is_seen_by_the_stages_that_use_its_section(
    light: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(light)
    set_params(light, **change)
    with Repo() as repo:
        status = repo.status()
    section = key(change).split("__")[0]
    directly = {stage for stage, reasons in status.items() if section in json.dumps(reasons)}
    users = {
        "budget": set(STAGES[2:]),
        "train_head": {"train_head", "evaluate"},
        "runtime": set(),
        "predict": {"evaluate"},
    }
    users |= {section: {"extract"} for section in ("backbone", "extract")}
    users |= {"train_head__unlabelled": {"extract", *users["train_head"]}}
    users |= {"finetune__unlabelled": {"prepare", "extract", "finetune"}}
    assert set(status) == directly == users.get(key(change), users.get(section, {section}))


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        pytest.param(change, stages, id=key(change), marks=[] if key(change) in QUICK else pytest.mark.slow)
        for change, stages in RERUNS
    ],
)
def test_a_change_reruns_only_what_it_affects(
    light: Path, lock: str, change: dict[str, Any], stages: list[str]
) -> None:
    before = (light / "params.yaml").read_text("utf-8")
    set_params(light, **change)
    assert ran(dvc(light, "repro")) == stages
    (light / "params.yaml").write_text(before, "utf-8")
    assert ran(dvc(light, "repro")) == [], "switched back: restored from the run cache"
    assert (light / "dvc.lock").read_text("utf-8") == lock


@pytest.mark.usefixtures("lock")
def test_a_new_label_is_seen_by_prepare_alone(light: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(light)
    path = light / "data/labels.csv"
    before = path.read_bytes()
    append(path, [NewLabel(content_id("no row"), "no row", "books")])
    with Repo() as repo:
        assert repo.status() == {"prepare": [{"changed deps": {"data/labels.csv": "modified"}}]}
    path.write_bytes(before)


@pytest.mark.slow
def test_a_label_reruns_all_stages_and_taking_it_back_prepare_alone(finished: Path) -> None:
    with (finished / "data/reviews.csv").open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(f"a headphone number {number} that I know little of,,\n" for number in range(20))
    dvc(finished, "repro")
    row_id = content_id("a headphone number 7 that I know little of")
    append(finished / "data/labels.csv", [NewLabel(row_id, "", "headphones", "train")])
    done = dvc(finished, "repro")
    assert ran(done) == STAGES and "494 train, 139 validation, 168 test, 19 unlabelled; 0 left out" in done.stdout
    append(finished / "data/labels.csv", [NewLabel(row_id, "", "")])
    done = dvc(finished, "repro")
    assert ran(done) == ["prepare"] and "20 unlabelled; 0 left out" in done.stdout


@pytest.mark.slow
def test_more_unlabelled_rows_rerun_prepare_and_extract_alone(finished: Path) -> None:
    with (finished / "data/reviews.csv").open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(f"a headphone number {number} that I know little of,,\n" for number in range(20))
    done = dvc(finished, "repro")
    assert ran(done) == ["prepare", "extract"] and "20 unlabelled; 0 left out" in done.stdout
    assert len(list((finished / "data/features/unlabelled").iterdir())) == 1


@pytest.mark.slow
def test_a_change_of_fine_tuning_reruns_it_and_evaluate(tmp_path: Path, tiny_encoder: Path) -> None:
    project = make_project(tmp_path / "project")
    keep_rows(project, 200)
    set_params(
        project,
        backbone__name=str(tiny_encoder),
        backbone__revision=None,
        extract__max_length=8,
        finetune__method="full",
        finetune__epochs=1,
        evaluate__bootstrap=50,
    )
    assert ran(dvc(project, "repro")) == STAGES
    set_params(project, finetune__seed=1)
    assert ran(dvc(project, "repro")) == ["finetune", "evaluate"]
    assert "finetuned" in json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
    # Without fine-tuning there are no plots of it, and no intervals without a bootstrap: DVC still draws what there is.
    set_params(project, finetune__method="none", evaluate__bootstrap=0)
    dvc(project, "repro")
    report = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
    assert "finetuned" not in report and not [name for name in report if name.endswith("_ci95")]
    assert not json.loads(run(project, "dvc", "plots", "show", "--json").stdout).get("errors")
