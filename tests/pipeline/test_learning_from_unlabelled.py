"""`train_head.unlabelled: propagate` from prepare to predict."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.tables import prepared, shards
from tests.projects import TFIDF, contents, make_project, run_stages, set_params, stage

CLASSES = 20
STAGES = ("prepare", "extract", "train_head")


def write(project: Path, per_class: int, unlabelled: int) -> None:
    """Write texts whose words lie on a circle of 200: neighbours share words, and a class is an arc of ten."""
    generator = np.random.default_rng(0)
    lines = ["text,label"]
    for row in range(CLASSES * (per_class + unlabelled)):
        start = generator.integers(0, 7) + 10 * (row % CLASSES)
        words = " ".join(f"w{(start + word) % 200}" for word in (0, 1, 2, 3))
        lines.append(f"{words} n{row},{f'c{row % CLASSES}' if row < CLASSES * per_class else ''}")
    (project / "data/rows.csv").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("unlabelled") / "project")
    write(project, per_class=2, unlabelled=15)
    settings: dict[str, Any] = {
        **TFIDF,
        "prepare__data": "data/rows.csv",
        "prepare__label": "label",
        "prepare__test": 0,
        "prepare__validation": 0,
        "train_head__unlabelled": "propagate",
    }
    set_params(project, **settings)
    return run_stages(project, *STAGES)


def card(project: Path) -> dict[str, Any]:
    return dict(json.loads((project / "data/head/model.json").read_text("utf-8")))


def test_the_head_learns_and_says_so(project: Path) -> None:
    said = stage(project, "train_head").stdout
    trial = card(project)["training"]["unlabelled"]
    assert trial["rows"] == shards.count(project / "data/features" / prepared.LEARNING) == 300
    assert "train_head: learned from 300 unlabelled rows: out of fold, log loss is " in said
    assert trial["is_used"] and trial["log_loss"] < trial["log_loss_without"]
    assert card(project)["training"]["rows"] == 40, "guesses are no labels"


def test_without_the_setting_nothing_depends_on_unlabelled_rows(project: Path) -> None:
    set_params(project, train_head__unlabelled=None)
    stage(project, "extract")
    stage(project, "train_head")
    assert "unlabelled" not in card(project)["training"]
    assert shards.count(project / "data/features" / prepared.LEARNING) == 0
    before = contents(project / "data/features" / prepared.LEARNING)
    write(project, per_class=2, unlabelled=20)
    stage(project, "prepare")
    stage(project, "extract")
    assert contents(project / "data/features" / prepared.LEARNING) == before
