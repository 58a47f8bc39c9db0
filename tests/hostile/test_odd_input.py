"""Input that looks hostile and is fine."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from tests.hostile.verbs import limited
from tests.projects import POSIX, set_params


def many_columns(path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(100_000))
    path.write_text(
        f"text,label,{names}\n" + "".join(f"x{row},{'ab'[row % 2]}{',1' * 100_000}\n" for row in range(40)),
        encoding="utf-8",
    )


def prepared(project: Path, lines: list[str]) -> dict[str, Any]:
    """summary.json of a table that is fine."""
    (project / "data/rows.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    set_params(project, prepare__data="data/rows.csv")
    done = limited(project, "prepare")
    assert done.returncode == 0, done.stderr
    return {**json.loads((project / "data/prepared/summary.json").read_text("utf-8")), "printed": done.stdout}


def test_classes_that_look_alike_are_reported(project: Path) -> None:
    names = ["caf\u00e9", "cafe\u0301", "bar", "Bar ", "bar  stool", "bar stool", "inn"]
    lines = [f"row {number},{names[number % 7]}" for number in range(210)]
    summary = prepared(project, lines)
    assert sorted(map(sorted, summary["similar_classes"])) == [
        ["Bar", "bar"], ["bar  stool", "bar stool"], sorted(names[:2])
    ]  # fmt: skip
    assert summary["printed"].count("look like one") == 3 and len(summary["classes"]) == 7, "and nothing is changed"
    assert "similar_classes" not in prepared(project, [f"row {number},{'ab'[number % 2]}" for number in range(60)])


def test_nul_bytes_and_a_hundred_thousand_columns(project: Path) -> None:
    lines = [f"al\0so {number},{'ab'[number % 2]}" for number in range(60)]
    assert prepared(project, lines)["rows"] == 60
    many_columns(project / "data/rows.csv")
    done = limited(project, "prepare")
    assert done.returncode == 0, done.stderr


@POSIX
def test_names_with_line_breaks_leading_dashes_and_loops(project: Path) -> None:
    folder = project / "data/-photos\n of * things"
    for label, shade in {"-rf": 50, "$(touch harmed)": 200}.items():
        (folder / label).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (20, 20), (shade, number, 0)).save(folder / label / f"-{number}\n.png")
    (folder / "-rf/loop").symlink_to(folder, target_is_directory=True)
    set_params(project, prepare__data=f"data/{folder.name}", backbone__family="pixels", backbone__name="rgb")
    done = limited(project, "prepare")
    assert done.returncode == 0, done.stderr
    summary = json.loads((project / "data/prepared/summary.json").read_text("utf-8"))
    assert summary["rows"] == 40 and not list(project.rglob("harmed"))


def test_a_picture_that_is_something_else_too(project: Path) -> None:
    """A PNG with a ZIP archive behind it, and a ZIP archive named .png."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.py", "1 / 0")
    for label, shade in {"a": 50, "b": 200}.items():
        (project / "data/photos" / label).mkdir(parents=True)
        for number in range(20):
            path = project / f"data/photos/{label}/{number}.png"
            Image.new("RGB", (20, 20), (shade, number, 0)).save(path)
            path.write_bytes(path.read_bytes() + archive.getvalue())
    (project / "data/photos/a/archive.png").write_bytes(archive.getvalue())
    changes = {"backbone__family": "pixels", "backbone__name": "rgb", "prepare__max_rejected": 0.1}
    set_params(project, prepare__data="data/photos", **changes)
    assert limited(project, "prepare").returncode == 0
    summary = json.loads((project / "data/prepared/summary.json").read_text("utf-8"))
    assert summary["left_out"]["unreadable"] == 1 and sum(summary["kept"].values()) == 40
