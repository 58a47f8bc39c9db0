"""Compute metrics of tasks in which any number of labels applies to a row.

Everywhere, `Y` is (rows, labels) bool, which labels apply; `P` is (rows, labels) probabilities that they do, which do
not sum to 1; `D` is (rows, labels) bool, which labels are given, as `thresholds.decide` does.
"""

from collections.abc import Sequence

import numpy as np

from stages.scores import metrics
from stages.scores.average_precision import average_precision
from stages.scores.row_metrics import Draws, RowMetrics

BORROWED_DECISIONS = 2  # one row that has the label and gets it
BORROWED_ROWS = 0.5


def headline(Y: np.ndarray, P: np.ndarray, D: np.ndarray) -> dict[str, float]:
    """Compute the metrics that are reported first, as sklearn.metrics defines them; undefined ones are left out.

    Returns:
        micro_f1, macro_f1: the latter over the labels that apply to or are given to a row, as scikit-learn does with
            zero_division=nan. With its default, any other label would count as an F1 of 0.
        accuracy: the share of rows with all labels right.
        hamming_loss: the share of all decisions that are wrong.
        mean_average_precision: over the labels that apply to a row.
        log_loss: of a decision, the mean over rows and labels.
    """
    return row_metrics(Y, P, D).headline()


def row_metrics(Y: np.ndarray, P: np.ndarray, D: np.ndarray) -> RowMetrics:
    """Give the headline metrics as functions of row weights.

    Resamples of few rows make a label look perfect, or absent. So in their macro_f1 a label borrows up to
    BORROWED_DECISIONS that are as good as those of all labels, in their mean_average_precision up to BORROWED_ROWS that
    are ranked by chance: the first resample nothing, the last one most.
    """
    rows, labels = Y.shape
    of_rows = {"accuracy": all_right(Y, D), "hamming_loss": (Y != D).mean(axis=1), "log_loss": losses(Y, P)}

    def from_means(means: np.ndarray) -> Draws:
        hits, involved = 2 * means[:, :labels], means[:, labels : 2 * labels]  # (samples, labels) each
        borrowed = np.linspace(0, BORROWED_DECISIONS / rows, len(means))[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            micro_f1 = hits.sum(axis=1) / involved.sum(axis=1)
            f1 = (hits + borrowed * micro_f1[:, None]) / (involved + borrowed)
        others = {name: means[:, 2 * labels + k] for k, name in enumerate(of_rows)}
        return {"micro_f1": micro_f1, "macro_f1": _mean_of_defined(f1), **others}

    def from_weights(weights: np.ndarray) -> Draws:
        precision = np.stack([average_precision(Y[:, k], P[:, k], weights) for k in range(labels)], axis=1)
        frequency = weights.T @ Y  # (samples, labels)
        borrowed = np.linspace(0, BORROWED_ROWS / rows, weights.shape[1])[:, None]
        precision = (frequency * precision + borrowed * frequency) / (frequency + borrowed)
        return {"mean_average_precision": _mean_of_defined(precision)}

    values = np.column_stack([Y & D, Y.astype(np.int8) + D, *of_rows.values()])
    share = Y.mean(axis=0)
    # A wrong row is taken to have the labels of any other row.
    wrong = [*share**2, *2 * share, 0, (2 * share * (1 - share)).mean(), of_rows["log_loss"].max()]
    right = [*share, *2 * share, 1, 0, of_rows["log_loss"].min()]
    return RowMetrics(
        values,
        from_means,
        from_weights,
        bounds={"log_loss": (0.0, np.inf)},
        biased=frozenset({"mean_average_precision"}),
        share="accuracy",
        right=of_rows["accuracy"],
        unseen=np.array([wrong, right]),
        width=labels,
    )


def all_right(Y: np.ndarray, D: np.ndarray) -> np.ndarray:
    """Tell of every row whether all of its labels are right: (rows,) bool."""
    return np.asarray((Y == D).all(axis=1))


def losses(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Compute the mean log loss of the decisions of every row: (rows,)."""
    loss: np.ndarray = -np.log(np.maximum(np.where(Y, P, 1 - P), np.finfo(np.float64).eps)).mean(axis=1)
    return loss


def per_label(
    Y: np.ndarray, P: np.ndarray, D: np.ndarray, labels: Sequence[str]
) -> list[dict[str, float | int | str | None]]:
    """Compute the metrics of every label by itself.

    Returns:
        precision, recall and f1, 0 without rows to divide by; average_precision, None where the label applies to no
        row; support and predicted: the rows to which it applies, and is given.
    """
    hits, predicted, support = (part.sum(axis=0) for part in (Y & D, D, Y))
    ratios = metrics.precision_recall_f1(hits, predicted, support)
    flat = np.ones((len(Y), 1))
    return [
        {
            "label": label,
            **{name: float(values[k]) for name, values in ratios.items()},
            "average_precision": float(average_precision(Y[:, k], P[:, k], flat)[0]) if support[k] else None,
            "support": int(support[k]),
            "predicted": int(predicted[k]),
        }
        for k, label in enumerate(labels)
    ]


def confused(Y: np.ndarray, D: np.ndarray) -> list[tuple[int, int, int]]:
    """Count the rows in which one label is missed and another is wrongly given.

    Returns:
        (missed label, given label, rows) of every pair that occurs, the most frequent first.
    """
    missed, wrong = (Y & ~D).astype(np.float32), (D & ~Y).astype(np.float32)
    counts = (missed.T @ wrong).astype(np.int64)  # (labels, labels)
    pairs = [(int(a), int(b), int(counts[a, b])) for a, b in np.argwhere(counts)]
    return sorted(pairs, key=lambda pair: (-pair[2], *pair[:2]))


def reliability(Y: np.ndarray, P: np.ndarray, spread: float = 1) -> list[dict[str, float]]:
    """Compute `metrics.bins` over all decisions.

    confidence is the mean probability that the label applies, accuracy the share of decisions in which it does, and
    `rows` counts decisions. Intervals take the decisions of a row for independent.
    """
    return metrics.bins(P.ravel(), Y.ravel(), spread)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Average over the labels that are not NaN; NaN where all are. `values`: (samples, labels)."""
    is_defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(is_defined, values, 0).sum(axis=1) / is_defined.sum(axis=1)
    return means
