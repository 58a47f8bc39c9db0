"""Compute metrics from true labels and probabilities.

Everywhere, `truth` is (rows,) label indices and `P` is (rows, labels) probabilities.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.scores import proportions

MAX_CURVE_POINTS = 500
CONFIDENCE_BINS = 15
COVERAGE_STEPS = 100
TOP = {"top_3_accuracy": 3, "top_5_accuracy": 5}  # defined for more than twice as many labels
LOWEST = {"matthews_correlation": -1.0, "cohen_kappa": -1.0}  # of other metrics but log_loss: 0


def headline(truth: np.ndarray, P: np.ndarray) -> dict[str, float]:
    """Compute the metrics that are reported first, as sklearn.metrics defines them.

    Returns:
        accuracy, balanced_accuracy, macro_f1, weighted_f1, matthews_correlation, cohen_kappa and log_loss; for two
        labels also roc_auc and average_precision of the second one; for many labels top_3_accuracy and top_5_accuracy.
        Undefined values are left out, such as roc_auc and matthews_correlation of rows of one class.
    """
    hits, predicted, support = _counts(truth, P.argmax(axis=1), P.shape[1])
    f1, occurs, has_rows = _ratio(2 * hits, predicted + support), predicted + support > 0, support > 0
    values = {
        "accuracy": hits.sum() / len(truth),
        "balanced_accuracy": _ratio(hits, support)[has_rows].mean(),
        "macro_f1": f1[occurs].mean(),
        "weighted_f1": (f1 * support).sum() / len(truth),
        **beyond_chance(*(count / len(truth) for count in (hits, predicted, support))),
        "log_loss": losses(truth, P).mean(),
    }
    if P.shape[1] == 2:
        values |= {name: value[0] for name, value in ranking(truth, P, np.ones((1, len(truth)))).items()}
    values |= {name: right.mean() for name, right in in_top(truth, P).items()}
    return {name: float(value) for name, value in values.items() if not np.isnan(value)}


def beyond_chance(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """Compute how far predictions agree with the truth beyond what their frequencies alone would give.

    matthews_correlation is R_K of Gorodkin 2004 (Comparing two K-category assignments by a K-category correlation
    coefficient), and 0 where all predictions are of one class; cohen_kappa is of Cohen 1960 (A Coefficient of Agreement
    for Nominal Scales). Both are NaN where all rows have one class.

    Args:
        hits, predicted, support: (…, labels) shares of the rows that are right, predicted and true.

    Returns:
        (…,) each.
    """
    agreement, chance = hits.sum(axis=-1), (predicted * support).sum(axis=-1)
    spread, true_spread = (1 - (shares**2).sum(axis=-1) for shares in (predicted, support))
    is_defined = np.max(support, axis=-1) < 1
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(spread > 0, (agreement - chance) / np.sqrt(spread * true_spread), 0)
        kappa = (agreement - chance) / (1 - chance)
    return {
        name: np.where(is_defined, values, np.nan)
        for name, values in (("matthews_correlation", correlation), ("cohen_kappa", kappa))
    }


def in_top(truth: np.ndarray, P: np.ndarray) -> dict[str, np.ndarray]:
    """Tell whether the true label is among the likeliest 3 or 5: (rows,) bool by metric; none for few labels.

    Of equally likely labels the first comes first, as in the prediction; so accuracy is never above these metrics.
    """
    sizes = {name: size for name, size in TOP.items() if P.shape[1] > 2 * size}
    if not sizes:
        return {}
    own = P[np.arange(len(truth)), truth][:, None]
    is_earlier = np.arange(P.shape[1]) < truth[:, None]
    rank = ((own < P) | ((own == P) & is_earlier)).sum(axis=1)
    return {name: rank < size for name, size in sizes.items()}


def losses(truth: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Compute the log loss of every row: (rows,)."""
    loss: np.ndarray = -np.log(np.maximum(P[np.arange(len(truth)), truth], np.finfo(np.float64).eps))
    return loss


