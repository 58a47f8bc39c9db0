"""Several backbones as one."""

import functools
from pathlib import Path

import numpy as np
import pytest

from stages.backbones import deferred
from stages.backbones.combined import Combined
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams
from tests.backbones.text_backbones import CPU, TEXTS, settings

load = functools.partial(deferred.load, modality="text")
WORDS = BackboneParams(family="tfidf", name="word")
CHARACTERS = BackboneParams(family="tfidf", name="char_wb")


def fitted(*specs: BackboneParams, **changes: object) -> Combined:
    backbone = load(specs, settings(**changes), CPU, training_texts=lambda: TEXTS)
    assert isinstance(backbone, Combined)
    return backbone


@pytest.fixture
def tiny(tiny_encoder: Path) -> BackboneParams:
    return BackboneParams(family="transformers", name=str(tiny_encoder))


def dense(backbone: Combined) -> np.ndarray:
    X = backbone.encode(TEXTS)
    return X if isinstance(X, np.ndarray) else X.toarray()


def test_vectors_are_joined_in_order_and_every_member_has_length_1(tiny: BackboneParams) -> None:
    both = fitted(tiny, CHARACTERS)
    alone = [load(spec, settings(), CPU, training_texts=lambda: TEXTS) for spec in (tiny, CHARACTERS)]
    X = dense(both)
    assert both.is_sparse and X.shape == (len(TEXTS), both.dim) and both.dim == sum(member.dim for member in alone)
    np.testing.assert_allclose(X[:, :32], alone[0].encode(TEXTS), atol=1e-3)
    np.testing.assert_allclose(X[:, 32:], alone[1].encode(TEXTS).toarray(), atol=1e-6)
    for part in (X[:, :32], X[:, 32:]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)
    assert both.size_bytes == sum(member.size_bytes for member in alone)
    assert both.max_length == alone[0].max_length == 32


def test_normalize_false_joins_vectors_as_they_are() -> None:
    X = dense(fitted(WORDS, CHARACTERS, normalize=False))
    assert np.linalg.norm(X, axis=1).min() > 2
    scaled = dense(fitted(WORDS, CHARACTERS, normalize=True))
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), np.sqrt(2), atol=1e-5)


def test_dense_members_give_dense_vectors(tiny: BackboneParams) -> None:
    random = tiny.model_copy(update={"weights": "random"})
    both = fitted(tiny, random)
    assert not both.is_sparse and isinstance(both.encode(TEXTS), np.ndarray) and both.dim == 64


def test_the_fingerprint_depends_on_members_order_and_scale(tiny: BackboneParams) -> None:
    combinations = [
        fitted(WORDS, CHARACTERS),
        fitted(CHARACTERS, WORDS),
        fitted(WORDS, CHARACTERS, normalize=False),
        fitted(tiny, WORDS),
        fitted(tiny.model_copy(update={"weights": "random"}), WORDS),
        fitted(tiny, WORDS, pooling="cls"),
        fitted(tiny, WORDS, dtype="float32"),
    ]
    assert len({backbone.fingerprint for backbone in combinations}) == len(combinations)
    assert fitted(WORDS, CHARACTERS).fingerprint == combinations[0].fingerprint


def test_every_member_is_saved_and_loaded_again(tmp_path: Path, tiny: BackboneParams) -> None:
    specs = (WORDS, tiny, CHARACTERS)
    backbone = fitted(*specs)
    backbone.save(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "0/vocabulary.parquet",
        "2/vocabulary.parquet",
    ]
    again = load(specs, settings(), CPU, saved=tmp_path)
    assert again.fingerprint == backbone.fingerprint
    assert (again.encode(TEXTS) != backbone.encode(TEXTS)).nnz == 0


def test_a_text_without_known_words_keeps_a_zero_part(tiny: BackboneParams) -> None:
    X = fitted(tiny, WORDS).encode(["xyzzy"]).toarray()
    assert np.isfinite(X).all() and not X[0, 32:].any() and X[0, :32].any()


@pytest.mark.parametrize(
    ("specs", "changes", "message"),
    [
        ((WORDS, BackboneParams(family="pixels", name="rgb")), {}, "backbone.family pixels does not encode text"),
        ((WORDS, BackboneParams(family="tfidf", name="bytes")), {}, "must be word or char_wb with family tfidf"),
        ((CHARACTERS, WORDS), {"combine": "pair"}, "family tfidf reads no pairs of texts; set combine to join"),
        ((WORDS, BackboneParams(family="transformers", name="data/nowhere")), {}, "data/nowhere"),
    ],
)
def test_a_wrong_member_is_refused(specs: tuple[BackboneParams, ...], changes: dict[str, object], message: str) -> None:
    with pytest.raises(HeadstartError, match=message):
        fitted(*specs, **changes)
