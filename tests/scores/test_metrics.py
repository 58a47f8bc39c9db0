import warnings

import numpy as np
import pytest
import sklearn.metrics as sk

from stages.scores import metrics, proportions


def sample(rows: int, classes: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, rows)
    P = generator.dirichlet(np.ones(classes), rows) + 0.6 * np.eye(classes)[truth]
    P = P / P.sum(axis=1, keepdims=True)
    if ties:
        P = P.round(1)
        P = P / P.sum(axis=1, keepdims=True)
    return truth, P


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 11])
@pytest.mark.parametrize("ties", [False, True])
def test_headline_metrics_are_those_of_scikit_learn(classes: int, ties: bool) -> None:
    truth, P = sample(300, classes, 0, ties=ties)
    guess = P.argmax(axis=1)
    wanted = {
        "accuracy": sk.accuracy_score(truth, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, guess),
        "macro_f1": sk.f1_score(truth, guess, average="macro"),
        "weighted_f1": sk.f1_score(truth, guess, average="weighted"),
        "matthews_correlation": sk.matthews_corrcoef(truth, guess),
        "cohen_kappa": sk.cohen_kappa_score(truth, guess),
        "log_loss": sk.log_loss(truth, P, labels=range(classes)),
    }
    if classes == 2:
        wanted["roc_auc"] = sk.roc_auc_score(truth, P[:, 1])
        wanted["average_precision"] = sk.average_precision_score(truth, P[:, 1])
    # Of equal scores scikit-learn takes the last label first, but the prediction is the first: so with labels reversed.
    for size in (size for size in (3, 5) if classes > 2 * size):
        wanted[f"top_{size}_accuracy"] = sk.top_k_accuracy_score(
            classes - 1 - truth, P[:, ::-1], k=size, labels=range(classes)
        )
    assert metrics.headline(truth, P) == pytest.approx(wanted)


def test_classes_absent_from_the_test_break_nothing() -> None:
    truth, P = sample(40, 4, 1)
    P, truth = P[truth < 2], truth[truth < 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metrics.headline(truth, P)["macro_f1"] == pytest.approx(
            sk.f1_score(truth, P.argmax(axis=1), average="macro")
        )
        wanted = sk.balanced_accuracy_score(truth, P.argmax(axis=1))
    assert metrics.headline(truth, P)["balanced_accuracy"] == pytest.approx(wanted)


def test_a_single_row_and_a_single_class() -> None:
    headline = metrics.headline(np.array([1]), np.array([[0.2, 0.8]]))
    assert headline["accuracy"] == 1 and not {"roc_auc", "matthews_correlation", "cohen_kappa"} & headline.keys()
    assert headline["log_loss"] == pytest.approx(-np.log(0.8))


def test_agreement_beyond_chance_knows_chance_and_worse() -> None:
    truth = np.array([0, 0, 0, 1])
    always = metrics.headline(truth, np.tile([0.9, 0.1], (4, 1)))
    assert always["accuracy"] == 0.75 and always["matthews_correlation"] == always["cohen_kappa"] == 0
    wrong = metrics.headline(truth, np.eye(2)[1 - truth])
    assert wrong["matthews_correlation"] == pytest.approx(-1) and wrong["cohen_kappa"] < 0


def test_equal_scores_leave_accuracy_within_the_top_labels() -> None:
    truth = np.arange(12)
    values = metrics.headline(truth, np.full((12, 12), 1 / 12))
    assert values["accuracy"] == 1 / 12 and values["top_3_accuracy"] == 0.25 and values["top_5_accuracy"] == 5 / 12


def test_per_class_metrics_are_those_of_scikit_learn() -> None:
    truth, P = sample(200, 3, 2)
    rows = metrics.per_class(truth, P.argmax(axis=1), ["a", "b", "c"])
    wanted = sk.precision_recall_fscore_support(truth, P.argmax(axis=1))
    for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert [row[name] for row in rows] == pytest.approx(values)
    assert metrics.per_class(np.array([0]), np.array([0]), ["a", "b"])[1]["f1"] == 0


def test_curves_enclose_the_areas_of_scikit_learn() -> None:
    truth, P = sample(300, 2, 3)
    roc, _ = metrics.curves(truth, P)
    area = sk.auc([point["fpr"] for point in roc], [point["tpr"] for point in roc])
    assert area == pytest.approx(sk.roc_auc_score(truth, P[:, 1]), abs=1e-9)
    truth, P = sample(2000, 5, 3)
    roc, pr = metrics.curves(truth, P)
    assert len(roc) == len(pr) == metrics.MAX_CURVE_POINTS
    micro = sk.roc_auc_score((np.arange(5) == truth[:, None]).ravel(), P.ravel())
    assert sk.auc([point["fpr"] for point in roc], [point["tpr"] for point in roc]) == pytest.approx(micro, abs=1e-3)
    assert pr[0] == {"recall": 0.0, "precision": 1.0} and pr[-1]["recall"] == 1


def test_coverage_counts_the_rows_that_a_threshold_decides() -> None:
    truth, P = sample(200, 4, 5)
    counts = metrics.coverage(P.max(axis=1), P.argmax(axis=1) == truth)
    assert len(counts) == 101 and counts[0] == (200, int((P.argmax(axis=1) == truth).sum()))
    for step in (30, 70, 100):
        decided = P.max(axis=1) >= step / 100
        assert counts[step] == (decided.sum(), (P.argmax(axis=1) == truth)[decided].sum())


def test_reliability_bins_hold_every_row_once() -> None:
    truth = np.array([0, 0, 1, 1])
    P = np.array([[0.9, 0.1], [0.92, 0.08], [0.6, 0.4], [0.0, 1.0]])
    one, two = proportions.interval(0, 1), proportions.interval(2, 2)
    points = metrics.bins(P.max(axis=1), P.argmax(axis=1) == truth, 1)
    assert points == [
        {"confidence": pytest.approx(0.6), "accuracy": 0.0, "low": 0.0, "high": one[1], "rows": 1},
        {"confidence": pytest.approx(0.91), "accuracy": 1.0, "low": two[0], "high": 1.0, "rows": 2},
        {"confidence": 1.0, "accuracy": 1.0, "low": pytest.approx(1 - one[1]), "high": 1.0, "rows": 1},
    ]
    assert metrics.calibration_error(points) == pytest.approx((0.6 + 2 * 0.09 + 0) / 4)
