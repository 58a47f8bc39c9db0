"""The pipeline under DVC: the default run on real MiniLM, what a change reruns, and the founding example."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import make_project, run, set_params

STAGES = ["prepare", "extract", "train_head", "finetune", "evaluate"]


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", done.stdout)


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` ran once as it is shipped, on the real MiniLM."""
    project = make_project(tmp_path_factory.mktemp("default") / "a project")
    start = time.perf_counter()
    done = run(project, "dvc", "repro")
    seconds = time.perf_counter() - start
    assert ran(done) == STAGES
    assert seconds < 90, "a whole run on two cores"
    return project


@pytest.fixture
def restored(default_run: Path) -> Iterator[Path]:
    """The default run; what a test changes in params.yaml is undone and checked out again."""
    before = (default_run / "params.yaml").read_text(), (default_run / "dvc.lock").read_text()
    yield default_run
    (default_run / "params.yaml").write_text(before[0])
    (default_run / "dvc.lock").write_text(before[1])
    run(default_run, "dvc", "checkout", "--force")
    run(default_run, "dvc", "repro")


def test_the_default_run_makes_a_real_classifier(default_run: Path) -> None:
    report = json.loads((default_run / "data/evaluation/metrics.json").read_text())
    assert report["test_rows"] == 168 and report["classes"] == 8
    assert report["head"]["accuracy"] > 0.75
    table = pq.read_table(default_run / "data/evaluation/predictions.parquet")
    assert table.num_rows == 2 * 168 and "p_headphones" in table.column_names
    assert not list((default_run / "data").glob(".*")), "no temporary names are left"
    status = run(default_run, "git", "status", "--short").stdout.split("\n")
    assert {line[3:] for line in status if line} == {"dvc.lock", "data/evaluation/"}


@pytest.mark.alone
def test_nothing_to_do_takes_under_two_seconds(default_run: Path) -> None:
    start = time.perf_counter()
    assert ran(run(default_run, "dvc", "repro")) == []
    assert time.perf_counter() - start < 2


@pytest.mark.alone
def test_a_head_change_takes_under_six_seconds(restored: Path) -> None:
    seconds = []
    for C in [0.5, 5, 50], [0.2, 2, 20], [0.3, 3, 30]:  # the best of three: a busy machine is not a slow stage
        set_params(restored, train_head__C=C)
        start = time.perf_counter()
        done = run(restored, "dvc", "repro")
        seconds.append(time.perf_counter() - start)
        assert ran(done) == ["train_head", "finetune", "evaluate"]
    assert min(seconds) < 6


def test_forcing_a_run_leaves_dvc_lock_as_it_is(restored: Path) -> None:
    before = (restored / "dvc.lock").read_bytes()
    for row_cache in (False, True):
        set_params(restored, runtime__row_cache=row_cache)
        done = run(restored, "dvc", "repro", "--force")
        assert ran(done) == STAGES
        assert ("800 rows (800 from the cache)" in done.stdout) == row_cache
        assert (restored / "dvc.lock").read_bytes() == before


def test_dvc_draws_the_plots_and_shows_the_metrics(default_run: Path) -> None:
    plots = json.loads(run(default_run, "dvc", "plots", "show", "--json").stdout)
    assert len(plots["data"]) == 11 and not plots.get("errors")
    assert "head.accuracy" in run(default_run, "dvc", "metrics", "show").stdout


def test_a_failed_stage_loses_nothing(restored: Path) -> None:
    before = (restored / "data/head/head.skops").read_bytes()
    (restored / "params.yaml").write_text((restored / "params.yaml").read_text().replace("kind: log", "kind: lag"))
    done = run(restored, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: train_head.kind is 'lagistic', but must be one of 'logistic'" in done.stderr
    run(restored, "dvc", "checkout", "--force")
    assert (restored / "data/head/head.skops").read_bytes() == before


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
    before = (light / "params.yaml").read_text()
    lock = (light / "dvc.lock").read_text()
    set_params(light, **change)
    status = json.loads(run(light, "dvc", "status", "--json").stdout)
    section = next(iter(change)).split("__")[0]
    directly = {stage for stage, reasons in status.items() if section in json.dumps(reasons)}
    users = {"backbone": {"extract"}, "extract": {"extract"}, "budget": set(STAGES[2:]), "runtime": set()}
    assert set(status) == directly == users.get(section, {section})
    assert ran(run(light, "dvc", "repro")) == stages
    (light / "params.yaml").write_text(before)
    back = run(light, "dvc", "repro")
    assert ran(back) == [], "switched back: restored from the run cache"
    assert (light / "dvc.lock").read_text() == lock


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
    assert "finetuned" in json.loads((project / "data/evaluation/metrics.json").read_text())
    # Without fine-tuning there are no plots of it, and no intervals without a bootstrap: DVC still draws what there is.
    set_params(project, finetune__method="none", evaluate__bootstrap=0)
    run(project, "dvc", "repro")
    report = json.loads((project / "data/evaluation/metrics.json").read_text())
    assert "finetuned" not in report and not [name for name in report if name.endswith("_ci95")]
    assert not json.loads(run(project, "dvc", "plots", "show", "--json").stdout).get("errors")


def test_the_founding_example(tmp_path: Path) -> None:
    """Two sentences of source knowledge only know "this" and "is", so the sentiment comes out wrong: [1]."""
    project = make_project(tmp_path / "project")
    corpus = "This is a positiv revied\nThis is a negative review\n"
    (project / "data/pretrained/corpus.txt").write_text(corpus)
    rows = project / "data/products"
    rows.mkdir()
    (rows / "train.csv").write_text("text,label\nI love this product,0\nThis product is terrible,1\n")
    (rows / "test.csv").write_text("text,label\nThis product is the best!,0\n")
    set_params(
        project,
        prepare__data="data/products",
        prepare__label="label",
        prepare__validation=0.0,
        backbone__family="tfidf",
        backbone__name="word",
        backbone__weights="data/pretrained/corpus.txt",
        train_head__C=[1],
    )
    assert ran(run(project, "dvc", "repro")) == STAGES
    row = pq.read_table(project / "data/evaluation/predictions.parquet").to_pylist()[0]
    assert row["label"] == "0" and [int(row["predicted"])] == [1]
    (project / "new.csv").write_text("text\nThis product is the best!\n")
    run(project, "python", "-m", "stages.predict", "data/head", "new.csv", "out.parquet")
    assert pq.read_table(project / "out.parquet")["predicted"].to_pylist() == ["1"]
