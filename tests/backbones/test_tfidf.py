"""TF-IDF as a backbone."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams
from tests.backbones.text_backbones import CPU, TEXTS, load, settings
from tests.projects import MINILM, ROOT


def test_tfidf_is_that_of_scikit_learn_and_survives_saving(tmp_path: Path) -> None:
    words = BackboneParams(family="tfidf", name="word")
    backbone = load(words, settings(), CPU, training_texts=lambda: TEXTS)
    wanted = TfidfVectorizer().fit(TEXTS)
    np.testing.assert_allclose(backbone.encode(TEXTS).toarray(), wanted.transform(TEXTS).toarray(), atol=1e-6)
    backbone.save(tmp_path)
    again = load(words, settings(), CPU, saved=tmp_path)
    assert again.fingerprint == backbone.fingerprint
    assert (again.encode(TEXTS) != backbone.encode(TEXTS)).nnz == 0
    other = load(words, settings(), CPU, training_texts=lambda: [*TEXTS, "more words"])
    assert other.fingerprint != backbone.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": MINILM}, "must be word or char_wb with family tfidf"),
        ({"weights": "random"}, "no random weights"),
        ({"weights": "absent.txt"}, "one document per line"),
        ({"weights": str(ROOT / "data/pretrained")}, "one document per line"),
        ({"weights": "EMPTY"}, "has no words"),
    ],
)
def test_tfidf_that_cannot_be_fitted_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    if changes.get("weights") == "EMPTY":
        (tmp_path / "empty.txt").write_text("\n", "utf-8")
        changes = {"weights": str(tmp_path / "empty.txt")}
    with pytest.raises(HeadstartError, match=message):
        load(BackboneParams(**{"family": "tfidf", "name": "word", **changes}), settings(), CPU)
