"""Answer requests: rows of a body, classified or explained, as JSON."""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from stages.common import threads
from stages.common.errors import HeadstartError
from stages.evaluation import prediction_columns
from stages.finetuning.trained_model import TrainedModel
from stages.prediction import classified_rows
from stages.prediction.classified_rows import ClassifiedRows
from stages.serving import bodies, limits
from stages.serving.batcher import Batcher
from stages.serving.metrics import Metrics
from stages.serving.served_model import ServedModel, ServedModels
from stages.sources import Row
from stages.tasks import Task

DECIMALS = 7  # of probabilities


class Classifying:
    """Classifies the rows of requests, in a thread of each. One thread computes for all."""

    def __init__(self, models: ServedModels, metrics: Metrics) -> None:
        self.models, self._metrics = models, metrics
        modality = models.current.card.modality
        self.batcher = Batcher(
            batch_rows=limits.BATCH_ROWS[modality],
            max_waiting_rows=limits.MAX_WAITING_ROWS[modality],
            observe=metrics.observe_batch,
        )
        metrics.watch_waiting(lambda: self.batcher.waiting_rows)
        # A large picture takes much memory, and so does a body of many small values.
        self._reading = threading.BoundedSemaphore(threads.cores())

    def predict(self, content: bytes, content_type: str, deadline: float) -> bytes:
        """Classify the rows of a body.

        Raises:
            RefusedError: the body cannot be used, or it took too long.
        """
        served = self.models.current
        rows = self._rows(served, content, content_type, deadline, limits.MAX_ROWS[served.card.modality])
        return _json({"predictions": _predictions(self._classified(served, rows, deadline), served)})

    def explain(self, content: bytes, content_type: str, deadline: float) -> bytes:
        """Classify one row, and tell what decided it and which training rows are most like it.

        Raises:
            RefusedError: see `predict`.
        """
        served = self.models.current
        rows = self._rows(served, content, content_type, deadline, limits.MAX_EXPLAINED_ROWS)
        classified = self._classified(served, rows, deadline, explain=True)
        (prediction,), (explanation,) = _predictions(classified, served), classified.explained or [None]
        nearest = None if classified.problems[0] else self._nearest(served, rows[0], deadline)
        return _json({**prediction, "explanation": explanation and json.loads(explanation), "nearest": nearest})

    def _rows(
        self, served: ServedModel, content: bytes, content_type: str, deadline: float, max_rows: int
    ) -> list[Row]:
        with self._reading:
            limits.check(deadline)
            rows = bodies.rows(content, content_type, served.card, max_rows=max_rows)
            if served.card.modality == "image":
                for number, row in enumerate(rows):
                    limits.check(deadline)
                    rows[number] = classified_rows.ready(row, served.card)
            return rows

    def _classified(
        self, served: ServedModel, rows: Sequence[Row], deadline: float, *, explain: bool = False
    ) -> ClassifiedRows:
        model = TrainedModel(
            lambda inputs: self.batcher.compute(served.model.vectors, inputs, deadline),
            served.model.head,
            served.model.task,
        )
        classified = classified_rows.classify(rows, served.card, lambda: model, explain=explain, known=served.known)
        rejected = sum(problem is not None for problem in classified.problems)
        self._metrics.count_rows(classified=len(rows) - rejected, rejected=rejected)
        return classified

    def _nearest(self, served: ServedModel, row: Row, deadline: float) -> list[dict[str, Any]] | None:
        """Describe the nearest training rows; None where there are none at hand, or their table was made again."""
        if served.training_rows is None:
            return None
        inputs = [classified_rows.backbone_input(row, served.card)]
        vector = self.batcher.compute(served.model.vectors, inputs, deadline)
        with suppress(HeadstartError):
            return served.training_rows.nearest(vector)
        return None


def _predictions(classified: ClassifiedRows, served: ServedModel) -> list[dict[str, Any]]:
    """Describe rows as predict does: what is predicted and how sure that is, or why a row is rejected."""
    task, missing = served.model.task, prediction_columns.missing(classified.outputs)
    verdicts = served.verdicts(classified.outputs, classified.unfamiliar)
    certainty = prediction_columns.certainty_columns(verdicts, served.card.labels, missing)
    sure = pa.table(certainty).to_pylist() if certainty else [{}] * len(missing)
    said = _said(task, np.nan_to_num(classified.outputs))
    return [
        {**(dict.fromkeys(values) if problem else values), **more, "rejected": problem}
        for values, more, problem in zip(said, sure, classified.problems, strict=True)
    ]


def _said(task: Task, outputs: np.ndarray) -> list[dict[str, Any]]:
    """Tell of every row what is predicted, and of classes with which probabilities."""
    predicted = task.predicted(outputs).to_pylist()
    if not task.has_classes:
        return [{"predicted": number} for number in predicted]
    confidence = np.round(task.confidence(outputs), DECIMALS).tolist()
    shares = np.round(task.probabilities(outputs), DECIMALS).tolist()
    return [
        {"predicted": label, "confidence": sure_of, "probabilities": dict(zip(task.labels, row, strict=True))}
        for label, sure_of, row in zip(predicted, confidence, shares, strict=True)
    ]


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
