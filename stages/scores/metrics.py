"""Metrics as pure functions of truth and probabilities.

`truth`: (rows,) label indices; `P`: (rows, labels) probabilities. Row weights make the bootstrap cheap: a resample is a
vector of counts, and 1,000 of them are one matrix product instead of 1,000 passes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import bdtr

BLOCK = 2**24  # elements of the weight matrices held at a time
CURVE_POINTS = 500
BINS = 15  # of confidence


def headline(truth: np.ndarray, P: np.ndarray) -> dict[str, float]:
    """accuracy, balanced_accuracy, macro_f1, weighted_f1, log_loss; for two labels roc_auc and average_precision.

    They are those of sklearn.metrics; for two labels the second one counts as positive. Values that are not defined
    (roc_auc with one class in the test) are left out.
    """
    values = _weighted(truth, P, np.ones((1, len(truth))))
    return {name: float(value[0]) for name, value in values.items() if not np.isnan(value[0])}


def bootstrap(
    truth: np.ndarray, models: Mapping[str, np.ndarray], *, resamples: int, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Headline metrics of each model on the same resamples of the rows, drawn with replacement inside each class.

    The same rows for all models: the difference of two is that of a paired bootstrap.

    Args:
        models: name to P.

    Returns:
        For each model, metric to values, (resamples,). No metrics for no resamples.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK // max(len(truth), 1))
    parts: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in models}
    for done in range(0, resamples, block):
        weights = _resample(truth, min(block, resamples - done), generator)
        for name, P in models.items():
            parts[name].append(_weighted(truth, P, weights))
    return {
        model: {metric: np.concatenate([each[metric] for each in found]) for metric in (found[0] if found else ())}
        for model, found in parts.items()
    }


def intervals(values: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """The middle 95 % (the percentile interval) of each metric that is defined on every resample: low and high."""
    out = {}
    for name, found in values.items():
        if not np.isnan(found).any():
            low, high = np.quantile(found, (0.025, 0.975))
            out[name] = (float(low), float(high))
    return out


def mcnemar(truth: np.ndarray, P: np.ndarray, Q: np.ndarray) -> float:
    """Two-sided p-value of McNemar's exact test: whether `P` and `Q` are right equally often.

    Only rows that one of them gets right and the other wrong count; each is a throw of a fair coin if both are equally
    good. Source: McNemar 1947, Note on the Sampling Error of the Difference between Correlated Proportions.
    """
    first, second = P.argmax(axis=1) == truth, Q.argmax(axis=1) == truth
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


def calibration_error(truth: np.ndarray, P: np.ndarray) -> float:
    """Expected calibration error of the likeliest label: how far confidence is from accuracy, in bins of equal width.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    bins = reliability(truth, P)
    return sum(abs(each["accuracy"] - each["confidence"]) * each["rows"] for each in bins) / len(truth)


def reliability(truth: np.ndarray, P: np.ndarray) -> list[dict[str, float]]:
    """Mean confidence in the likeliest label, accuracy, and rows of each bin of confidence that has rows."""
    confidence, right = P.max(axis=1), P.argmax(axis=1) == truth
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    sums = {
        "confidence": np.bincount(place, confidence, minlength=BINS),
        "accuracy": np.bincount(place, right, minlength=BINS),
    }
    return [
        {**{name: float(total[k] / rows[k]) for name, total in sums.items()}, "rows": int(rows[k])}
        for k in np.flatnonzero(rows)
    ]


def per_class(truth: np.ndarray, P: np.ndarray, labels: Sequence[str]) -> list[dict[str, float | int | str]]:
    """Precision, recall, F1 and support of each label; 0 where nothing was predicted or nothing is there."""
    hits, predicted, support = _counts(truth, P, np.ones((1, len(truth))))
    precision, recall, f1 = (
        _ratio(hits, predicted),
        _ratio(hits, support),
        _ratio(2 * hits, predicted + support),
    )
    return [
        {
            "label": label,
            "precision": float(precision[0, k]),
            "recall": float(recall[0, k]),
            "f1": float(f1[0, k]),
            "support": int(support[0, k]),
        }
        for k, label in enumerate(labels)
    ]


