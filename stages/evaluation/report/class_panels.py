"""The panels of classes and of several labels: confusion, classes, and how far confidence can be trusted."""

from typing import Any

import numpy as np

from stages.evaluation.report.panels import Panels
from stages.evaluation.results import Results, ScoredRows
from stages.scores import metrics

MAX_REPORT_CELLS = 5_000  # cells of a confusion matrix


def collect(results: Results, rows: np.ndarray, train_labels: np.ndarray) -> Panels:
    """Collect what the panels draw.

    Args:
        rows: (shown,) indices of judged rows.
        train_labels: (shown training rows,) as the tables write them.
    """
    scored, task = results.scored, results.scored.classes
    texts = {model: task.texts(outputs[rows]) for model, outputs in scored.probabilities.items()}
    shown_texts = [*scored.rows.labels[rows], *train_labels, *(text for part in texts.values() for text in part)]
    labels = task.shown(shown_texts)
    index = {label: number for number, label in enumerate(labels)}
    page = {
        "labels": task.in_words(labels),
        "names": scored.labels,
        "exclusive": task.is_exclusive,
        "coverage": {
            model: metrics.coverage(task.confidence(P), scored.right(model))
            for model, P in scored.probabilities.items()
        },
        "confusion": {
            model: task.cells(scored.truth, P)[:MAX_REPORT_CELLS] for model, P in scored.probabilities.items()
        },
        **{
            name: {model: plots[name] for model, plots in results.plots.items()}
            for name in ("per_class", "reliability")
        },
    }
    of_rows = {
        "truth": [index[text] for text in scored.rows.labels[rows]],
        "models": {
            model: {"predicted": [index[text] for text in texts[model]]} | _probabilities(scored, model, rows)
            for model in scored.probabilities
        },
    }
    return Panels(page, of_rows, [index[text] for text in train_labels])


def _probabilities(scored: ScoredRows, model: str, rows: np.ndarray) -> dict[str, Any]:
    outputs = scored.probabilities[model][rows]
    return {
        "confidence": scored.classes.confidence(outputs).tolist(),
        "p_true": scored.classes.p_true(scored.truth[rows], outputs).tolist(),
    }
