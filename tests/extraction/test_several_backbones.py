"""A list of backbones through the pipeline: vectors are joined, and every member has its own row cache."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from stages.backbones.encoder import Encoded, Encoder
from stages.heads import from_disk
from stages.tables import features
from tests.projects import RANDOM_SQUEEZENET, Verb, contents, set_params, use_backbones


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts networks were given, call by call."""
    rows: list[int] = []
    stream = Encoder.stream

    def counted(self: Encoder, inputs: Sequence[Any]) -> Iterator[Encoded]:
        rows.append(len(inputs))
        return stream(self, inputs)

    monkeypatch.setattr(Encoder, "stream", counted)
    return rows


def run(verb: Verb, *names: str) -> None:
    for name in names:
        verb(name)


def test_a_member_is_encoded_once_and_only_the_changed_one_again(
    trained: Path, verb: Verb, tiny_encoder: Path, encoded: list[int]
) -> None:
    tiny = f"transformers:{tiny_encoder}"
    random = {"family": "transformers", "name": str(tiny_encoder), "weights": "random"}
    verb("extract")
    encoded.clear()
    for words in ("tfidf:char_wb", "tfidf:word"):
        use_backbones(trained, tiny, words)
        assert "160 rows (160 from the cache)" in verb("extract").stdout
    use_backbones(trained, "tfidf:word", tiny)
    verb("extract")
    assert not encoded, "only TF-IDF changed, and the order"
    use_backbones(trained, tiny, random, "tfidf:word")
    assert "160 rows (160 vectors from the cache)" in verb("extract").stdout
    assert sum(encoded) == 160, "those of the new member alone"
    encoded.clear()
    use_backbones(trained, random)
    assert "160 rows (160 from the cache)" in verb("extract").stdout and not encoded


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_table_is_the_same_without_the_row_cache(trained: Path, verb: Verb, tiny_encoder: Path, dtype: str) -> None:
    use_backbones(trained, f"transformers:{tiny_encoder}", "tfidf:char_wb")
    set_params(trained, extract__dtype=dtype)
    run(verb, "extract", "extract")
    cached = contents(trained / "data/features")
    set_params(trained, runtime__row_cache=False)
    verb("extract")
    assert contents(trained / "data/features") == cached


def test_a_list_of_one_is_the_section_alone(trained: Path, verb: Verb) -> None:
    section = yaml.safe_load((trained / "params.yaml").read_text("utf-8"))["backbone"]
    run(verb, "extract", "train_head")
    alone = contents(trained / "data/features") | contents(trained / "data/head")
    use_backbones(trained, section)
    run(verb, "extract", "train_head")
    assert contents(trained / "data/features") | contents(trained / "data/head") == alone


@pytest.mark.parametrize(
    "kind",
    ["logistic", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("linear_svm", "ridge", "knn", "mlp"))],
)
def test_predict_says_what_evaluate_says(trained: Path, verb: Verb, tiny_encoder: Path, kind: str) -> None:
    use_backbones(trained, f"transformers:{tiny_encoder}", "tfidf:word", "tfidf:char_wb")
    set_params(
        trained, train_head__kind=kind, evaluate__explain=2, evaluate__learning_curve=[2], evaluate__bootstrap=20
    )
    run(verb, "extract", "train_head", "finetune", "evaluate")
    card = json.loads((trained / "data/head/model.json").read_text("utf-8"))
    assert [member["name"] for member in card["backbone"]] == [str(tiny_encoder), "word", "char_wb"]
    assert {path.name for path in (trained / "data/head/backbone").iterdir()} == {"1", "2"}
    page = (trained / "data/evaluation/report.html").read_text("utf-8")
    assert f"by transformers:{tiny_encoder} + tfidf:word + tfidf:char_wb</h1>" in page and "backbone 3 of 3" in page
    verb("predict", "data/head", "data/reviews.csv", "out.parquet")
    judged = pq.read_table(trained / "data/evaluation/predictions.parquet").to_pandas().query("model == 'head'")
    texts = pq.read_table(trained / "data/prepared/test").to_pandas()[["id", "text"]]
    both = judged.merge(texts, on="id").merge(pq.read_table(trained / "out.parquet").to_pandas(), on="text")
    assert len(both) == len(judged) > 20 and (both["predicted_x"] == both["predicted_y"]).all()
    np.testing.assert_allclose(both["p_good_x"], both["p_good_y"], atol=1e-5)


def test_a_wide_dense_combination_is_fitted_from_disk(
    trained: Path, verb: Verb, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = {"family": "transformers", "name": str(tiny_encoder), "weights": "random"}
    use_backbones(trained, f"transformers:{tiny_encoder}", random)
    verb("extract")
    X = features.read(trained / "data/features", "train").X
    assert isinstance(X, np.ndarray) and X.shape[1] == 64
    monkeypatch.setattr(from_disk.choosing, "MAX_FIT_ROWS", 50)
    verb("train_head")
    run(verb, "finetune", "evaluate")


def test_two_image_backbones(project: Path, verb: Verb) -> None:
    for row in range(24):
        path = project / f"data/pictures/{'dark' if row % 2 else 'light'}/{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24, 24), 30).point([row % 2 * 90 + value // 3 for value in range(256)]).save(path)
    set_params(project, **RANDOM_SQUEEZENET, prepare__data="data/pictures", runtime__device="cpu")
    set_params(project, evaluate__explain=1, evaluate__learning_curve=[2], evaluate__bootstrap=20)
    use_backbones(project, {"family": "torchvision", "name": "squeezenet1_1", "weights": "random"}, "pixels:rgb")
    run(verb, "prepare", "extract", "train_head", "finetune", "evaluate")
    assert features.read_metadata(project / "data/features/train").dim == 512 + 3 * 32 * 32
    verb("predict", "data/head", "data/pictures", "out.csv")


@pytest.mark.parametrize(
    ("backbones", "sentence"),
    [
        (["tfidf:word", "pixels:rgb"], "backbone.family pixels does not encode text"),
        (["tfidf:word", "tfidf: word"], "backbone: names tfidf:word twice; name it once"),
        ([], "backbone: is an empty list; name a backbone"),
    ],
)
def test_a_wrong_list_is_one_sentence(trained: Path, verb: Verb, backbones: list[object], sentence: str) -> None:
    use_backbones(trained, *backbones)
    done = verb("extract", check=False)
    assert done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_finetune_trains_no_list(trained: Path, verb: Verb) -> None:
    use_backbones(trained, "tfidf:word", "tfidf:char_wb")
    run(verb, "extract", "train_head")
    set_params(trained, finetune__preset="auto", finetune__epochs=None, finetune__learning_rate=None)
    assert "finetune: auto keeps the head: backbone is a list of 2" in verb("finetune").stdout
    set_params(trained, finetune__preset="none", finetune__method="full")
    done = verb("finetune", check=False)
    assert done.returncode == 1 and done.stderr == (
        "error: finetune.method is full, but backbone is a list of 2, and only one by itself can be trained; set"
        " finetune.method to none, or backbone to one alone, of family transformers or torchvision or timm\n"
    )
