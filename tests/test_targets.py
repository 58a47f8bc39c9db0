"""What a verb replaces: its own earlier output and nothing else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.projects import STAGES, TFIDF, Verb, contents, set_params, stage


@pytest.fixture
def done(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which every stage ran, as the working directory."""
    monkeypatch.chdir(finished)
    return finished


def refused(project: Path, name: str, *arguments: str, words: str) -> None:
    """Check that a verb ends with one sentence and changes nothing."""
    before = contents(project)
    done = stage(project, name, *arguments, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr, done.stderr
    assert contents(project) == before


def folders(name: str, target: str) -> list[str]:
    """The arguments of a stage, with another folder to write."""
    return [*(f"data/{folder}" for folder in STAGES[name][:-1]), target]


@pytest.mark.parametrize("target", ["data", "stages", "data/pretrained", ".git"])
def test_a_folder_of_other_things_is_kept(done: Path, target: str) -> None:
    for name in STAGES:
        words = "would replace the input" if target == "data" else f"{target} is not replaced, as {name} did not write"
        refused(done, name, *folders(name, target), words=words)


@pytest.mark.parametrize("target", [".", "..", "/", "data/.."])
def test_the_project_and_what_holds_it_are_kept(done: Path, target: str) -> None:
    for name in STAGES:
        refused(done, name, *folders(name, target), words=f"{target} would replace the project")


def test_the_home_folder_is_kept(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME" if os.name == "posix" else "USERPROFILE", str(home))
    refused(done, "prepare", str(home), words="would replace the home folder")


def test_outputs_of_other_stages_are_kept(done: Path) -> None:
    for name, (*inputs, own) in STAGES.items():
        for other in {"prepared", "features", "head", "finetuned", "evaluation"} - {*inputs, own}:
            words = f"data/{other} is not replaced, as {name} did not write"
            refused(done, name, *folders(name, f"data/{other}"), words=words)


def test_inputs_are_kept(done: Path) -> None:
    for name, (*inputs, _) in STAGES.items():
        for own in inputs:
            refused(done, name, *folders(name, f"data/{own}"), words=f"would replace the input data/{own}")
            refused(done, name, *folders(name, f"data/{own}/new"), words=f"lies in the input data/{own}")


@pytest.mark.parametrize("addition", ["notes.txt", "mine/part-00000.parquet", "mine", ".hidden", "train/notes.txt"])
def test_an_output_with_something_added_is_kept(done: Path, addition: str) -> None:
    for name, (*_, own) in STAGES.items():
        added = done / f"data/{own}" / addition
        added.parent.mkdir(exist_ok=True)
        if addition == "mine":
            added.mkdir()
        else:
            added.write_text("precious", "utf-8")
        refused(done, name, words=f"as {name} did not write data/{own}/{Path(addition).parts[0]}")


def test_an_earlier_output_is_replaced(done: Path) -> None:
    for name, (*_, own) in STAGES.items():
        target = done / "data" / own
        before = contents(target)
        (target / ".DS_Store").touch()
        (target / ".gitignore").write_text("/report.html\n", "utf-8")
        stage(done, name)
        assert contents(target) == {**before, ".gitignore": b"/report.html\n"}


def test_an_empty_folder_is_replaced(done: Path) -> None:
    for name, (*_, own) in STAGES.items():
        target = done / "data" / own
        before = contents(target)
        shutil.rmtree(target)
        target.mkdir()
        stage(done, name, *folders(name, f"data/{own}/"))
        assert contents(target) == before


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_earlier_fine_tuned_model_is_replaced(trained: Path, verb: Verb, method: str) -> None:
    set_params(trained, finetune__method=method, finetune__epochs=1)
    verb("finetune")
    before = contents(trained / "data/finetuned")
    verb("finetune")
    assert contents(trained / "data/finetuned") == before
    set_params(trained, finetune__method="none")
    verb("finetune")
    assert [*contents(trained / "data/finetuned")] == ["model.json"]


def test_files_of_the_same_names_by_others_are_kept(done: Path) -> None:
    for name, file in {
        "prepare": "train/part-00000.parquet",
        "extract": "train/part-00000.parquet",
        "train_head": "model.json",
        "finetune": "model.json",
        "evaluate": "metrics.json",
    }.items():
        mine = done / "mine" / file
        mine.parent.mkdir(parents=True)
        if mine.suffix == ".parquet":
            pq.write_table(pa.table({"text": ["mine"]}), mine)
        else:
            mine.write_text(json.dumps({"method": "mine"}), "utf-8")
        refused(done, name, *folders(name, "mine"), words=f"as {name} did not write mine/{file}")
        shutil.rmtree(done / "mine")
    (done / "weights").mkdir()
    (done / "weights/model.safetensors").write_bytes(b"precious")
    refused(done, "finetune", *folders("finetune", "weights"), words="did not write weights/model.safetensors")


@pytest.mark.parametrize("kind", ["link to a folder", "dangling link", "file", "folder below a file", "long", "deep"])
@pytest.mark.parametrize("name", ["prepare", "evaluate"])
def test_what_is_no_folder_is_kept(done: Path, tmp_path: Path, name: str, kind: str) -> None:
    target, words = done / "target", "which is not replaced"
    if kind == "link to a folder":
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "absent")
    elif kind == "file":
        target.write_text("precious", "utf-8")
    elif kind == "folder below a file":
        target, words = done / "data/reviews.csv/out/more", "reviews.csv is not a folder"
    elif kind == "long":
        target, words = done / ("long" * 64), "cannot be written (File name too long)"
    else:
        target, words = done / ("deep/" * 1000), "cannot be written (File name too long)"
    refused(done, name, *folders(name, str(target)), words=words)


def test_a_link_among_the_parents_is_followed(project: Path, tmp_path: Path, verb: Verb) -> None:
    set_params(project, **TFIDF)
    verb("prepare")
    expected = contents(project / "data/prepared")
    (tmp_path / "disk").mkdir()
    (project / "big").symlink_to(tmp_path / "disk")
    for _ in range(2):
        verb("prepare", "big/prepared")
    assert contents(tmp_path / "disk/prepared") == expected
    (project / "again").symlink_to(project / "data")
    refused(project, "extract", "data/prepared", "again/prepared", words="would replace the input data/prepared")


def test_a_table_inside_the_target_is_kept(project: Path) -> None:
    (project / "raw").mkdir()
    shutil.move(project / "data/reviews.csv", project / "raw/reviews.csv")
    set_params(project, prepare__data="raw/reviews.csv")
    refused(project, "prepare", "raw", words="raw would replace the input raw/reviews.csv")


@pytest.fixture
def model(done: Path) -> Path:
    """A trained project with a table of new rows."""
    (done / "new.csv").write_text("text\nthe product is great\n", "utf-8")
    return done


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("new.parquet", "would replace the input new.parquet"),
        ("alias.parquet", "alias.parquet would replace the input new.parquet"),
        ("folder.parquet", "is a folder, which is not replaced"),
        ("link.parquet", "is a link, which is not replaced"),
        ("table.parquet", "is not replaced, as predict did not write it"),
        ("text.parquet", "is not replaced, as predict did not write it"),
        ("new.csv/out.parquet", "new.csv is not a folder"),
        ("dangling/out.parquet", "dangling is not a folder"),
        ("data/head/out.parquet", "lies in the input data/head"),
        (f"{'x' * 247}.parquet", "cannot be written (File name too long)"),
        ("data/evaluation/predictions.parquet", "is not replaced, as predict did not write it"),
    ],
)
def test_predict_replaces_only_its_own_file(model: Path, target: str, words: str) -> None:
    pq.write_table(pa.table({"text": ["the product is great"]}), model / "new.parquet")
    (model / "alias.parquet").hardlink_to(model / "new.parquet")
    (model / "folder.parquet").mkdir()
    pq.write_table(pa.table({"text": ["mine"]}), model / "table.parquet")
    (model / "text.parquet").write_text("precious", "utf-8")
    (model / "link.parquet").symlink_to("table.parquet")
    (model / "dangling").symlink_to("absent")
    refused(model, "predict", "data/head", "new.parquet", target, words=words)


def test_predict_replaces_its_earlier_file(model: Path) -> None:
    for _ in range(2):
        stage(model, "predict", "data/head", "new.csv", "out/predicted.parquet")
    assert pq.read_table(model / "out/predicted.parquet").num_rows == 1


@pytest.mark.parametrize("target", ["data/reviews.csv/x", "data/reviews.csv", ".", "x" * 300])
def test_fetch_wants_a_new_folder(done: Path, target: str) -> None:
    refused(done, "fetch", "digits", target, words=target)


def test_a_mount_point_is_kept(done: Path, disk: Callable[[str], Path]) -> None:
    refused(done, "prepare", str(disk("size=64k")), words="is a mount point, which cannot be replaced")
