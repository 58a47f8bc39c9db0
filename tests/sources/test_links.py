"""Links that lead out of the data's folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.common.errors import HeadstartError
from stages.common.prepare_params import PrepareParams
from stages.prepare import prepare
from stages.sources import Columns, Reading, rows
from stages.tables import prepared
from tests.pictures import png
from tests.projects import POSIX

pytestmark = POSIX


def fill(folder: Path, start: int, count: int = 20) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:03d}.png").write_bytes(png(start + number))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes, and beside them a folder that is not to be read."""
    fill(tmp_path / "private", 100)
    fill(tmp_path / "photos/ant", 0)
    fill(tmp_path / "photos/bee", 50)
    return tmp_path / "photos"


def link(path: Path, target: Path) -> Path:
    path.symlink_to(target, target_is_directory=target.is_dir())
    return path


OUT: dict[str, Callable[[Path], Path]] = {
    "a class": lambda photos: link(photos / "cat", photos.parent / "private"),
    "a class by a relative path": lambda photos: link(photos / "cat", Path("../private")),
    "a folder in a class": lambda photos: link(photos / "ant/more", photos.parent / "private"),
    "an image": lambda photos: link(photos / "ant/more.png", photos.parent / "private/000.png"),
    "an image through a link inside": lambda photos: link(
        photos / "ant/two.png", link(photos / "ant/.one.png", photos.parent / "private/000.png")
    ),
    "a folder beside the images whose name starts alike": lambda photos: link(
        photos / "cat", fill(photos.parent / "photos-private", 150)
    ),
}


def settings(photos: Path, **changes: object) -> PrepareParams:
    return PrepareParams(**{"data": str(photos), "input": "image", "label": "label", **changes})


@pytest.mark.parametrize("case", OUT)
def test_a_link_out_of_an_image_folder_is_refused_unless_it_is_to_be_followed(photos: Path, case: str) -> None:
    path = OUT[case](photos)
    with pytest.raises(HeadstartError, match=r"is a link to .*, outside of .*/photos; copy it there, or") as error:
        prepare(photos.parent / "out", settings(photos))
    assert str(path) in str(error.value) and not (photos.parent / "out").exists()
    prepare(photos.parent / "out", settings(photos, follow_links=True))
    followed = {
        name for split in prepared.SPLITS for name in prepared.read(photos.parent / "out", split)["id"].to_pylist()
    }
    names = ["private/000.png"] if "image" in case.split(" ")[:2] else ["private/000.png", "private/019.png"]
    names = ["photos-private/000.png"] if "alike" in case else names
    assert {prepared.content_id((photos.parent / name).read_bytes()) for name in names} <= followed


def test_split_folders_and_new_images_are_checked_too(photos: Path) -> None:
    data = photos.parent / "data"
    data.mkdir()
    link(data / "train", photos)
    with pytest.raises(HeadstartError, match="data/train is a link to"):
        prepare(photos.parent / "out", settings(data))
    link(photos / "ant/more", photos.parent / "private")
    with pytest.raises(HeadstartError, match="ant/more is a link to"):
        list(rows(photos, Columns("image"), "image"))


def test_links_inside_are_fine_and_no_circle_is_endless(photos: Path) -> None:
    link(photos / "ant/again.png", photos / "ant/000.png")
    link(photos / "ant/up", photos)
    link(photos / "ant/circle.png", photos / "ant/circle.png")
    link(photos / "cat", fill(photos / ".cats", 150))
    link(photos.parent / "private/up", photos.parent / "private")
    link(photos.parent / "by-link", photos)
    for data in (photos, photos.parent / "by-link"):
        origins = [row.origin for row in rows(data, Columns("image", "label"), "image") if not row.skipped]
        assert len(origins) == len(set(origins)) == 62 and "ant/circle.png" in origins and "cat/000.png" in origins
    link(photos / "dog", photos.parent / "private")
    followed = list(rows(photos, Columns("image", "label"), "image", Reading(follow_links=True)))
    assert [row.origin for row in followed].count("dog/000.png") == 1 and len(followed) == 83


def test_files_come_before_sub_folders_and_both_by_name(photos: Path) -> None:
    fill(photos / "ant/B", 60, 1)
    fill(photos / "ant/.hidden", 70, 1)
    fill(photos / "ant/a", 80, 1)
    origins = [row.origin for row in rows(photos, Columns("image", "label"), "image") if not row.skipped]
    assert origins[18:23] == ["ant/018.png", "ant/019.png", "ant/B/000.png", "ant/a/000.png", "bee/000.png"]


def test_tables_and_the_images_that_they_name(photos: Path) -> None:
    table = photos.parent / "private.csv"
    table.write_text("text,label\n" + "".join(f"row {n},{'ab'[n % 2]}\n" for n in range(40)), "utf-8")
    data = photos.parent / "data"
    data.mkdir()
    link(data / "train.csv", table)
    with pytest.raises(HeadstartError, match=r"train\.csv is a link to .*private\.csv, outside of"):
        list(rows(data, Columns("text", "label"), "text"))
    assert len(list(rows(data, Columns("text", "label"), "text", Reading(follow_links=True)))) == 40
    assert len(list(rows(table, Columns("text", "label"), "text"))) == 40, "a table that is named itself is no link out"
    link(photos / "out.png", photos.parent / "private/000.png")
    (photos / "table.csv").write_text("image\nant/000.png\nout.png\n", "utf-8")
    with pytest.raises(HeadstartError, match=r"is 'out\.png', which leaves the table's folder"):
        list(rows(photos / "table.csv", Columns("image"), "image"))
    assert [
        row.problem for row in rows(photos / "table.csv", Columns("image"), "image", Reading(follow_links=True))
    ] == [None] * 2
    (photos / "table.csv").write_text("image\n../private/000.png\n", "utf-8")
    with pytest.raises(HeadstartError, match="which leaves the table's folder"):
        list(rows(photos / "table.csv", Columns("image"), "image", Reading(follow_links=True)))
