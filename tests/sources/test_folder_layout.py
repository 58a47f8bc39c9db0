"""Which folders are classes and which are splits: understood, or refused with what would work."""

import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.common.prepare_params import PrepareParams
from stages.prepare import prepare
from stages.sources import Columns, rows
from tests.pictures import png

PETS = {"cats", "dogs"}


def tree(folder: Path, *paths: str, count: int = 12) -> Path:
    """Make `count` different images in every path, or a file of text where a path has a suffix, or `NAME/` empty."""
    for path in paths:
        target = folder / path
        if path.endswith("/"):
            target.mkdir(parents=True)
        elif target.suffix:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("a,b\n", "utf-8")
        else:
            target.mkdir(parents=True)
            for number in range(count):
                (target / f"{number}.png").write_bytes(png(zlib.crc32(path.encode()) * 100 + number))
    return folder


def settings(data: Path, **changes: Any) -> PrepareParams:
    return PrepareParams(**{"data": str(data), "input": "image", "label": "label", **changes})


def read(folder: Path) -> tuple[set[str | None], set[str | None], list[str]]:
    """The classes, the splits, and what was skipped."""
    all_rows = list(rows(folder, Columns("image", "label"), "image"))
    kept = [row for row in all_rows if not row.problem]
    skipped = [row.origin for row in all_rows if row.skipped]
    return {row.label for row in kept}, {row.split for row in kept}, skipped