def curves(truth: np.ndarray, P: np.ndarray) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """ROC points (fpr, tpr) and precision-recall points (recall, precision), thresholds falling.

    For two labels those of the second one; for more the micro-average: each (row, label) pair is one decision.
    """
    positive, scores = _decisions(truth, P)
    groups = _groups(scores)
    tp = np.concatenate([[0], np.cumsum(np.bincount(groups, positive))])
    fp = np.concatenate([[0], np.cumsum(np.bincount(groups, ~positive))])
    keep = np.unique(np.linspace(0, len(tp) - 1, CURVE_POINTS).round().astype(int))  # ends included
    tpr, fpr = tp / max(tp[-1], 1), fp / max(fp[-1], 1)
    precision = np.divide(tp, tp + fp, out=np.ones(len(tp)), where=tp + fp > 0)
    roc = [{"fpr": float(fpr[i]), "tpr": float(tpr[i])} for i in keep]
    pr = [{"recall": float(tpr[i]), "precision": float(precision[i])} for i in keep]
    return roc, pr


def _weighted(truth: np.ndarray, P: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Headline metrics for each row of `weights`, (samples, rows): name to (samples,)."""
    hits, predicted, support = _counts(truth, P, weights)
    total = weights.sum(axis=1)
    present = support > 0
    f1 = _ratio(2 * hits, predicted + support)
    seen = (predicted + support) > 0
    losses = -np.log(np.maximum(P[np.arange(len(truth)), truth], np.finfo(np.float64).eps))
    values = {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": (_ratio(hits, support) * present).sum(axis=1) / present.sum(axis=1),
        "macro_f1": (f1 * seen).sum(axis=1) / seen.sum(axis=1),
        "weighted_f1": (f1 * support).sum(axis=1) / total,
        "log_loss": weights @ losses / total,
    }
    if P.shape[1] == 2:
        values |= _ranking(truth == 1, P[:, 1], weights)
    return values


def _ranking(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """ROC-AUC and average precision of a binary decision; NaN where one of the classes is absent."""
    groups = _groups(scores)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    pos = np.add.reduceat((weights * positive)[:, order], starts, axis=1)  # (samples, distinct scores), falling
    neg = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    tp, fp = pos.cumsum(axis=1), neg.cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Each negative is beaten by the positives above it, and half by those of equal score (Mann-Whitney).
        roc_auc = (neg * (tp - pos / 2)).sum(axis=1) / (tp[:, -1] * fp[:, -1])
        precision = np.where(tp > 0, tp / (tp + fp), 0)
        average_precision = (precision * pos).sum(axis=1) / tp[:, -1]
    return {"roc_auc": roc_auc, "average_precision": average_precision}


def _counts(truth: np.ndarray, P: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted hits, predictions and true rows of each label: three of (samples, labels)."""
    eye = np.eye(P.shape[1])
    true, guess = eye[truth], eye[P.argmax(axis=1)]  # (rows, labels)
    return weights @ (true * guess), weights @ guess, weights @ true


def _resample(truth: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """How often each row is drawn, with replacement inside its class: (samples, rows)."""
    weights = np.empty((samples, len(truth)))
    for label in np.unique(truth):
        rows = np.flatnonzero(truth == label)
        weights[:, rows] = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=samples)
    return weights


def _decisions(truth: np.ndarray, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if P.shape[1] == 2:
        return truth == 1, P[:, 1]
    return (np.arange(P.shape[1]) == truth[:, None]).ravel(), P.ravel()


def _groups(scores: np.ndarray) -> np.ndarray:
    """The rank of each score among the distinct ones, the highest first."""
    ranks: np.ndarray = np.unique(-scores, return_inverse=True)[1]
    return ranks


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
