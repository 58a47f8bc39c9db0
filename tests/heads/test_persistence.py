"""Heads on disk."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier

from stages.common.errors import HeadstartError
from stages.heads import choosing, linear_layer, persistence
from tests.heads.tables import data, settings

KINDS = ("logistic", "linear_svm", "ridge", "knn", "mlp")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_every_head_learns_gives_probabilities_and_survives_saving(
    tmp_path: Path, kind: str, classes: int, form: Any
) -> None:
    X, labels = data(classes)
    head, chosen = choosing.fit(form(X), labels, settings(kind))
    P = head.probabilities(form(X))
    assert P.shape == (120, classes) and head.labels == tuple(sorted(set(labels)))
    np.testing.assert_allclose(P.sum(axis=1), 1)
    assert (np.array(head.labels)[P.argmax(axis=1)] == labels).mean() > 0.75
    assert chosen.value in chosen.candidates and len(chosen.log_losses) == len(chosen.candidates) == 2
    assert chosen.log_losses[chosen.candidates.index(chosen.value)] == min(chosen.log_losses) < np.log(classes)
    persistence.save(head, tmp_path / "head.skops")
    again = persistence.load(tmp_path / "head.skops", head.labels, head.temperature)
    np.testing.assert_array_equal(again.probabilities(form(X)), P)
    layer = head.layer()
    assert (layer is None) == (kind in ("knn", "mlp"))
    if layer:
        linear_layer.write(tmp_path, *layer)
        weight, bias = linear_layer.read(tmp_path) or (None, None)
        np.testing.assert_allclose(softmax(np.asarray(form(X) @ weight.T) + bias, axis=1), P, atol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_same_head_gives_the_same_bytes(tmp_path: Path, form: Any) -> None:
    X, labels = data(3)
    for kind in KINDS:
        contents = []
        for _ in range(2):
            persistence.save(choosing.fit(form(X), labels, settings(kind))[0], tmp_path / "head.skops")
            contents.append((tmp_path / "head.skops").read_bytes())
        assert contents[0] == contents[1], kind


def test_archives_that_are_no_head_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.skops"
    with pytest.raises(HeadstartError, match="does not exist"):
        persistence.load(path, ("a", "b"), 1.0)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(HeadstartError, match=r"head\.skops cannot be read"):
        persistence.load(path, ("a", "b"), 1.0)
    X, labels = data(2)
    persistence.save(choosing.fit(X, labels, settings("logistic"))[0], path)
    content = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(content, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "schema.json":
                schema = json.loads(text)
                schema["__module__"], schema["__class__"] = "os", "system"
                text = json.dumps(schema).encode()
            target.writestr(name, text)
    path.write_bytes(content.getvalue())
    with pytest.raises(HeadstartError, match=r"os\.system"):
        persistence.load(path, ("a", "b"), 1.0)
    import skops.io

    path.write_bytes(skops.io.dumps({"no": "head"}))
    with pytest.raises(HeadstartError, match="holds a dict, not a head"):
        persistence.load(path, ("a", "b"), 1.0)
    skops.io.dump(RandomForestClassifier(2).fit(X, labels.astype(str)), path)
    with pytest.raises(HeadstartError):
        persistence.load(path, ("a", "b"), 1.0)
