from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from stages.common import cache_folder, params
from stages.heads import choosing, from_disk, lbfgs, persistence
from stages.tables import feature_writer, features
from stages.train_head import train_head
from tests.projects import ROOT

SETTINGS = params.TrainHeadParams(C=(0.1, 1.0), folds=3)


def table(folder: Path, X: np.ndarray | sparse.csr_matrix, labels: np.ndarray) -> Path:
    """A feature table whose train and validation splits are these rows, in shuffled order of ids."""
    settings = params.load(ROOT / "params.yaml")
    metadata = features.Metadata(
        backbone=settings.backbone,
        extract=settings.extract.model_copy(update={"dtype": "float32"}),
        fingerprint="0" * 64,
        dim=X.shape[1],
        sparse=sparse.issparse(X),
        input="text",
        modality="text",
        max_side=None,
    )
    ids = [f"{number:032x}" for number in np.random.default_rng(1).permutation(X.shape[0])]
    for split in ("train", "validation"):
        with feature_writer.Writer(folder / split, metadata) as writer:
            for start in range(0, X.shape[0], 700):
                rows = slice(start, start + 700)
                writer.write_rows(ids[rows], labels[rows].tolist(), X[rows])
    return folder


def rows(classes: int, count: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """Rows sorted by class, as a table of folders would be: the first ones are no sample of all."""
    generator = np.random.default_rng(0)
    y = np.sort(np.arange(count) % classes)
    X = generator.normal(size=(count, 12)) + 1.5 * np.eye(12)[y]
    return X.astype(np.float32), np.array([f"class {number}" for number in y], dtype=object)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_the_head_is_that_of_all_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int, class_weight: str | None
) -> None:
    monkeypatch.setattr(choosing, "MAX_FIT_ROWS", 300)
    monkeypatch.setattr(lbfgs, "BLOCK_ROWS", 128)
    X, labels = rows(classes)
    if class_weight:  # a rare class, which 300 rows drawn by chance may lack
        X, labels = np.vstack([X, X[:3] + 1]), np.append(labels, ["rare"] * 3)
    folder = table(tmp_path / "features", X, labels)
    settings = SETTINGS.model_copy(update={"class_weight": class_weight})
    assert from_disk.is_needed(folder, len(X), settings)
    ids, names = features.identities(folder, "train")
    before = sorted(cache_folder.root().rglob("*"))
    head, chosen = from_disk.fit(folder, np.arange(len(X)), ids, names, settings)
    assert sorted(cache_folder.root().rglob("*")) == before
    whole = LogisticRegression(C=chosen.value, class_weight=class_weight, tol=1e-8, max_iter=10_000)
    P = whole.fit(X, labels.astype(str)).predict_proba(X)
    assert head.labels == tuple(whole.classes_)
    assert np.abs(head.probabilities(X) - P).max() < 0.02
    sample, _ = choosing.fit(X[::7], labels[::7], settings.model_copy(update={"C": (chosen.value,)}))
    assert np.abs(sample.probabilities(X)[:, 0] - P[:, 0]).max() > 0.2, "a head on a sample differs"


def test_train_head_takes_it_past_the_stated_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    X, labels = rows(3)
    folder = table(tmp_path / "features", X, labels)
    written = []
    for most in (300, 2_000):
        monkeypatch.setattr(choosing, "MAX_FIT_ROWS", most)
        for name in ("head", "again"):
            train_head(features_folder=folder, target=tmp_path / name, budget=params.BudgetParams(), settings=SETTINGS)
            written.append((tmp_path / name / persistence.FILE).read_bytes())
        assert "on 2,000 rows" in capsys.readouterr().out
    assert written[0] == written[1] and written[2] == written[3] and written[0] != written[2]


def test_other_heads_and_sparse_features_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "MAX_FIT_ROWS", 300)
    X, labels = rows(2)
    dense, thin = table(tmp_path / "dense", X, labels), table(tmp_path / "sparse", sparse.csr_matrix(X), labels)
    assert from_disk.is_needed(dense, 301, SETTINGS) and not from_disk.is_needed(dense, 300, SETTINGS)
    assert not from_disk.is_needed(thin, 301, SETTINGS)
    assert not from_disk.is_needed(dense, 301, SETTINGS.model_copy(update={"kind": "ridge"}))
    np.testing.assert_array_equal(features.read(thin, "train").X.toarray(), features.read(dense, "train").X)


def test_rows_within_the_budget_are_read_alone(tmp_path: Path) -> None:
    X, labels = rows(4)
    folder = table(tmp_path / "features", X, labels)
    read = features.read(folder, "train", params.BudgetParams(per_class=5))
    whole = features.read(folder, "train")
    places = [whole.ids.tolist().index(number) for number in read.ids]
    assert len(places) == 20 and places == sorted(places)
    np.testing.assert_array_equal(read.X, X[places])
    assert read.labels.tolist() == labels[places].tolist()
