"""Labels and slices with markup: they are shown as text, wherever they appear."""

import csv
import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.projects import QUICK, run, run_stages, set_params

SCRIPT = "</script><script>alert(1)</script>"
COMMENT = "<!--<script>"
IMAGE = "<img src=x onerror=alert(1)>"


class Scripts(HTMLParser):
    """Collect the tags of a page outside of scripts, and the content of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)


@pytest.fixture
def marked_up(project: Path) -> Path:
    """A project whose classes and slices are markup, in which every stage ran."""
    with (project / "data/rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "part"])
        for n in range(120):
            table.writerow([f"{'abc'[n % 3]} {n}", [SCRIPT, COMMENT, IMAGE][n % 3], [IMAGE, SCRIPT][n % 2]])
    set_params(project, **QUICK, prepare__data="data/rows.csv", prepare__label="label", prepare__slice="part")
    return run_stages(project)


def test_dvc_plots_show_runs_no_label(marked_up: Path) -> None:
    run(marked_up, sys.executable, "-m", "dvc", "plots", "show", "-o", "drawn")
    page = (marked_up / "drawn/index.html").read_text("utf-8")
    assert "alert(1)" in page, "labels are shown"
    scripts = Scripts(page)
    assert not {"img", "alert(1)"} & {*scripts.tags, *scripts.scripts}
    assert page.count("<script") == page.count("</script") == scripts.tags.count("script")


def test_only_plots_have_another_character(marked_up: Path) -> None:
    labels = json.loads((marked_up / "data/head/model.json").read_text("utf-8"))["labels"]
    assert sorted(labels) == sorted([SCRIPT, COMMENT, IMAGE])
    plot = json.loads((marked_up / "data/evaluation/plots/head/per_class.json").read_text("utf-8"))
    assert sorted(row["label"].replace("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", "<") for row in plot) == sorted(
        labels
    )
