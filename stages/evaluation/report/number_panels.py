"""The panels of numbers: predictions against the truth, with their intervals. Texts keep all digits on the page."""

import numpy as np

from stages.evaluation.report.panels import Panels
from stages.evaluation.results import Results


def collect(results: Results, rows: np.ndarray, train_labels: np.ndarray) -> Panels:
    """Collect what the panels draw; arguments as of `class_panels.collect`."""
    scored = results.scored
    models = {}
    for model, outputs in scored.probabilities.items():
        columns = {"predicted": scored.task.predicted(outputs), **scored.certainty_columns(model)}
        models[model] = {
            name: _texts(columns[name].to_numpy(zero_copy_only=False)[rows])
            for name in ("predicted", "low", "high")
            if name in columns
        }
    return Panels({}, {"truth": scored.rows.labels[rows].tolist(), "models": models}, train_labels.tolist())


def _texts(values: np.ndarray) -> list[str | None]:
    """Write numbers with six digits; None where there is none."""
    return [f"{value:.6g}" if np.isfinite(value) else None for value in values]
