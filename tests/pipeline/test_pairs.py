"""`extract.combine: pair` from the raw table to the predictions."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import transformers

from stages import backbones
from stages.common.params import ExtractParams, RuntimeParams
from stages.extraction import ray_batches
from stages.heads import model_card
from stages.tables import features, prepared
from tests.dvc_here import dvc
from tests.hostile.verbs import here, refused
from tests.pipeline.test_reruns import STAGES
from tests.projects import contents, ran, run, run_stages, set_params, stage

COLUMNS = ["title", "body"]


def rows() -> list[tuple[str, str, str]]:
    """Title, body and label; one column has the word that decides, and some bodies look like a heading."""
    generator = np.random.default_rng(0)
    words = ["i", "this", "product", "is", "the", "a", "movie"]
    table = []
    for row in range(160):
        label, word = ("good", "love") if row % 2 else ("bad", "hate")
        first = " ".join([word, *generator.choice(words, 6), str(row)]) if row % 7 else ""
        second = " ".join(
            [*generator.choice(words, 60 if row % 5 == 0 else 5), word, "body: the\nbody: movie", str(row)]
        )
        table.append((first, second if row % 11 or not first else "", label))
    return table


@pytest.fixture
def pairs(project: Path, tiny_encoder: Path) -> Path:
    """A prepared project of two columns of texts."""
    with (project / "data/pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*COLUMNS, "label"], *rows()])
    set_params(
        project,
        prepare__data="data/pairs.csv",
        prepare__input=COLUMNS,
        prepare__label="label",
        backbone__name=str(tiny_encoder),
        backbone__revision=None,
        extract__max_length=32,
        extract__combine="pair",
        runtime__device="cpu",
        evaluate__learning_curve=[],
        evaluate__bootstrap=50,
        finetune__epochs=1,
        finetune__label_names=True,
    )
    return run_stages(project, "prepare")


def test_the_prepared_table_keeps_where_the_columns_end(pairs: Path) -> None:
    raw = {(first, second) for first, second, _ in rows()}
    table = pairs / "data/prepared"
    read = [
        pair
        for split in prepared.SPLITS
        for w in prepared.windows(table, split, "text", combine="pair")
        for pair in w.inputs
    ]
    assert len(read) == 160 and set(read) == raw
    train = prepared.read(table, "train")
    assert train.column_names == ["id", "text", "spans", "label", "group", "slice", "source"]
    assert train["id"].to_pylist() == [prepared.content_id(text) for text in train["text"].to_pylist()]
    joined = [text for window in prepared.windows(table, "train", "text") for text in window.inputs]
    assert joined == train["text"].to_pylist()
    for (first, second), text in zip(prepared.inputs(train, "text", combine="pair"), joined, strict=True):
        assert text == "\n".join([f"title: {first}"] * bool(first) + [f"body: {second}"] * bool(second))


def test_one_or_three_columns_keep_their_table(project: Path) -> None:
    (project / "data/three.csv").write_text(
        "a,b,c,label\n" + "".join(f"x {n},y,z,{'pq'[n % 2]}\n" for n in range(40)), "utf-8"
    )
    for columns in (["a"], ["a", "b", "c"]):
        set_params(project, prepare__data="data/three.csv", prepare__input=columns, prepare__label="label")
        stage(project, "prepare")
        assert "spans" not in prepared.read(project / "data/prepared", "train").column_names


def test_every_stage_reads_pairs(pairs: Path) -> None:
    set_params(pairs, finetune__method="full")
    done = stage(pairs, "extract")
    lines = [line.removeprefix("extract: ") for line in done.stdout.splitlines()]
    assert lines[0].endswith("no prompt, the texts of two columns as a pair")
    assert lines[1].startswith("30 of 160 pairs are longer than 32 tokens and cut (median") and "chunks" not in lines[1]
    run_stages(pairs, "train_head", "finetune", "evaluate")
    metrics = json.loads((pairs / "data/evaluation/details.json").read_text("utf-8"))
    test = features.read(pairs / "data/features", "test")
    assert metrics["cut_rows"] == test.cut_rows > 3 and metrics["head"]["accuracy"] > 0.9

    card = model_card.read_head(pairs / "data/head")
    assert card.extract.combine == "pair" and card.input == tuple(COLUMNS)
    encoder = backbones.load_encoder(card.backbone, card.extract, RuntimeParams(device="cpu"), "text")
    (inputs,) = [window.inputs for window in prepared.windows(pairs / "data/prepared", "test", "text", combine="pair")]
    np.testing.assert_allclose(test.X, encoder.encode(inputs), atol=1e-3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(card.backbone.name)
    lengths = [len(ids) for ids in tokenizer(*(list(column) for column in zip(*inputs, strict=True)))["input_ids"]]
    assert test.is_long is not None and test.is_long.tolist() == [length > 32 for length in lengths]

    for model in ("head", "finetuned"):
        stage(pairs, "predict", f"data/{model}", "data/pairs.csv", "out.parquet")
        predicted = {row["source"]: row for row in pq.read_table(pairs / "out.parquet").to_pylist()}
        raw = prepared.inputs_and_sources(pairs / "data/prepared", "test", "text", test.ids.tolist())
        sources = {row_id: source for row_id, _, source in raw}
        evaluated = pq.read_table(pairs / "data/evaluation/predictions.parquet").to_pylist()
        evaluated = [row for row in evaluated if row["model"] == model]
        assert len(evaluated) == len(test.ids)
        for row in evaluated:
            new = predicted[sources[row["id"]]]
            assert new["p_good"] == pytest.approx(row["p_good"], abs=1e-3)  # vectors are stored as float16
            assert new["predicted"] == row["predicted"] or abs(row["p_good"] - 0.5) < 1e-3


def test_joined_texts_get_other_vectors_and_both_stay_in_the_row_cache(pairs: Path) -> None:
    stage(pairs, "extract")
    paired = contents(pairs / "data/features")
    set_params(pairs, extract__combine="join")
    done = stage(pairs, "extract")
    assert "from the cache" not in done.stdout and "extract.long: chunks reads them whole" in done.stdout
    joined = features.read(pairs / "data/features", "train")
    set_params(pairs, extract__combine="pair")
    assert "(160 from the cache)" in stage(pairs, "extract").stdout
    assert contents(pairs / "data/features") == paired
    assert np.abs(features.read(pairs / "data/features", "train").X - joined.X).max() > 0.01


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"prepare__input": "body"},
        "prepare",
        "extract.combine is pair, which needs two columns of texts, but prepare.input",
    ),
    (
        {"prepare__input": ["title", "body", "label"]},
        "extract",
        "prepare.input names 3; name two, or set combine to join",
    ),
    (
        {"extract__long": "chunks"},
        "train_head",
        "extract: combine is pair and long is chunks, but the two texts of a pair",
    ),
    ({"backbone__family": "tfidf", "backbone__name": "word"}, "extract", "family tfidf reads no pairs of texts; set"),
    ({"extract__combine": "pairs"}, "extract", "extract.combine is 'pairs', but must be one of 'join' or 'pair'"),
]


@pytest.mark.parametrize(("changes", "verb", "words"), REFUSED)
def test_what_is_no_pair_is_refused_before_any_work(
    pairs: Path, changes: dict[str, Any], verb: str, words: str
) -> None:
    set_params(pairs, **changes)
    refused(here(pairs, verb), words)
    assert not (pairs / "data/features").exists()


def test_images_are_refused(pairs: Path, tmp_path: Path) -> None:
    from tests.finetuning.recipes import pictures

    for row, (picture, label) in enumerate(zip(*pictures(40), strict=True)):
        path = pairs / "data/photos" / "ab"[label] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    set_params(pairs, prepare__data="data/photos")
    stage(pairs, "prepare")
    refused(here(pairs, "extract"), "extract.combine is pair, but the prepared rows hold images; set combine to join")


def test_a_table_that_another_version_prepared_is_made_again(pairs: Path) -> None:
    for path in (pairs / "data/prepared").glob("*/part-*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["spans"]), path)
    refused(here(pairs, "extract"), "has no column spans; run `dvc repro` to make it again")


def test_workers_of_ray_get_the_same_inputs_and_keys(pairs: Path) -> None:
    folder = pairs / "data/prepared"
    empty: Any = SimpleNamespace(get=lambda keys: (np.zeros(len(keys), bool), None))
    settings = ExtractParams(combine="pair")
    (batch,) = ray_batches.missing(folder, empty, "text", settings, unlabelled=(), advance=lambda _: None)
    windows = [w for table in prepared.SPLITS for w in prepared.windows(folder, table, "text", combine="pair")]
    assert batch.inputs == tuple(pair for window in windows for pair in window.inputs)
    assert batch.keys == tuple(prepared.content_id(pair) for pair in batch.inputs)
    assert batch.ids == tuple(row_id for window in windows for row_id in window.ids)


@pytest.mark.slow
def test_a_cluster_makes_the_same_table(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    stage(pairs, "extract")
    local = contents(pairs / "data/features")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "on-ray"))
    set_params(pairs, runtime__engine="ray")
    done = run(pairs, "python", "-m", "stages.extract", "data/prepared", "data/features")
    assert "(160 from the cache)" in done.stdout and contents(pairs / "data/features") == local


@pytest.mark.slow
def test_a_change_of_combine_reruns_what_follows_prepare(pairs: Path) -> None:
    assert ran(dvc(pairs, "repro")) == STAGES
    set_params(pairs, extract__combine="join")
    assert ran(dvc(pairs, "repro")) == STAGES[1:]
    set_params(pairs, extract__combine="pair")
    assert ran(dvc(pairs, "repro")) == []
