"""The predictions of an evaluation, as the gate compares them: read from its predictions.parquet."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages import tasks
from stages.common.setting_types import TaskName
from stages.scores import proportions
from stages.tables import label_texts
from stages.tasks import Task

SHIPPED = ("finetuned", "head")  # a team ships the first of these models that an evaluation has


@dataclass(frozen=True)
class Predictions:
    """The shipped model's predictions of the judged rows of an evaluation; `folds`: of a cross-validation, else 0."""

    model: str
    ids: np.ndarray  # (rows,)
    truth: np.ndarray  # (rows,) labels, as the tables write them
    labels: tuple[str, ...]
    outputs: np.ndarray  # (rows, labels, …) of the task
    folds: int = 0
    task_name: TaskName = "single"

    @property
    def task(self) -> Task:
        """What the labels are."""
        return tasks.load(self.task_name, self.labels)

    @property
    def noun(self) -> str:
        """Name a judged row in sentences."""
        return "cross-validated row" if self.folds else "test row"

    @property
    def spread(self) -> float:
        """How many times the variance of a share of the rows is that of test rows."""
        return proportions.cross_validation_spread(self.folds, repeats=1) if self.folds else 1


def read(table: pa.Table) -> Predictions:
    """Read the shipped model's rows from the content of a predictions.parquet.

    Raises:
        KeyError, ValueError: the table is not one that evaluate wrote.
    """
    models = table["model"].to_pylist()
    shipped = next((name for name in SHIPPED if name in models), None)
    if shipped is None:
        raise ValueError(f"no rows of {' or '.join(SHIPPED)}")
    rows = table.filter(pa.array([name == shipped for name in models]))
    task_name = _task_name(rows.schema)
    labels = tuple(name.removeprefix("p_") for name in rows.column_names if name.startswith("p_"))
    ids, truth = (np.array(rows[name].to_pylist(), dtype=object) for name in ("id", "label"))
    if len(set(ids)) < len(ids):
        raise ValueError(f"an id occurs twice among the rows of {shipped}")
    if unknown := label_texts.counts(truth, task_name).keys() - {*labels}:
        raise ValueError(f"there are no probabilities of label {min(unknown, key=str)}")
    folds = len(set(rows["fold"].to_pylist())) if "fold" in rows.column_names else 0
    if folds == 1:
        raise ValueError("a cross-validation has two folds at least")
    return Predictions(shipped, ids, truth, labels, _outputs(rows, labels, task_name), folds, task_name)


def _task_name(schema: pa.Schema) -> TaskName:
    """Tell the task by the column of predictions; that classes have an order says the metadata."""
    kind = schema.field("predicted").type
    if pa.types.is_list(kind):
        return "multilabel"
    if pa.types.is_floating(kind):
        return "regression"
    return "ordinal" if (schema.metadata or {}).get(b"task") == b"ordinal" else "single"


def _outputs(rows: pa.Table, labels: tuple[str, ...], task_name: TaskName) -> np.ndarray:
    """Give the outputs of the task; of several labels, a threshold is one that decides as the model did."""
    if task_name == "regression":
        return np.asarray(rows["predicted"].to_numpy()[:, None])
    P = np.stack([rows[f"p_{label}"].to_numpy().astype(np.float64) for label in labels], axis=1)
    if task_name != "multilabel":
        return P
    texts = [label_texts.from_names(names) for names in rows["predicted"].to_pylist()]
    return np.stack([P, np.where(label_texts.indicators(texts, labels), 0.0, np.inf)], axis=2)
