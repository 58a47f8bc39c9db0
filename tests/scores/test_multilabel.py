"""Metrics where any number of labels applies to a row: those of scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as sk

from stages.scores import metrics, multilabel
from stages.scores.average_precision import average_precision

NAMES = ("a", "b", "c", "d")


def sample(rows: int, labels: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    Y = generator.random((rows, labels)) < 0.3
    P = np.clip(0.3 * Y + 0.7 * generator.random((rows, labels)), 0, 1)
    P = P.round(1) if ties else P
    return Y, P, generator.uniform(0.3, 0.7, labels) <= P


def wanted(Y: np.ndarray, P: np.ndarray, D: np.ndarray) -> dict[str, float]:
    """What scikit-learn makes of it. For one column its functions take two classes, of which both would count."""
    columns = range(Y.shape[1])
    f1 = [sk.f1_score(Y[:, k], D[:, k], zero_division=np.nan) for k in columns]
    values = {
        "micro_f1": sk.f1_score(Y.ravel(), D.ravel(), zero_division=np.nan),
        "macro_f1": np.nan if np.isnan(f1).all() else np.nanmean(f1),
        "accuracy": sk.accuracy_score(Y, D),
        "hamming_loss": sk.hamming_loss(Y, D),
        "log_loss": np.mean([sk.log_loss(Y[:, k], P[:, k], labels=[False, True]) for k in columns]),
    }
    if Y.any():
        has_rows = Y.any(axis=0)
        values["mean_average_precision"] = sk.average_precision_score(Y[:, has_rows], P[:, has_rows], average="macro")
    return {name: value for name, value in values.items() if not np.isnan(value)}


@pytest.mark.parametrize("labels", [1, 2, 7])
@pytest.mark.parametrize("ties", [False, True])
def test_headline_metrics_are_those_of_scikit_learn(labels: int, ties: bool) -> None:
    Y, P, D = sample(200, labels, labels, ties=ties)
    assert multilabel.headline(Y, P, D) == pytest.approx(wanted(Y, P, D))
    if labels > 1:
        assert multilabel.headline(Y, P, D)["macro_f1"] == pytest.approx(sk.f1_score(Y, D, average="macro"))


def degenerate() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    Y, P, D = sample(30, 4, 0)
    absent, none_given, always = Y.copy(), D.copy(), Y.copy()
    absent[:, 1], none_given[:, 2], always[:, 0] = False, False, True
    never = np.zeros_like(Y)
    return {
        "a label is absent from the truth": (absent, P, D),
        "a label is never given": (Y, P, none_given),
        "a label is absent and never given": (absent, P, D & (np.arange(4) != 1)),
        "a label applies to all rows": (always, P, D),
        "no label applies": (never, P, D),
        "no label is given": (Y, P, never),
        "neither": (never, P, never),
        "one row": (Y[:1], P[:1], D[:1]),
        "one row without labels": (never[:1], P[:1], never[:1]),
        "one label of one row": (Y[:1, :1], P[:1, :1], D[:1, :1]),
        "equal rows": tuple(np.tile(array[:1], (9, 1)) for array in (Y, P, D)),
        "equal probabilities": (Y, np.full_like(P, 0.4), D),
        "all right": (Y, Y.astype(float), Y),
        "all wrong": (Y, (~Y).astype(float), ~Y),
    }


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("case", degenerate())
def test_odd_truths_and_predictions_are_measured_as_by_scikit_learn(case: str) -> None:
    arrays = degenerate()[case]
    assert multilabel.headline(*arrays) == pytest.approx(wanted(*arrays))


def test_weighted_rows_count_as_often_as_they_are_drawn() -> None:
    Y, P, D = sample(40, 3, 1, ties=True)
    weights = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=5).astype(float)
    model = multilabel.row_metrics(Y, P, D)
    for counts in weights.astype(int):
        drawn = np.repeat(np.arange(40), counts)
        share = counts[None] / 40
        values = model.from_means(share @ model.values) | model.from_weights(share.T)
        expected = wanted(Y[drawn], P[drawn], D[drawn])
        assert {name: value[0] for name, value in values.items()} == pytest.approx(expected)


def test_metrics_of_every_label_are_those_of_scikit_learn() -> None:
    Y, P, D = sample(100, 4, 2)
    Y[:, 3] = D[:, 3] = False
    rows = multilabel.per_label(Y, P, D, NAMES)
    for name, values in zip(
        ("precision", "recall", "f1", "support"),
        sk.precision_recall_fscore_support(Y, D, zero_division=0),
        strict=True,
    ):
        assert [row[name] for row in rows] == pytest.approx(values)
    assert [row["label"] for row in rows] == list(NAMES) and [row["predicted"] for row in rows] == list(D.sum(axis=0))
    assert [row["average_precision"] for row in rows[:3]] == pytest.approx(
        [sk.average_precision_score(Y[:, k], P[:, k]) for k in range(3)]
    )
    assert rows[3]["average_precision"] is None and rows[3]["f1"] == 0


def test_labels_that_replace_another_are_counted_by_row() -> None:
    Y = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=bool)
    D = np.array([[0, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    assert multilabel.confused(Y, D) == [(0, 1, 2), (0, 2, 1)]  # rows 2 and 4 miss a label and give no other
    assert multilabel.confused(Y, Y) == []


def test_calibration_is_of_all_decisions() -> None:
    Y = np.array([[True, False], [True, False]])
    P = np.array([[0.91, 0.1], [0.91, 0.3]])
    points = multilabel.reliability(Y, P)
    assert metrics.calibration_error(points) == pytest.approx((2 * 0.09 + 0.1 + 0.3) / 4)
    assert sum(point["rows"] for point in points) == 4
    generator = np.random.default_rng(0)
    P = generator.random((4000, 5))
    Y = generator.random((4000, 5)) < P
    assert metrics.calibration_error(multilabel.reliability(Y, P)) < 0.02
    assert metrics.calibration_error(multilabel.reliability(Y, P**3)) > 0.2


def test_average_precision_is_that_of_scikit_learn_under_weights() -> None:
    Y, P, _ = sample(50, 1, 3, ties=True)
    weights = np.random.default_rng(0).integers(0, 3, (50, 4)).astype(float)
    weights[:, 3] = ~Y[:, 0]
    values = average_precision(Y[:, 0], P[:, 0], weights)
    expected = [sk.average_precision_score(Y[:, 0], P[:, 0], sample_weight=weights[:, k]) for k in range(3)]
    assert values[:3] == pytest.approx(expected) and np.isnan(values[3])
