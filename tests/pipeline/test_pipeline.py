"""The pipeline under DVC: the default run on real MiniLM, and the founding example."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.projects import STAGES, make_project, ran, run, run_stages, set_params, stage


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` ran once as it is shipped, on the real MiniLM."""
    project = make_project(tmp_path_factory.mktemp("default") / "a project")
    start = processor_seconds()
    assert ran(run(project, "dvc", "repro")) == list(STAGES)
    (project.parent / "seconds").write_text(str(processor_seconds() - start), "utf-8")
    return project


def processor_seconds() -> float:
    """What processes that ended took since this one started."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.fixture
def restored(default_run: Path) -> Iterator[Path]:
    """The default run; what a test changes in params.yaml is undone and checked out again."""
    before = (default_run / "params.yaml").read_text("utf-8"), (default_run / "dvc.lock").read_text("utf-8")
    yield default_run
    (default_run / "params.yaml").write_text(before[0], "utf-8")
    (default_run / "dvc.lock").write_text(before[1], "utf-8")
    run(default_run, "dvc", "checkout", "--force")
    run(default_run, "dvc", "repro")


def test_the_default_run_makes_a_real_classifier(default_run: Path) -> None:
    report = json.loads((default_run / "data/evaluation/details.json").read_text("utf-8"))
    assert report["test_rows"] == 168 and report["classes"] == 8
    assert report["head"]["accuracy"] > 0.75
    table = pq.read_table(default_run / "data/evaluation/predictions.parquet")
    assert table.num_rows == 2 * 168 and "p_headphones" in table.column_names
    assert not list((default_run / "data").glob(".*")), "no temporary names are left"
    status = run(default_run, "git", "status", "--short").stdout.split("\n")
    assert {line[3:] for line in status if line} == {"dvc.lock", "data/evaluation/"}


def test_nothing_to_do_runs_nothing(default_run: Path) -> None:
    assert ran(run(default_run, "dvc", "repro")) == []


def test_a_head_change_takes_a_fraction_of_a_run_and_nothing_to_do_a_fraction_of_that(restored: Path) -> None:
    """In seconds of processors, which others that use this machine do not change; without explanations, as in a sweep.

    To explain mistakes, evaluate loads the backbone, as extract does.
    """
    set_params(restored, evaluate__explain=0)
    run(restored, "dvc", "repro")
    start = processor_seconds()
    run(restored, "dvc", "repro")
    nothing = processor_seconds() - start
    set_params(restored, train_head__C=[0.5, 5, 50])
    start = processor_seconds()
    assert ran(run(restored, "dvc", "repro")) == ["train_head", "finetune", "evaluate"]
    head = processor_seconds() - start
    if not nothing:
        pytest.skip("Windows does not count the seconds of processes that ended")
    whole = float((restored.parent / "seconds").read_text("utf-8"))
    assert nothing < head / 2 and head < whole / 2


@pytest.mark.slow
def test_forcing_a_run_leaves_dvc_lock_as_it_is(restored: Path) -> None:
    before = (restored / "dvc.lock").read_bytes()
    for row_cache in (False, True):
        set_params(restored, runtime__row_cache=row_cache)
        done = run(restored, "dvc", "repro", "--force")
        assert ran(done) == list(STAGES)
        assert ("800 rows (800 from the cache)" in done.stdout) == row_cache
        assert (restored / "dvc.lock").read_bytes() == before


def test_dvc_draws_the_plots_and_shows_the_metrics(default_run: Path) -> None:
    plots = json.loads(run(default_run, "dvc", "plots", "show", "--json").stdout)
    assert len(plots["data"]) == 14 and not plots.get("errors")
    assert "accuracy" in run(default_run, "dvc", "metrics", "show").stdout


def test_a_failed_stage_loses_nothing(restored: Path) -> None:
    before = (restored / "data/head/head.skops").read_bytes()
    (restored / "params.yaml").write_text(
        (restored / "params.yaml").read_text("utf-8").replace("kind: log", "kind: lag"), "utf-8"
    )
    done = run(restored, "dvc", "repro", check=False)
    assert done.returncode != 0
    assert "error: params.yaml: train_head.kind is 'lagistic', but must be one of 'logistic'" in done.stderr
    run(restored, "dvc", "checkout", "--force")
    assert (restored / "data/head/head.skops").read_bytes() == before


def test_the_founding_example(tmp_path: Path) -> None:
    """Two sentences of source knowledge only know "this" and "is", so the sentiment comes out wrong: [1]."""
    project = make_project(tmp_path / "project")
    corpus = "This is a positiv revied\nThis is a negative review\n"
    (project / "data/pretrained/corpus.txt").write_text(corpus, "utf-8")
    rows = project / "data/products"
    rows.mkdir()
    (rows / "train.csv").write_text("text,label\nI love this product,0\nThis product is terrible,1\n", "utf-8")
    (rows / "test.csv").write_text("text,label\nThis product is the best!,0\n", "utf-8")
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
    run_stages(project)
    row = pq.read_table(project / "data/evaluation/predictions.parquet").to_pylist()[0]
    assert row["label"] == "0" and [int(row["predicted"])] == [1]
    (project / "new.csv").write_text("text\nThis product is the best!\n", "utf-8")
    stage(project, "predict", "data/head", "new.csv", "out.parquet")
    assert pq.read_table(project / "out.parquet")["predicted"].to_pylist() == ["1"]