def ranking(truth: np.ndarray, P: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute roc_auc and average_precision of the second of two labels under row weights; NaN where a class is absent.

    Args:
        weights: (samples, rows): a bootstrap resample is a vector of counts.

    Returns:
        (samples,) each.
    """
    positive, groups = truth == 1, _groups(P[:, 1])
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    # (samples, distinct scores), in falling order
    pos, neg = (np.add.reduceat((weights * part)[:, order], starts, axis=1) for part in (positive, ~positive))
    tp, fp = pos.cumsum(axis=1), neg.cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Count the positives above every negative, and half of those of equal score (Mann-Whitney).
        roc_auc = (neg * (tp - pos / 2)).sum(axis=1) / (tp[:, -1] * fp[:, -1])
        precision = np.where(tp > 0, tp / (tp + fp), 0)
        average_precision = (precision * pos).sum(axis=1) / tp[:, -1]
    return {"roc_auc": roc_auc, "average_precision": average_precision}


def calibration_error(points: Sequence[Mapping[str, float]]) -> float:
    """Compute the expected calibration error of `bins`: the mean of |accuracy - confidence|, weighted by their rows.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    errors = sum(abs(point["accuracy"] - point["confidence"]) * point["rows"] for point in points)
    return errors / sum(point["rows"] for point in points)


def bins(confidence: np.ndarray, right: np.ndarray, spread: float) -> list[dict[str, float]]:
    """Compute mean confidence, accuracy with its 95 % interval, and rows of the bins of confidence that have rows.

    The bins have equal width.

    Args:
        confidence: (rows,) probabilities that decisions are right.
        right: (rows,) whether they are.
        spread: as in intervals.py.
    """
    bin_of_row = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    rows = np.bincount(bin_of_row, minlength=CONFIDENCE_BINS)
    sums = {
        "confidence": np.bincount(bin_of_row, confidence, minlength=CONFIDENCE_BINS),
        "accuracy": np.bincount(bin_of_row, right, minlength=CONFIDENCE_BINS),
    }
    points = []
    for k in np.flatnonzero(rows):
        low, high = proportions.spread_interval(round(sums["accuracy"][k]), int(rows[k]), spread)
        means = {name: float(total[k] / rows[k]) for name, total in sums.items()}
        points.append({**means, "low": low, "high": high, "rows": int(rows[k])})
    return points


def coverage(confidence: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    """Count the rows with at least a confidence of 0, 0.01, …, 1, and those among them that are right.

    They tell what a threshold would do that leaves less confident rows to a person. Both arguments are (rows,).
    """
    decided = [confidence >= step / COVERAGE_STEPS for step in range(COVERAGE_STEPS + 1)]
    return [(int(rows.sum()), int(right[rows].sum())) for rows in decided]


def per_class(truth: np.ndarray, guess: np.ndarray, labels: Sequence[str]) -> list[dict[str, float | int | str]]:
    """Compute precision, recall, F1 and support (true rows) of every label; a ratio without rows is 0.

    Args:
        guess: (rows,) indices of the predicted labels.
    """
    hits, predicted, support = _counts(truth, guess, len(labels))
    ratios = precision_recall_f1(hits, predicted, support)
    return [
        {"label": label, **{name: float(values[k]) for name, values in ratios.items()}, "support": int(support[k])}
        for k, label in enumerate(labels)
    ]


def precision_recall_f1(hits: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the ratios of the counts of every label, 0 where there is nothing to divide by: (labels,) each."""
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
    }


def curves(truth: np.ndarray, P: np.ndarray) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Compute ROC points (fpr, tpr) and precision-recall points (recall, precision), in falling order of threshold.

    They are of the second of two labels; of more labels, the micro-average: every (row, label) pair is one decision.
    """
    positive, scores = _decisions(truth, P)
    groups = _groups(scores)
    tp = np.concatenate([[0], np.cumsum(np.bincount(groups, positive))])
    fp = np.concatenate([[0], np.cumsum(np.bincount(groups, ~positive))])
    keep = np.unique(np.linspace(0, len(tp) - 1, MAX_CURVE_POINTS).round().astype(int))  # with both ends
    tpr, fpr = tp / max(tp[-1], 1), fp / max(fp[-1], 1)
    precision = np.divide(tp, tp + fp, out=np.ones(len(tp)), where=tp + fp > 0)
    roc = [{"fpr": float(fpr[i]), "tpr": float(tpr[i])} for i in keep]
    pr = [{"recall": float(tpr[i]), "precision": float(precision[i])} for i in keep]
    return roc, pr


def _counts(truth: np.ndarray, guess: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the hits, the predictions and the true rows of every label: three of (labels,)."""
    hits, predicted, support = (
        np.bincount(labels, minlength=classes) for labels in (truth[guess == truth], guess, truth)
    )
    return hits, predicted, support


def _decisions(truth: np.ndarray, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the truth (bool) and the score of every binary decision: (rows,), or (rows · labels,) of many labels."""
    if P.shape[1] == 2:
        return truth == 1, P[:, 1]
    return (np.arange(P.shape[1]) == truth[:, None]).ravel(), P.ravel()


def _groups(scores: np.ndarray) -> np.ndarray:
    """Rank every score among the distinct ones, from 0 for the highest: (rows,)."""
    ranks: np.ndarray = np.unique(-scores, return_inverse=True)[1]
    return ranks


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with 0 where `whole` is 0."""
    ratio: np.ndarray = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
    return ratio
