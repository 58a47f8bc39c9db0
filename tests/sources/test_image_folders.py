"""Images into the prepared table: folders, tables of paths or bytes, and what is left out."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.common.prepare_params import PrepareParams
from stages.prepare import prepare
from stages.tables import images, prepared
from tests.pictures import png
from tests.projects import LINUX, POSIX


def fill(folder: Path, start: int, count: int) -> None:
    """`count` different images in each of two classes."""
    for number in range(count):
        for label in ("ant", "bee"):
            (folder / label).mkdir(parents=True, exist_ok=True)
            (folder / label / f"{number:03d}.png").write_bytes(png(2 * (start + number) + (label == "bee")))


def settings(data: Path, **changes: Any) -> PrepareParams:
    return PrepareParams(**{"data": str(data), "input": "picture", "label": "label", **changes})


def rejected(folder: Path) -> dict[str, str]:
    """The reasons of the rows, without the files and folders that are none."""
    reasons = {row["source"]: row["reason"] for row in pq.read_table(folder / "rejected.parquet").to_pylist()}
    return {source: reason for source, reason in reasons.items() if not reason.startswith("skipped: ")}


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return prepared.read(folder, split).to_pylist()


def test_a_folder_with_one_sub_folder_per_class(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 40)
    prepare(tmp_path / "out", settings(tmp_path / "photos"))
    kept = [row for split in prepared.SPLITS for row in rows(tmp_path / "out", split)]
    assert len(kept) == 80 and {row["label"] for row in kept} == {"ant", "bee"}
    assert all(rows(tmp_path / "out", split) for split in prepared.SPLITS)
    for row in kept:
        content = (tmp_path / "photos" / row["source"]).read_bytes()
        assert row["image"] == content and row["id"] == prepared.content_id(content)
        assert row["source"].startswith(row["label"])
    source = prepared.read_info(tmp_path / "out")
    assert (source.modality, source.input, source.max_side) == ("image", "image", 512)
    assert prepared.read(tmp_path / "out", "train").schema.field("image").type == pa.binary()


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_given_split_folders_are_kept_and_a_missing_one_is_cut_from_train(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "photos/train", 0, 40)
    fill(tmp_path / f"photos/{name}", 40, 10)
    prepare(tmp_path / "out", settings(tmp_path / "photos"))
    assert len(rows(tmp_path / "out", "validation")) == 20
    assert all(row["source"].startswith(f"{name}/") for row in rows(tmp_path / "out", "validation"))
    test = rows(tmp_path / "out", "test")
    assert 5 < len(test) < 35 and all(row["source"].startswith("train/") for row in test)


def test_split_folders_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "photos/val", 0, 2)
    with pytest.raises(HeadstartError, match="holds val but no train"):
        prepare(tmp_path / "out", settings(tmp_path / "photos"))
    fill(tmp_path / "photos/train", 2, 2)
    fill(tmp_path / "photos/dev", 4, 2)
    with pytest.raises(HeadstartError, match="both hold the validation split"):
        prepare(tmp_path / "out", settings(tmp_path / "photos"))
    with pytest.raises(HeadstartError, match="modality is text, but"):
        prepare(tmp_path / "out", settings(tmp_path / "photos", modality="text"))


def test_tables_of_paths_and_of_bytes_give_the_rows_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    fill(folder, 0, 30)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    labels = [name.split("/")[0] for name in names]
    prepare(tmp_path / "folder", settings(folder))
    wanted = {split: [row["id"] for row in rows(tmp_path / "folder", split)] for split in prepared.SPLITS}
    contents = [(folder / name).read_bytes() for name in names]
    columns: dict[str, list[Any]] = {
        "paths": names,
        "bytes": contents,
        "hub": [{"bytes": content, "path": "x"} for content in contents],
    }
    for kind, values in columns.items():
        pq.write_table(pa.table({"picture": values, "label": labels}), folder / f"{kind}.parquet")
        prepare(tmp_path / kind, settings(folder / f"{kind}.parquet"))
        ids = {split: [row["id"] for row in rows(tmp_path / kind, split)] for split in prepared.SPLITS}
        assert ids == wanted
        assert prepared.read_info(tmp_path / kind).input == "picture"


def test_images_beside_a_table_which_dvc_cannot_see_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "photos", 0, 20)
    lines = [f"{path.relative_to(tmp_path / 'photos')},{path.parent.name}" for path in tmp_path.rglob("*.png")]
    (tmp_path / "photos/list.csv").write_text("\n".join(["picture,label", *sorted(lines)]) + "\n", "utf-8")
    prepare(tmp_path / "out", settings(tmp_path / "photos/list.csv"))
    assert "name the table train.csv and set prepare.data to its folder" in capsys.readouterr().out
    (tmp_path / "photos/list.csv").rename(tmp_path / "photos/train.csv")
    prepare(tmp_path / "again", settings(tmp_path / "photos"))
    assert "DVC" not in capsys.readouterr().out
    assert [row["id"] for row in rows(tmp_path / "out", "train")] == [
        row["id"] for row in rows(tmp_path / "again", "train")
    ]


def damage(folder: Path) -> dict[str, str]:
    """Put one of each bad file into class ant: name to the reason."""
    whole = png(999, (200, 200))
    bad: dict[str, tuple[bytes, str]] = {
        "empty.png": (b"", "is empty (0 bytes)"),
        "half.png": (whole[: len(whole) // 2], "cannot be decoded"),
        "text.jpg": (b"not an image", "is not an image in one of the formats"),
        "notes.txt": (b"notes", "ends in .txt"),
    }
    for name, (content, _) in bad.items():
        (folder / "ant" / name).write_bytes(content)
    return {f"ant/{name}": reason for name, (_, reason) in bad.items()}


def test_bad_images_are_listed_and_too_many_fail_the_stage(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 30)
    wanted = damage(tmp_path / "photos")
    (tmp_path / "photos/ant/.DS_Store").write_bytes(b"clutter")
    (tmp_path / "photos/README.md").write_text("about", "utf-8")
    (tmp_path / "photos/lost.png").write_bytes(png(998))
    bomb = png(997, (300, 300))
    (tmp_path / "photos/bee/bomb.png").write_bytes(bomb)
    limits = {"max_pixels": 50_000}
    wanted |= {
        "lost.png": "is in no class folder",
        "bee/bomb.png": "300 x 300 pixels, more than prepare.max_pixels = 50,000",
    }
    prepare(tmp_path / "out", settings(tmp_path / "photos", max_rejected=0.2, **limits))
    reasons = rejected(tmp_path / "out")
    assert reasons.keys() == wanted.keys()
    for source, reason in wanted.items():
        assert reason in reasons[source]
    summary = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert summary["left_out"]["unreadable"] == 6 and sum(summary["kept"].values()) == 60
    with pytest.raises(HeadstartError, match=r"6 of 66 rows cannot be used .*max_rejected = 0\.05"):
        prepare(tmp_path / "out", settings(tmp_path / "photos", max_rejected=0.05, **limits))


def listed(folder: Path, path: str) -> PrepareParams:
    """Settings for a table in `folder` of twenty pictures and, in line 22, `path`."""
    good = [f"ant/{number:03d}.png,ant\nbee/{number:03d}.png,bee" for number in range(10)]
    (folder / "t.csv").write_text("\n".join(["picture,label", *good, f"{path},ant"]) + "\n", "utf-8")
    return settings(folder / "t.csv", max_rejected=1.0)


@pytest.mark.parametrize(
    "path", ["../secret.png", "{}/secret.png", "ant/../../secret.png", pytest.param("link.png", marks=POSIX)]
)
def test_a_path_that_leaves_the_folder_of_the_table_is_refused(tmp_path: Path, path: str) -> None:
    fill(tmp_path / "photos", 0, 10)
    (tmp_path / "secret.png").write_bytes(png(5))
    if path == "link.png":
        (tmp_path / "photos/link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(HeadstartError, match=r"t\.csv:22: picture is .* which leaves the table's folder"):
        prepare(tmp_path / "out", listed(tmp_path / "photos", path.format(tmp_path)))


@POSIX
def test_a_link_within_the_folder_of_the_table_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 10)
    (tmp_path / "photos/inside.png").symlink_to(tmp_path / "photos/ant/000.png")
    prepare(tmp_path / "out", listed(tmp_path / "photos", "inside.png"))
    assert rejected(tmp_path / "out") == {"t.csv:22": "duplicate of t.csv:2"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone.png", "does not exist"),
        pytest.param("circle.png", "circle.png", marks=POSIX),
        pytest.param("pipe.png", "does not exist", marks=POSIX),
    ],
)
def test_a_path_without_a_file_is_rejected(tmp_path: Path, path: str, reason: str) -> None:
    fill(tmp_path / "photos", 0, 10)
    if path == "circle.png":
        (tmp_path / "photos/circle.png").symlink_to(tmp_path / "photos/circle.png")
    elif path == "pipe.png":
        os.mkfifo(tmp_path / "photos/pipe.png")
    prepare(tmp_path / "out", listed(tmp_path / "photos", path))
    assert reason in rejected(tmp_path / "out")["t.csv:22"]


def test_large_images_are_shrunk_once_and_keep_their_split(tmp_path: Path) -> None:
    for label in ("ant", "bee"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            content = png(number + 100 * (label == "bee"), (120, 60 + number))
            (tmp_path / "photos" / label / f"{number}.png").write_bytes(content)
    prepare(tmp_path / "large", settings(tmp_path / "photos"))
    prepare(tmp_path / "small", settings(tmp_path / "photos", max_side=50))
    for split in prepared.SPLITS:
        large, small = rows(tmp_path / "large", split), rows(tmp_path / "small", split)
        assert [row["id"] for row in large] == [row["id"] for row in small]
        assert all(max(images.decode(row["image"]).size) == 50 for row in small)
        assert all(max(images.decode(row["image"]).size) == 120 for row in large)


@LINUX
def test_names_that_are_not_utf_8_are_shown_as_well_as_can_be(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 20)
    odd = os.fsencode(tmp_path / "photos/ant") + b"/\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123 (a name of bytes)
        file.write(png(4_000))
    prepare(tmp_path / "out", settings(tmp_path / "photos"))
    sources = [row["source"] for split in prepared.SPLITS for row in rows(tmp_path / "out", split)]
    assert "ant/\N{REPLACEMENT CHARACTER}.png" in sources


def test_images_are_read_by_their_content_and_names_of_other_formats_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "photos", 0, 20)
    for path in sorted((tmp_path / "photos/ant").iterdir())[:3]:
        path.rename(path.with_suffix(".jpg"))
    for number, path in enumerate(sorted((tmp_path / "photos/bee").iterdir())[:4]):
        path.rename(path.with_name(["bee", "bee.1", "bee.PNG", "bee.2024-01-31"][number]))
    prepare(tmp_path / "out", settings(tmp_path / "photos"))
    assert rejected(tmp_path / "out") == {}
    printed = capsys.readouterr().out
    assert "3 images are of another format than the name says, and read as what it is, such as" in printed
    assert "ant/000.jpg (PNG)" in printed


def test_paths_whose_accents_are_written_in_the_other_way(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 10)
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        (tmp_path / "photos" / unicodedata.normalize(form, f"{form} \u00e9t\u00e9.png")).write_bytes(png(0))
        prepare(
            tmp_path / "out", listed(tmp_path / "photos", unicodedata.normalize(other, f"{form} \u00e9t\u00e9.png"))
        )
        assert rejected(tmp_path / "out") == {"t.csv:22": "duplicate of t.csv:2"}


def test_paths_with_spaces_in_the_way_of_addresses(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 10)
    (tmp_path / "photos/an ant.png").write_bytes(png(0))
    prepare(tmp_path / "out", listed(tmp_path / "photos", "an%20ant.png"))
    assert rejected(tmp_path / "out") == {"t.csv:22": "duplicate of t.csv:2"}
    with pytest.raises(HeadstartError, match="leaves the table's folder"):
        prepare(tmp_path / "out", listed(tmp_path / "photos", "%2e%2e/photos/an ant.png"))
    prepare(tmp_path / "out", listed(tmp_path / "photos", "an%00ant.png"))
    assert rejected(tmp_path / "out") == {"t.csv:22": "an%00ant.png does not exist"}


def test_paths_with_the_separators_of_windows(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 0, 10)
    prepare(tmp_path / "out", listed(tmp_path / "photos", "ant\\009.png"))
    assert rejected(tmp_path / "out") == {"t.csv:22": "duplicate of t.csv:20"}
    with pytest.raises(HeadstartError, match="leaves the table's folder"):
        prepare(tmp_path / "out", listed(tmp_path / "photos", "ant\\..\\..\\secret.png"))