UNDERSTOOD: dict[str, tuple[list[str], set[str], set[str | None], list[str]]] = {
    "class folders": (["cats", "dogs"], PETS, {None}, []),
    "split folders": (["train/cats", "train/dogs", "test/cats"], PETS, {"train", "test"}, []),
    "clutter beside split folders": (
        ["train/cats", "train/dogs", "test/cats", "__MACOSX/", "@eaDir/x", ".cache/x"],
        PETS,
        {"train", "test"},
        [".cache", "@eaDir", "__MACOSX"],
    ),
    "clutter that holds folders": (
        ["train/cats", "train/dogs", "test/cats", "__MACOSX/train/cats"],
        PETS,
        {"train", "test"},
        ["__MACOSX"],
    ),
    "names of splits in capitals": (["Training/cats", "Training/dogs", "Testing/dogs"], PETS, {"train", "test"}, []),
    "other names of splits": (
        ["TRAIN/cats", "TRAIN/dogs", "eval/dogs", "testing/cats"],
        PETS,
        {"train", "validation", "test"},
        [],
    ),
    "files on top": (["cats", "dogs", "README.md", "labels.csv"], PETS, {None}, ["README.md", "labels.csv"]),
    "files in split folders": (
        ["train/cats", "train/dogs", "train/list.txt", "val/cats"],
        PETS,
        {"train", "validation"},
        ["train/list.txt"],
    ),
    "clutter in class folders": (
        ["cats", "cats/Thumbs.db", "cats/.DS_Store.x", "cats/more/@eaDir/x", "dogs"],
        PETS,
        {None},
        ["cats/.DS_Store.x", "cats/Thumbs.db", "cats/more/@eaDir"],
    ),
    "an empty class": (["cats", "dogs", "birds/"], PETS, {None}, ["birds"]),
    "a class that holds only clutter": (["cats", "dogs", "birds/.x.db"], PETS, {None}, ["birds"]),
    "an empty split": (["train/cats", "train/dogs", "val/"], PETS, {"train"}, ["val"]),
    "classes named like splits, in a split folder": (
        ["train/train", "train/bus", "train/test"],
        {"train", "bus", "test"},
        {"train"},
        [],
    ),
    "folders in class folders": (["cats/day", "cats/night", "dogs"], PETS, {None}, []),
    "the same folders in classes, in a split folder": (
        ["train/cats/day", "train/cats/night", "train/dogs/day", "train/dogs/night"],
        PETS,
        {"train"},
        [],
    ),
    "one folder in every class folder": (
        ["train/n01/images", "train/n02/images", "val/n01/images"],
        {"n01", "n02"},
        {"train", "validation"},
        [],
    ),
    "a word for a split in the name of a class": (["test tube", "beaker"], {"test tube", "beaker"}, {None}, []),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_the_layout_is_understood(tmp_path: Path, case: str) -> None:
    paths, classes, splits, skipped = UNDERSTOOD[case]
    assert read(tree(tmp_path / "im", *paths, count=2)) == (classes, splits, skipped)


BESIDE = ["train/cats", "train/dogs", "test/cats", "test/dogs"]
REFUSED: dict[str, tuple[list[str], list[str]]] = {  # what the sentence holds
    "models": ([*BESIDE, "models/"], ["train", "models, which is no split", "move models out of it"]),
    "sample": ([*BESIDE, "sample/cats"], ["sample, which is no split"]),
    "predicted": ([*BESIDE, "predicted"], ["predicted, which is no split"]),
    "two others": ([*BESIDE, "models/", "predicted"], ["move predicted, models out of it"]),
    "a class named train": (
        ["train", "bus"],
        ["bus", "or if all are classes, move them into a new folder train in it"],
    ),
    "a copy inside": ([*BESIDE, "im/train/cats"], ["im, which is no split"]),
    "no train": (["test/cats", "val/cats"], ["holds test, val but no train"]),
    "an empty train": (["train/", "test/cats"], ["holds test but no train (train is empty)"]),
    "two folders for a split": ([*BESIDE, "testing/cats"], ["both hold the test split"]),
    "a folder too many": (
        ["photos/cats", "photos/dogs"],
        ["holds one folder of images, photos", "set prepare.data to {im}/photos"],
    ),
    "two folders too many": (["a/b/cats", "a/b/dogs"], ["set prepare.data to {im}/a/b"]),
    "a folder too many over splits": (["data/train/cats", "data/train/dogs"], ["set prepare.data to {im}/data"]),
    "splits beside a folder": (
        ["data/train/cats", "data/train/dogs", "docs"],
        ["holds train in data", "set prepare.data to {im}/data"],
    ),
    "two data sets": (
        ["a/train/cats", "a/train/dogs", "b/train/cats", "b/train/dogs"],
        ["set prepare.data to {im}/a or {im}/b"],
    ),
    "a folder too many beside clutter": (["photos/cats", "photos/dogs", "__MACOSX/"], ["prepare.data to {im}/photos"]),
    "splits in classes": (
        ["cats/train", "cats/test", "dogs/train", "dogs/test"],
        ["holds test, train in cats", "{im}/test/cats in place of {im}/cats/test"],
    ),
    "one class": (["cats"], ["holds one folder of images, cats, but needs one per class"]),
    "folders without images": (["cats/a.xml", "dogs/a.xml"], ["holds no images in folders, but needs one per class"]),
    "one folder beside a table": (["images", "labels.csv"], ["set prepare.data to {im}/labels.csv"]),
    "no class folders": ([""], ["holds images but no class folders", "a folder named after the class"]),
    "only empty folders": (["cats/", "dogs/"], ["holds only empty folders (cats, dogs)"]),
    "a split without classes": (
        ["train/cats", "train/dogs", "test"],
        ["has images without class folders in test", "predict classifies images without labels"],
    ),
    "a folder too many in splits": (
        ["train/train/cats", "train/train/dogs", "test/test/cats", "test/test/dogs"],
        ["holds only train in train", "move the folders in {im}/train/train up into {im}/train"],
    ),
    "another folder too many in splits": (
        ["train/images/cats", "train/images/dogs"],
        ["holds only images in train", "move the folders in {im}/train/images up into {im}/train"],
    ),
    "splits in a split": (
        ["train/train/cats", "train/train/dogs", "train/val/cats"],
        ["holds the split folders train, val in train", "set prepare.data to {im}/train"],
    ),
    "sets": (["training_set/cats", "test_set/cats"], ["look like splits", "rename them to train, validation and test"]),
    "sets and a prediction": (["seg_train/a", "seg_test/a", "seg_pred/a"], ["seg_test, seg_train, which look like"]),
    "parts of a split": (["train1/cats", "train2/cats"], ["holds train1, train2, which look like splits"]),
    "sets below a folder too many": (
        ["data/training_set/cats", "data/training_set/dogs", "data/test_set/cats"],
        ["{im}/data holds test_set, training_set, which look like splits"],
    ),
    "others below a folder too many": (
        ["a/train/cats", "a/train/dogs", "a/models"],
        ["{im}/a holds train and beside them models"],
    ),
    "abbreviated splits": (["tr/cats", "tr/dogs", "te/cats", "te/dogs"], ["holds te, tr, which look like splits"]),
    "classes below another division": (
        ["color/cats", "color/dogs", "grey/cats", "grey/dogs", "grey/birds"],
        ["color, grey, which all hold the folders cats, dogs", "set prepare.data to one folder, such as {im}/color"],
    ),
    "annotations": (
        ["Images/cats", "Images/dogs", "Annotation/cats/1.xml", "Annotation/dogs/2.xml"],
        ["holds one folder of images, Images", "set prepare.data to {im}/Images"],
    ),
    "words in one": (
        ["trainset/cats", "ValidationData/cats"],
        ["holds ValidationData, trainset, which look like splits"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused_with_what_would_work(tmp_path: Path, case: str) -> None:
    paths, parts = REFUSED[case]
    im = tree(tmp_path / "im", *paths, count=2)
    with pytest.raises(HeadstartError) as error:
        read(im)
    for part in parts:
        assert part.replace("{im}", str(im)).replace("/", "\\" if "\\" in str(im) else "/") in str(error.value)


def test_what_is_skipped_is_printed_and_listed_and_counts_as_no_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    im = tree(tmp_path / "im", *BESIDE, "__MACOSX/", "train/cats/Thumbs.db", "train/birds/", "train/dogs/more", "x.txt")
    prepare(tmp_path / "out", settings(im, max_rejected=0.0))
    listed = {row["source"]: row["reason"] for row in pq.read_table(tmp_path / "out/rejected.parquet").to_pylist()}
    assert listed == {
        "__MACOSX": "skipped: is hidden, or written by a system or file manager",
        "train/cats/Thumbs.db": "skipped: is hidden, or written by a system or file manager",
        "train/birds": "skipped: is an empty folder",
        "x.txt": "skipped: is in no class folder",
    }
    printed = capsys.readouterr().out
    assert "60 rows in 2 classes" in printed and "0 left out" in printed
    assert "4 files or folders are no rows and were skipped: __MACOSX, x.txt, train/birds," in printed
    assert "1 of 4 class folders holds folders, such as" in printed and "here dogs" in printed


def test_images_without_labels_are_read_from_any_folder_but_clutter(tmp_path: Path) -> None:
    im = tree(tmp_path / "im", "", "train/cats", "models", "__MACOSX/cats", ".hidden", "cats/Thumbs.db", count=2)
    all_rows = list(rows(im, Columns("image"), "image"))
    assert [row.origin for row in all_rows if not row.skipped] == [
        *("0.png", "1.png", "models/0.png", "models/1.png", "train/cats/0.png", "train/cats/1.png")
    ]
    assert {row.origin for row in all_rows if row.skipped} == {".hidden", "__MACOSX", "cats/Thumbs.db"}
