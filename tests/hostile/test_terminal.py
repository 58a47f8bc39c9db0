"""Names with escape sequences: no verb sends one to the terminal."""

import csv
from pathlib import Path

import pytest

from tests.projects import QUICK, Done, Verb, set_params, stage, stage_process

TITLE = "\x1b]0;owned\x07"  # sets the title of the window
ERASE = "\x1b[2J\x9b1;31m\u202e"


def harmless(done: Done) -> Done:
    for text in (done.stdout, done.stderr):
        assert not any(not character.isprintable() for character in text if character not in "\r\n"), text
    return done


@pytest.fixture
def labelled(project: Path) -> Path:
    """A project whose classes hold escape sequences."""
    with (project / "data/rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for n in range(120):
            table.writerow([f"{'ab'[n % 2]} {n}", [f"x{TITLE}", f"X{TITLE}"][n % 2]])
    set_params(project, **QUICK, prepare__data="data/rows.csv", prepare__label="label")
    return project


def test_printed_lines_hold_none(labelled: Path, verb: Verb) -> None:
    done = harmless(verb("prepare"))
    assert "look like one class" in done.stdout and r"\x1b]0;owned\x07" in done.stdout
    assert r"\x1b[2J\x9b1;31m\u202e" in harmless(verb("prepare", f"data/{ERASE}")).stdout


def test_errors_hold_none(labelled: Path) -> None:
    for name, *arguments in (
        ("prepare", f"data/reviews.csv/{ERASE}"),
        ("predict", f"data/{ERASE}", "new.csv", f"{ERASE}.parquet"),
        ("fetch", TITLE, "data/new"),
        ("gate", ERASE),
        ("cache", f"--{TITLE}"),
        ("extract", "data/prepared", "data/features", "--params", f"{ERASE}.yaml"),
    ):
        done = harmless(stage(labelled, name, *arguments, check=False))
        assert done.returncode and done.stderr, name


def test_settings_are_shown_without(labelled: Path) -> None:
    set_params(labelled, prepare__label=f"label{TITLE}")
    assert r"\x1b]0;owned\x07" in harmless(stage(labelled, "prepare", check=False)).stderr


def test_a_process_sends_none(labelled: Path) -> None:
    done = harmless(stage_process(labelled, "prepare", f"data/{ERASE}"))
    assert r"\x1b[2J\x9b1;31m\u202e" in done.stdout
