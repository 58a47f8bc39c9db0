import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.heads import choosing, linear_layer, loading, persistence
from stages.scores import calibration

KINDS = ("logistic", "linear_svm", "ridge", "knn", "mlp")


def data(classes: int, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = np.arange(rows) % classes
    X = generator.normal(size=(rows, 10)) + 1.5 * np.eye(10)[y]
    return X.astype(np.float32), np.array([f"class {each}" for each in y], dtype=object)


def settings(kind: str, **changes: Any) -> TrainHeadParams:
    return TrainHeadParams(**{"kind": kind, "C": (0.1, 1.0), "neighbors": (3, 200), "folds": 3, **changes})


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
    layer = linear_layer.from_head(head)
    assert (layer is None) == (kind in ("knn", "mlp"))
    if layer:
        linear_layer.write(tmp_path, *layer)
        weight, bias = linear_layer.read(tmp_path) or (None, None)
        np.testing.assert_allclose(loading.softmax(np.asarray(form(X) @ weight.T) + bias), P, atol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_same_head_gives_the_same_bytes(tmp_path: Path, form: Any) -> None:
    X, labels = data(3)
    for kind in KINDS:
        contents = []
        for _ in range(2):
            persistence.save(choosing.fit(form(X), labels, settings(kind))[0], tmp_path / "head.skops")
            contents.append((tmp_path / "head.skops").read_bytes())
        assert contents[0] == contents[1], kind


def test_cross_validation_finds_the_value_with_the_lowest_log_loss() -> None:
    X, labels = data(3)
    _, chosen = choosing.fit(X, labels, settings("logistic", C=(1e-6, 0.1, 1e6)))
    assert chosen.value == 0.1
    noise = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    assert choosing.fit(noise, labels, settings("logistic", C=(1e-6, 1e6)))[1].value == 1e-6


def test_large_tables_take_the_other_solver_and_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(3)
    small, by_scikit_learn = choosing.fit(X, labels, settings("logistic"))
    monkeypatch.setattr(choosing, "LARGE", 0)
    large, ours = choosing.fit(X, labels, settings("logistic"))
    assert ours.value == by_scikit_learn.value
    np.testing.assert_allclose(ours.log_losses, by_scikit_learn.log_losses, atol=2e-3)
    assert not np.array_equal(large.probabilities(X), small.probabilities(X))
    np.testing.assert_allclose(large.probabilities(X), small.probabilities(X), atol=5e-3)


def test_a_single_value_needs_no_cross_validation() -> None:
    X, labels = data(3, rows=3)
    head, chosen = choosing.fit(X, labels, settings("logistic", C=(1.0,)))
    assert chosen.folds == 0 and head.temperature == 1
    wanted = LogisticRegression(C=1.0, max_iter=1000).fit(X, labels.astype(str)).predict_proba(X)
    np.testing.assert_allclose(head.probabilities(X), wanted, atol=1e-5)


@pytest.mark.parametrize("changes", [{"kind": "logistic"}, {"kind": "ridge", "C": (1.0,)}])
def test_a_class_with_too_few_rows_is_named(changes: dict[str, Any]) -> None:
    X, labels = data(3, rows=30)
    labels[labels == "class 2"] = "class 1"
    labels[0] = "rare"
    with pytest.raises(HeadstartError, match="class rare has 1 training row, but"):
        choosing.fit(X, labels, settings(**changes))


def test_folds_shrink_to_the_smallest_class() -> None:
    X, labels = data(3, rows=6)
    assert choosing.fit(X, labels, settings("logistic", folds=5))[1].folds == 2


def test_balanced_weights_help_the_rare_class() -> None:
    X, labels = data(2)
    keep = np.r_[np.flatnonzero(labels == "class 0"), np.flatnonzero(labels == "class 1")[:6]]
    rare = [
        choosing.fit(X[keep], labels[keep], settings("logistic", class_weight=weight))[0].probabilities(X)[:, 1].mean()
        for weight in (None, "balanced")
    ]
    assert rare[1] > rare[0] + 0.1


def test_the_temperature_minimises_log_loss() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 3000)
    honest = generator.normal(size=(3000, 3)) + 2 * np.eye(3)[y]
    true_scores = 2 * honest  # of unit noise and distance 2, the likelihood ratio is exp(2 x)
    assert calibration.fit_temperature(true_scores * 4, y) == pytest.approx(4, rel=0.1)
    assert calibration.log_loss(true_scores, y) == pytest.approx(log_loss(y, np.exp(log_softmax(true_scores, axis=1))))


def test_archives_that_are_no_head_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.skops"
    with pytest.raises(HeadstartError, match="does not exist"):
        persistence.load(path, ("a", "b"), 1.0)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(HeadstartError, match="not a head"):
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


def test_cross_validation_fits_on_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(3, rows=300)
    order = np.argsort(labels, kind="stable")  # sorted by class: the first rows are no sample of all
    X, labels = X[order], labels[order]
    labels[:2] = "rare"
    whole = choosing.out_of_fold(X, labels, 1.0)
    sizes: list[int] = []
    fit = choosing._fit
    monkeypatch.setattr(choosing, "_fit", lambda X, *rest: (sizes.append(len(X)), fit(X, *rest))[1])
    monkeypatch.setattr(choosing, "MAX_FIT_ROWS", 60)
    some = choosing.out_of_fold(X, labels, 1.0)
    assert len(sizes) == 2 and all(60 <= size <= 64 for size in sizes)
    assert some.shape == whole.shape == (300, 4) and not np.array_equal(some, whole)
    truth = np.unique(labels.astype(str), return_inverse=True)[1]
    right = [(P.argmax(axis=1) == truth).mean() for P in (some, whole)]
    assert right[1] > right[0] > 0.55, "of the first 60 rows alone, whose class is one, it would be a third"
