"""Which words or regions decided: shares sum to the difference, and the planted word or patch ranks first."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stages.common.errors import HeadstartError
from stages.common.params import RuntimeParams
from stages.evaluation import explanations
from stages.evaluation.input_parts import Part, Picture, Text
from stages.finetuning import trained_model
from stages.finetuning.trained_model import TrainedModel
from stages.heads import model_card
from tests.projects import RANDOM_SQUEEZENET, TFIDF, UP_TO_HEAD, make_project, run_stages, set_params, stage

FILLER = ["order", "today", "the", "of", "shop", "with", "again", "blue", "late", "open", "under", "seven"]
PLANTED = ["violin", "zebra"]
KINDS = ["logistic", "linear_svm", "ridge", "knn", "mlp"]


def sentence(generator: np.random.Generator, planted: str, words: int = 14) -> str:
    """Filler with a planted word anywhere."""
    chosen = generator.choice(FILLER, words).tolist()
    chosen.insert(int(generator.integers(words + 1)), planted)
    return " ".join(chosen)


def picture(generator: np.random.Generator, label: int, side: int = 64) -> tuple[bytes, tuple[float, float]]:
    """Faint noise with a bright patch whose colour is the label; with the patch's left and top edge, from 0 to 1."""
    pixels = generator.integers(120, 136, (side, side, 3)).astype(np.uint8)
    top, left = (int(generator.integers(4)) * side // 4 for _ in range(2))
    pixels[top : top + side // 4, left : left + side // 4] = [(255, 0, 0), (0, 0, 255)][label]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue(), (left / side, top / side)


def parts(explanation: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads(explanation)["parts"]
    return parts


def has_sum(explanation: str, difference: float) -> bool:
    """Whether the shares sum to the difference within 1 %."""
    total = sum(part["share"] for part in parts(explanation))
    return bool(abs(total - difference) <= 0.01 * abs(difference) + 1e-5)


def texts_project(folder: Path, words: int = 14, **changes: object) -> Path:
    """A head on texts of which one word tells the label."""
    generator = np.random.default_rng(0)
    project = make_project(folder)
    lines = [f"{sentence(generator, PLANTED[n % 2], words)} {n},{PLANTED[n % 2]}" for n in range(120)]
    (project / "data/rows.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    set_params(project, prepare__data="data/rows.csv", prepare__label="label", **changes)
    return run_stages(project, *UP_TO_HEAD)


def model(project: Path) -> TrainedModel:
    folder = project / "data/head"
    return trained_model.load(folder, model_card.read_head(folder), RuntimeParams(device="cpu"))


def explained_texts(model: TrainedModel, words: int = 14) -> float:
    """The share of new texts whose planted word ranks first; checks all sums."""
    generator = np.random.default_rng(1)
    labels = np.arange(12) % 2
    texts = [sentence(generator, PLANTED[k], words) for k in labels]
    P, empty = model.probabilities(texts), model.probabilities([""])[0]
    predicted = P.argmax(axis=1)
    first = []
    for row, explanation in enumerate(explanations.explain(texts, model.scores, "text", predicted.tolist())):
        assert has_sum(explanation, P[row, predicted[row]] - empty[predicted[row]])
        assert "".join(part["words"] for part in parts(explanation)) == texts[row]
        best = max(parts(explanation), key=lambda part: part["share"])
        first.append(best["words"].strip() == PLANTED[labels[row]])
    return float(np.mean(first))


@pytest.mark.parametrize("kind", KINDS)
def test_the_planted_word_ranks_first_with_tfidf_and_every_head(tmp_path: Path, kind: str) -> None:
    # Among so few words, k-nearest neighbours go by filler too: texts with the same filler are near.
    words, least = (4, 0.75) if kind == "knn" else (14, 1)
    project = texts_project(tmp_path / "project", words, **TFIDF, train_head__kind=kind)
    assert explained_texts(model(project), words) >= least


@pytest.mark.slow
def test_the_planted_word_ranks_first_with_a_transformer(tmp_path: Path) -> None:
    changes = {"extract__max_length": 64, "runtime__row_cache": False}
    assert explained_texts(model(texts_project(tmp_path / "project", **changes))) == 1


@pytest.mark.parametrize("words", [1, 2, 40, 400])
def test_a_word_ranks_first_in_a_text_of_any_length(words: int) -> None:
    def scores(texts: Sequence[str]) -> np.ndarray:
        p = np.array([0.9 if "zebra" in text else 0.3 for text in texts])
        return np.log(np.stack([1 - p, p], axis=1))

    text = sentence(np.random.default_rng(words), "zebra", words - 1)
    [explanation] = explanations.explain([text], scores, "text", [1])
    assert has_sum(explanation, 0.6)
    assert len(parts(explanation)) <= explanations.MAX_HALVINGS + 1
    deciding = [part for part in parts(explanation) if part["share"]]  # the others have exactly 0
    assert [part["words"].strip() for part in deciding] == ["zebra"]


def test_words_that_decide_together_share_alike_and_others_get_nothing() -> None:
    def scores(texts: Sequence[str]) -> np.ndarray:
        p = np.array([0.1 + 0.8 * ("not" in text.split() and "good" in text.split()) for text in texts])
        return np.log(np.stack([1 - p, p], axis=1))

    [explanation] = explanations.explain(["it is not at all good today"], scores, "text", [1])
    shares = {part["words"].strip(): part["share"] for part in parts(explanation)}
    assert shares.pop("not") == pytest.approx(0.4) and shares.pop("good") == pytest.approx(0.4)
    assert set(shares.values()) == {0.0}


def test_a_mistake_is_explained_as_a_choice_between_the_predicted_and_the_true_label() -> None:
    def scores(texts: Sequence[str]) -> np.ndarray:
        return np.array([[2.0 * ("zebra" in text), 1.5 * ("violin" in text), 0] for text in texts])

    text = "a zebra and a violin"
    [explanation] = explanations.explain([text], scores, "text", [0], [1])
    content = json.loads(explanation)
    chosen, unknown = 1 / (1 + np.exp(-0.5)), 0.5
    assert content["output"] == pytest.approx(chosen, abs=1e-6)
    assert content["empty"] == pytest.approx(unknown, abs=1e-6)
    assert has_sum(explanation, chosen - unknown)
    shares = {part["words"].strip(): part["share"] for part in content["parts"]}
    assert max(shares, key=shares.__getitem__) == "zebra" and min(shares, key=shares.__getitem__) == "violin"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two  words ", ["two", "  words "]),
        ("", [""]),
        ("   ", ["   "]),
        ("東京は 好き", ["東", "京", "は", " 好", "き"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("안녕 세계", ["안녕", " 세계"]),
        ("it's fine,\nreally", ["it's", " fine,", "\nreally"]),
    ],
)
def test_words_of_every_script_tile_the_text(text: str, words: list[str]) -> None:
    whole = Text(text).whole
    cells = [Part(0, column, 1, column + 1) for column in range(whole.right)]
    assert [Text(text).describe(cell)["words"] for cell in cells] == words
    assert Text(text).without(whole) == ""


def test_a_pair_of_texts_keeps_its_border() -> None:
    pair = Text(("a b", "c d"))
    assert pair.without(Part(0, 1, 1, 3)) == ("a", " d")
    assert pair.without(pair.whole) == ("", "")
    assert [pair.describe(Part(0, column, 1, column + 1))["words"] for column in range(4)] == ["a", " b", "\nc", " d"]
    assert pair.describe(pair.whole) == {"words": "a b\nc d"}


def photos_project(folder: Path, **changes: object) -> Path:
    """A head on pictures of which the colour of one patch tells the label."""
    generator = np.random.default_rng(0)
    project = make_project(folder)
    for n in range(80):
        path = project / f"data/photos/{'red' if n % 2 == 0 else 'sky'}/{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(generator, n % 2)[0])
    set_params(project, prepare__data="data/photos", **changes)
    return run_stages(project, *UP_TO_HEAD)


PIXELS = {"backbone__family": "pixels", "backbone__name": "rgb", "backbone__revision": None}


@pytest.mark.parametrize("changes", [PIXELS, {**RANDOM_SQUEEZENET, "extract__image_size": 64}], ids=["pixels", "net"])
def test_the_planted_patch_ranks_first(tmp_path: Path, changes: dict[str, object]) -> None:
    network = model(photos_project(tmp_path / "project", **changes))
    generator = np.random.default_rng(1)
    pictures, edges = zip(*(picture(generator, n % 2) for n in range(8)), strict=True)
    P = network.probabilities(pictures)
    predicted = P.argmax(axis=1)
    rows = np.flatnonzero(predicted == np.arange(8) % 2)
    assert len(rows) >= 6
    chosen = [pictures[row] for row in rows]
    for row, explanation in zip(
        rows, explanations.explain(chosen, network.scores, "image", predicted[rows].tolist()), strict=True
    ):
        plain = Picture(pictures[row])
        empty = network.probabilities([plain.without(plain.whole)])[0, predicted[row]]
        assert has_sum(explanation, P[row, predicted[row]] - empty)
        left, top, right, bottom = max(parts(explanation), key=lambda part: part["share"])["box"]
        x, y = edges[row]
        assert left < x + 1 / 4 and x < right and top < y + 1 / 4 and y < bottom, "they overlap"


def test_regions_tile_a_picture_of_any_shape() -> None:
    for size in ((1, 1), (3, 50), (201, 97)):
        out = io.BytesIO()
        Image.new("RGB", size, "red").save(out, "PNG")
        whole = Picture(out.getvalue()).whole
        assert Picture(out.getvalue()).describe(whole)["box"] == [0, 0, 1, 1]
        [explanation] = explanations.explain([out.getvalue()], constant, "image", [0])
        boxes = [part["box"] for part in parts(explanation)]
        area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
        assert area == pytest.approx(1, abs=0.01)


def constant(inputs: Sequence[Any]) -> np.ndarray:
    return np.full((len(inputs), 2), 0.5)


def test_more_rows_than_are_explained_together_keep_their_order() -> None:
    def scores(texts: Sequence[str]) -> np.ndarray:
        p = np.array([(len(text) + 1) / 1000 for text in texts])
        return np.log(np.stack([1 - p, p], axis=1))

    texts = [" ".join(["ab"] * n) for n in range(1, 2 * explanations.ROWS_AT_A_TIME["text"])]
    explained = explanations.explain(texts, scores, "text", [1] * len(texts))
    assert ["".join(part["words"] for part in parts(explanation)) for explanation in explained] == texts
    assert explanations.explain([], scores, "text", []) == []


def evaluated(project: Path, **changes: object) -> tuple[list[dict[str, Any]], str]:
    """The rows of explanations.parquet with these settings, and what evaluate printed."""
    set_params(project, **{f"evaluate__{name}": value for name, value in changes.items()})
    printed = stage(project, "evaluate").stdout
    return pq.read_table(project / "data/evaluation/explanations.parquet").to_pylist(), printed


def test_evaluate_explains_its_most_confident_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(tmp_path / "project")
    generator = np.random.default_rng(0)
    lines = [f"{sentence(generator, PLANTED[n % 2])} {n},{PLANTED[(n % 2) ^ (n % 9 == 0)]}" for n in range(200)]
    (project / "data/rows.csv").write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    changes = {"prepare__data": "data/rows.csv", "prepare__label": "label", "evaluate__learning_curve": []}
    set_params(project, **changes, **TFIDF)
    run_stages(project, *UP_TO_HEAD, "finetune")
    rows, _ = evaluated(project, explain=3)
    predictions = pq.read_table(project / "data/evaluation/predictions.parquet").to_pylist()
    wrong = [row for row in predictions if row["model"] == "head" and row["predicted"] != row["label"]]
    wrong.sort(key=lambda row: -row["confidence"])
    assert len(wrong) > 3 and [row["id"] for row in rows] == [row["id"] for row in wrong[:3]]
    for row in rows:
        best = max(parts(row["explanation"]), key=lambda part: part["share"])
        assert best["words"].strip() == row["predicted"] != row["label"], "a planted word that the label contradicts"

    file = project / "data/evaluation/explanations.parquet"
    before = file.read_bytes()
    monkeypatch.setattr(trained_model, "load", lambda *_: pytest.fail("nothing is computed twice"))
    assert evaluated(project, explain=3)[0] == rows and file.read_bytes() == before
    assert evaluated(project, explain=0)[0] == []

    def refuse(*_: object) -> TrainedModel:
        raise HeadstartError("no weights")

    monkeypatch.setattr(trained_model, "load", refuse)
    nothing, printed = evaluated(project, explain=4)
    assert nothing == [] and "evaluate: mistakes are not explained: no weights\n" in printed
