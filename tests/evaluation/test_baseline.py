from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer

from stages.common.errors import HeadstartError
from stages.evaluation import baseline
from stages.tables import prepared
from tests.pictures import encoded

TEXTS = ["the red door", "a red red wall", "the blue sea", "green grass and a blue sky", "sea and sky"]


def make_prepared(folder: Path, modality: str, contents: list[object]) -> Path:
    source = prepared.TableInfo(input="x", modality=modality, max_side=None)  # type: ignore[arg-type]
    for split, part in {"train": contents[:-1], "test": contents[-1:]}.items():
        with prepared.writer(folder / split, source) as writer:
            rows = [
                {"id": f"{split}{row}", modality: content, "label": "a", "group": None, "slice": None, "source": "x"}
                for row, content in enumerate(part)
            ]
            writer.write(pa.Table.from_pylist(rows, writer.schema))
    return folder


def test_texts_are_vectors_of_a_tfidf_fitted_on_the_chosen_rows_alone(tmp_path: Path) -> None:
    folder = make_prepared(tmp_path, "text", [*TEXTS])
    vectors = baseline.load(folder, "text", ["train3", "train0", "train2"], ["test0"])
    assert vectors
    for rows, texts in (([0, 2], [TEXTS[3], TEXTS[2]]), ([1, 0], [TEXTS[0], TEXTS[3]])):
        X, T = vectors(np.array(rows))
        wanted = TfidfVectorizer().fit(texts)
        np.testing.assert_allclose(X.toarray(), wanted.transform(texts).toarray(), rtol=1e-6)
        np.testing.assert_allclose(T.toarray(), wanted.transform([TEXTS[4]]).toarray(), rtol=1e-6)


def test_texts_without_words(tmp_path: Path) -> None:
    folder = make_prepared(tmp_path, "text", ["!", "?", "word", "word"])
    assert baseline.load(folder, "text", ["train0", "train1"], ["test0"]) is None
    vectors = baseline.load(folder, "text", ["train0", "train2"], ["test0"])
    assert vectors
    X, T = vectors(np.array([0]))
    assert X.shape == T.shape == (1, 1) and not X.nnz and not T.nnz, "a draw without words"


def test_images_are_their_pixels(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (50, 40), (shade, 0, 0)) for shade in (10, 200, 100)]
    folder = make_prepared(tmp_path, "image", [encoded(content) for content in pictures])
    vectors = baseline.load(folder, "image", ["train1", "train0"], ["test0"])
    assert vectors
    X, T = vectors(np.array([1]))
    assert X.shape == T.shape == (1, 3 * 32 * 32)
    np.testing.assert_allclose(X, T, atol=1e-6)


@pytest.mark.parametrize("ids", [(["train9"], ["test0"]), (["train0"], ["test9"])])
def test_a_missing_row_is_one_sentence(tmp_path: Path, ids: tuple[list[str], list[str]]) -> None:
    folder = make_prepared(tmp_path, "text", [*TEXTS])
    with pytest.raises(HeadstartError, match=r"lacks the row (train|test)9 of the feature table; run `dvc repro`"):
        baseline.load(folder, "text", *ids)
