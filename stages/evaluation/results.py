"""What `evaluate` computes, before any of it is written: scored rows, metrics, tables and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.common.metric_directions import is_higher_better
from stages.evaluation import prediction_columns
from stages.evaluation.cross_validation import Division
from stages.evaluation.plots import Points
from stages.heads.certainty import Verdicts
from stages.heads.model_card import ModelCard
from stages.tables.features import Features
from stages.tasks import ClassTask, Task
from stages.tasks.ordinal import Ordinal

if TYPE_CHECKING:
    import pandas as pd

    from stages.evaluation.report.content import Layout

MIN_ACCURACY_TO_JUDGE = 0.5  # of a head that finds wrong labels


@dataclass(frozen=True)
class ScoredRows:
    """The judged rows, which are test rows or where there are none labelled rows, and what every model makes of them.

    Attributes:
        truth: (rows, …) the targets of the task.
        probabilities: name of a model to its outputs, (rows, …); of a cross-validation, those of its first repeat.
        division: how labelled rows were cross-validated; None for test rows.
        repeated: name of a model to (repeats, rows, …) of a cross-validation.
        verdicts: name of a model to how sure it is of the rows; of a cross-validation, in its first repeat.
        unknown: name of a model to how sure it is of the test rows of the class `prepare.unknown`; empty without them.
    """

    rows: Features
    truth: np.ndarray
    task: Task
    probabilities: Mapping[str, np.ndarray]
    division: Division | None = None
    repeated: Mapping[str, np.ndarray] = field(default_factory=dict)
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    unknown: Mapping[str, Verdicts] = field(default_factory=dict)

    @classmethod
    def from_features(cls, rows: Features, task: Task, probabilities: Mapping[str, np.ndarray]) -> "ScoredRows":
        """Look up the targets of the rows; the task must know all their labels."""
        return cls(rows, task.targets(rows.labels), task, probabilities)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name the labels."""
        return self.task.labels

    @property
    def classes(self) -> ClassTask:
        """Return the task of rows that have classes, which are right or wrong; numbers have none."""
        assert self.task.has_classes
        return self.task

    def right(self, model: str) -> np.ndarray:
        """Tell which rows a model gets right: (rows,) bool."""
        return self.classes.is_right(self.truth, self.probabilities[model])

    def row_values(self, model: str) -> np.ndarray:
        """Return what the primary metric is the mean of: (rows,) whether a row is right, or how far it is off."""
        return self.task.row_values(self.truth, self.probabilities[model])

    @property
    def noun(self) -> str:
        """Name a judged row in sentences."""
        return "labelled row" if self.division else "test row"

    @property
    def known_nouns(self) -> tuple[str, str]:
        """Name a row, and rows, that the model of a judged row was fitted on."""
        return ("row of another fold", "rows of other folds") if self.division else ("training row", "training rows")

    @property
    def spread(self) -> float:
        """How many times the variance of a share of the rows is that of independent rows."""
        return self.division.spread if self.division else 1

    def runs(self, model: str) -> Sequence[np.ndarray]:
        """Return the outputs of every repeat: one (rows, …) for test rows."""
        return list(self.repeated[model]) if self.division else [self.probabilities[model]]

    @property
    def shipped(self) -> str:
        """Name the model that is judged first: the fine-tuned one where it is judged, else the head."""
        return next(model for model in ("finetuned", "head") if model in self.probabilities)

    def mistakes(self, model: str) -> np.ndarray:
        """Return the indices of the rows that a model gets wrong, those of the highest confidence first.

        Numbers are hardly ever right: of all rows, those that are the furthest off come first.
        """
        if not self.task.has_classes:
            return np.argsort(-self.row_values(model), kind="stable")
        wrong = np.flatnonzero(~self.right(model))
        confidence = self.classes.confidence(self.probabilities[model][wrong])
        return wrong[np.argsort(-confidence, kind="stable")]

    def table(self) -> pa.Table:
        """Make predictions.parquet: one row for every model and judged row, with its fold in a cross-validation."""
        fold = {"fold": pa.array(self.division.fold_numbers(), pa.int32())} if self.division else {}
        parts = [
            pa.table(
                {
                    "model": pa.array([model] * len(P), pa.string()),
                    "id": pa.array(self.rows.ids, pa.string()),
                    "label": pa.array(self.rows.labels, pa.string()),
                    **fold,
                    **prediction_columns.columns(P, self.task),
                    **self.certainty_columns(model),
                }
            )
            for model, P in self.probabilities.items()
        ]
        # A model of which nothing is known, such as the baseline, gets nulls.
        table = pa.concat_tables(parts, promote_options="default").combine_chunks()
        # Nothing else in the table tells classes with an order from others.
        return table.replace_schema_metadata({"task": "ordinal"}) if isinstance(self.task, Ordinal) else table

    def certainty_columns(self, model: str) -> dict[str, pa.Array]:
        """Make the columns that say how sure a model is; none where nothing is known, as of the baseline."""
        no_row = np.zeros(len(self.truth), dtype=bool)
        return prediction_columns.certainty_columns(self.verdicts.get(model, Verdicts()), self.labels, no_row)


