"""Compute metrics from true labels and probabilities.

Everywhere, `truth` is (rows,) label indices and `P` is (rows, labels) probabilities. Metrics are computed with row
weights: a bootstrap resample is a vector of counts, so 1,000 resamples are one matrix product instead of 1,000 passes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import bdtr

BOOTSTRAP_BLOCK_VALUES = 2**24  # row weights in memory at a time
MAX_CURVE_POINTS = 500
CONFIDENCE_BINS = 15


def headline(truth: np.ndarray, P: np.ndarray) -> dict[str, float]:
    """Compute the metrics that are reported first, as sklearn.metrics defines them.

    Returns:
        accuracy, balanced_accuracy, macro_f1, weighted_f1 and log_loss; for two labels also roc_auc and
        average_precision of the second one. Undefined values are left out, such as roc_auc of rows of one class.
    """
    values = _weighted(truth, P, np.ones((1, len(truth))))
    return {name: float(value[0]) for name, value in values.items() if not np.isnan(value[0])}


def bootstrap(
    truth: np.ndarray, models: Mapping[str, np.ndarray], *, resamples: int, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Compute the headline metrics on bootstrap resamples, whose rows are drawn with replacement within every class.

    All models are scored on the same resamples, so differences between their values are those of a paired bootstrap
    (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13).

    Args:
        models: name to P.

    Returns:
        For every model, metric to values (resamples,); no metrics if `resamples` is 0.
    """
    generator = np.random.default_rng(seed)
    block_size = max(1, BOOTSTRAP_BLOCK_VALUES // max(len(truth), 1))
    blocks: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in models}
    for done in range(0, resamples, block_size):
        weights = _resample(truth, min(block_size, resamples - done), generator)
        for name, P in models.items():
            blocks[name].append(_weighted(truth, P, weights))
    return {
        name: {metric: np.concatenate([part[metric] for part in parts]) for metric in (parts[0] if parts else ())}
        for name, parts in blocks.items()
    }


def intervals(values: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Compute 95 % percentile intervals, low and high, of the metrics that are defined on every resample.

    Args:
        values: metric to values (resamples,).
    """
    out = {}
    for name, resampled in values.items():
        if not np.isnan(resampled).any():
            low, high = np.quantile(resampled, (0.025, 0.975))
            out[name] = (float(low), float(high))
    return out


def mcnemar(truth: np.ndarray, P: np.ndarray, Q: np.ndarray) -> float:
    """Compute the two-sided p-value of McNemar's exact test that two models are right equally often.

    If they are, a row that only one of them gets right is a throw of a fair coin (McNemar 1947, Note on the Sampling
    Error of the Difference between Correlated Proportions). `Q` is the second model's P.
    """
    first, second = P.argmax(axis=1) == truth, Q.argmax(axis=1) == truth
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


def calibration_error(truth: np.ndarray, P: np.ndarray) -> float:
    """Compute the expected calibration error: mean of |accuracy - confidence| over the bins, weighted by their rows.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    points = reliability(truth, P)
    return sum(abs(point["accuracy"] - point["confidence"]) * point["rows"] for point in points) / len(truth)


def reliability(truth: np.ndarray, P: np.ndarray) -> list[dict[str, float]]:
    """Compute mean confidence, accuracy and number of rows of the bins of confidence that have rows.

    Confidence is the probability of the predicted label. The bins have equal width.
    """
    confidence, right = P.max(axis=1), P.argmax(axis=1) == truth
    bins = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)  # (rows,)
    rows = np.bincount(bins, minlength=CONFIDENCE_BINS)
    sums = {
        "confidence": np.bincount(bins, confidence, minlength=CONFIDENCE_BINS),
        "accuracy": np.bincount(bins, right, minlength=CONFIDENCE_BINS),
    }
    return [
        {**{name: float(total[k] / rows[k]) for name, total in sums.items()}, "rows": int(rows[k])}
        for k in np.flatnonzero(rows)
    ]


def per_class(truth: np.ndarray, P: np.ndarray, labels: Sequence[str]) -> list[dict[str, float | int | str]]:
    """Compute precision, recall, F1 and support (true rows) of every label; a ratio without rows is 0."""
    ((hits,), (predicted,), (support,)) = _counts(truth, P, np.ones((1, len(truth))))
    ratios = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
    }
    return [
        {"label": label, **{name: float(ratio[k]) for name, ratio in ratios.items()}, "support": int(support[k])}
        for k, label in enumerate(labels)
    ]


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


def _weighted(truth: np.ndarray, P: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute headline metrics under row weights (samples, rows): name to (samples,)."""
    hits, predicted, support = _counts(truth, P, weights)
    total = weights.sum(axis=1)
    present = support > 0
    f1 = _ratio(2 * hits, predicted + support)
    occurs = (predicted + support) > 0
    losses = -np.log(np.maximum(P[np.arange(len(truth)), truth], np.finfo(np.float64).eps))
    values = {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": (_ratio(hits, support) * present).sum(axis=1) / present.sum(axis=1),
        "macro_f1": (f1 * occurs).sum(axis=1) / occurs.sum(axis=1),
        "weighted_f1": (f1 * support).sum(axis=1) / total,
        "log_loss": weights @ losses / total,
    }
    if P.shape[1] == 2:
        values |= _ranking(truth == 1, P[:, 1], weights)
    return values


def _ranking(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute ROC-AUC and average precision of binary decisions under row weights; NaN where a class is absent.

    Args:
        positive: (rows,) bool.
        scores: (rows,)
        weights: (samples, rows)
    """
    groups = _groups(scores)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    pos = np.add.reduceat(
        (weights * positive)[:, order], starts, axis=1
    )  # (samples, distinct scores), in falling order
    neg = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    tp, fp = pos.cumsum(axis=1), neg.cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Count the positives above every negative, and half of those of equal score (Mann-Whitney).
        roc_auc = (neg * (tp - pos / 2)).sum(axis=1) / (tp[:, -1] * fp[:, -1])
        precision = np.where(tp > 0, tp / (tp + fp), 0)
        average_precision = (precision * pos).sum(axis=1) / tp[:, -1]
    return {"roc_auc": roc_auc, "average_precision": average_precision}


def _counts(truth: np.ndarray, P: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the weights of the hits, the predictions and the true rows of every label: three of (samples, labels)."""
    eye = np.eye(P.shape[1])
    true, guess = eye[truth], eye[P.argmax(axis=1)]  # (rows, labels)
    return weights @ (true * guess), weights @ guess, weights @ true


def _resample(truth: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Count how often every row is drawn, with replacement within its class: (samples, rows)."""
    weights = np.empty((samples, len(truth)))
    for label in np.unique(truth):
        rows = np.flatnonzero(truth == label)
        weights[:, rows] = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    return weights


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
    ratio: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
