"""Texts that are longer than max_length are reported, and `extract.long: chunks` reads them whole."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from stages.tables import features
from tests.projects import Done, Verb, run_stages, set_params

PLANTED = 40  # words before the one that decides the label, of which 32 tokens are read


def said(done: Done) -> list[str]:
    return [line.removeprefix("extract: ") for line in done.stdout.splitlines()]


@pytest.fixture
def planted(trained: Path) -> Path:
    """A project whose long texts end with the word that decides their label; every tenth text is short."""
    generator = np.random.default_rng(0)
    lines = ["text,category"]
    for row in range(200):
        label, word = ("yes", "love ") if row // 10 % 2 else ("no", "hate ")
        words = generator.choice(["this", "product", "is", "the", "a", "movie"], 2 if row % 10 == 0 else PLANTED)
        lines.append(f"{row} {' '.join(words)} {word * 6},{label}")
    (trained / "data/reviews.csv").write_text("\n".join(lines) + "\n", "utf-8")
    set_params(trained, evaluate__learning_curve=[], evaluate__bootstrap=50)
    return run_stages(trained, "prepare")


def test_a_word_after_the_cut_is_missed_with_cut_and_found_with_chunks(planted: Path, verb: Verb) -> None:
    rows = verb("extract")
    line = next(line for line in said(rows) if "longer" in line)
    assert re.fullmatch(
        r"180 of 200 texts are longer than 32 tokens and cut \(median 49, longest 49 tokens\);"
        r" extract.long: chunks reads them whole",
        line,
    ), rows.stdout
    run_stages(planted, "train_head", "finetune", "evaluate")
    missed = json.loads((planted / "data/evaluation/details.json").read_text("utf-8"))
    cut = features.read(planted / "data/features", "test")
    assert missed["cut_rows"] == cut.cut_rows > 20 and missed["head"]["accuracy"] < 0.75
    slices = json.loads((planted / "data/evaluation/plots/head/slices.json").read_text("utf-8"))
    assert [(part["slice"], part["rows"]) for part in slices] == [("longer than 32 tokens, cut", cut.cut_rows)]
    assert "longer than 32 tokens, cut" in (planted / "data/evaluation/report.html").read_text("utf-8")

    set_params(planted, extract__long="chunks")
    assert any(re.match("180 of 200 .* 32 tokens and read in windows", line) for line in said(verb("extract")))
    whole = features.read(planted / "data/features", "test")
    short = ~whole.is_long  # type: ignore[operator]
    np.testing.assert_array_equal(whole.X[short], cut.X[short])
    run_stages(planted, "train_head", "evaluate")
    found = json.loads((planted / "data/evaluation/details.json").read_text("utf-8"))
    assert found["cut_rows"] == 0 and found["head"]["accuracy"] > 0.95


def test_the_row_cache_keeps_the_lengths(planted: Path, verb: Verb) -> None:
    first = said(verb("extract"))
    again = said(verb("extract"))
    assert "(200 from the cache)" in again[-1]
    assert first[:2] == again[:2]
    set_params(planted, runtime__row_cache=False)
    assert said(verb("extract"))[:2] == first[:2]


def test_what_is_used_is_said_in_one_line(planted: Path, verb: Verb) -> None:
    model = re.escape(str(features.read_metadata(planted / "data/features/test").backbone.name))
    assert re.fullmatch(
        rf"{model} with pooling mean, max_length 32, normalize true, no prompt", said(verb("extract"))[0]
    )


def test_fine_tuning_reads_all_windows(planted: Path, verb: Verb) -> None:
    set_params(planted, extract__long="chunks", finetune__method="full", finetune__epochs=1)
    run_stages(planted, "extract", "train_head", "finetune", "evaluate")
    metrics = json.loads((planted / "data/evaluation/details.json").read_text("utf-8"))
    assert metrics["finetuned"]["accuracy"] > 0.95