@dataclass(frozen=True)
class Results:
    """Everything that an evaluation's files are made of."""

    cards: Mapping[str, ModelCard]  # of `head` and, where there is one, of `finetuned`
    train: Features  # training rows; of a cross-validation, all labelled rows; neither these nor `scored` has vectors
    layout: "Layout"  # what the report shows of the vectors
    scored: ScoredRows
    metrics: Mapping[str, Any]  # all numbers: details.json
    plots: Mapping[str, Mapping[str, Points]]  # name of a model to its plots
    curves: Mapping[str, Points]  # learning curves
    pairs: "pd.DataFrame"  # near-duplicates, as near_duplicates.table returns them
    suspects: "pd.DataFrame"  # likely label errors, as label_errors.table returns them
    explained: "pd.DataFrame"  # mistakes, as explained_mistakes.table returns them
    settings: Mapping[str, Any]  # sections of params.yaml

    @property
    def shipped(self) -> str:
        """Name the model that is judged first."""
        return self.scored.shipped

    @property
    def primary(self) -> str:
        """Name the metric by which models are compared."""
        return self.scored.task.primary

    def is_clear(self, pair: str, *, better: bool) -> bool:
        """Tell whether the interval of a difference in the primary metric excludes zero in one direction.

        Args:
            pair: NAME_minus_OTHER, as in details.json; without an interval nothing is clear.
        """
        ends = self.metrics.get(f"{pair}_ci95", {}).get(self.primary)
        is_up = better == is_higher_better(self.primary)
        return bool(ends) and bool(ends["low"] > 0 if is_up else ends["high"] < 0)

    def gain(self, change: float) -> float:
        """Return how much better a change of the primary metric is, as a share: of all rows, or of the head's error."""
        if is_higher_better(self.primary):
            return change
        return -change / (self.metrics["head"][self.primary] or 1)

    def fit(self, model: str) -> float:
        """Return the accuracy of a model, or R² of its numbers as far as it is defined."""
        values = self.metrics[model]
        fit: float = values.get("accuracy", values.get("r2", 0.0))
        return fit

    @property
    def is_near_chance(self) -> bool:
        """Tell whether the head is near chance."""
        return self.is_model_near_chance("head")

    def is_model_near_chance(self, model: str) -> bool:
        """Tell whether a model is not clearly better than always guessing the same, as `Task.chance` does."""
        chance, metric = self.scored.task.chance(self.scored.truth), self.primary
        value = self.metrics[model][metric]
        ends = self.metrics.get(f"{model}_ci95", {}).get(metric, {"low": value, "high": value})
        return bool(ends["low"] <= chance if is_higher_better(metric) else ends["high"] >= chance)

    @property
    def weakness(self) -> str | None:
        """Tell why the doubts of the head speak against itself and not against labels; None where they do not."""
        has_classes = self.scored.task.has_classes
        if self.is_near_chance:
            guess = "most frequent class" if self.primary == "accuracy" else "median"
            return f"the head is not clearly better than always guessing the {guess}"
        if has_classes and self.metrics["head"]["accuracy"] < MIN_ACCURACY_TO_JUDGE:
            return "the head is wrong more often than right"
        if has_classes and self.is_clear("head_minus_baseline", better=False):
            return "the baseline is clearly better than the head"
        return None
