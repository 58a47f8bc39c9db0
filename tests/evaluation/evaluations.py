"""Evaluations of made-up predictions, as the verdict and its advice read them."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from stages.common.params import EvaluateParams, ExtractParams
from stages.evaluation import metrics_json
from stages.evaluation.cross_validation import Division
from stages.evaluation.plots import from_model
from stages.evaluation.results import Results, ScoredRows
from stages.heads.folds import Fold
from stages.tables.features import Features
from stages.tasks.single import Single

RISING = ((2, 0.5), (10, 0.7), (50, 0.9))
FLAT = ((2, 0.79), (10, 0.8), (50, 0.8))


def guesses(truth: np.ndarray, labels: int, right: float, seed: int = 0) -> np.ndarray:
    """Predictions that are right for a share of the rows, and else any other label."""
    generator = np.random.default_rng(seed)
    wrong = np.zeros(len(truth), dtype=bool)
    wrong[generator.permutation(len(truth))[: round((1 - right) * len(truth))]] = True
    return np.where(wrong, (truth + generator.integers(1, labels, len(truth))) % labels, truth)


def evaluation(
    truth: np.ndarray,
    models: Mapping[str, np.ndarray],
    *,
    labels: Sequence[str] = ("a", "b", "c", "d"),
    curve: Sequence[tuple[float, float]] = RISING,
    suspects: tuple[int, int] = (0, 0),
    copies: int = 0,
    family: str = "transformers",
    bootstrap: int = 200,
    is_long: np.ndarray | None = None,
    long: str = "cut",
    unclear: float = 0.0,
    folds: int = 0,
) -> Results:
    """An evaluation of predicted label indices, (rows,), by model; `suspects`: of the training and the test rows.

    Args:
        is_long: (rows,) bool: texts of more tokens than are read at a time.
        long: `extract.long`.
        unclear: share of the tokens.
        folds: of a cross-validation in two equal repeats; 0 for test rows.
    """
    eye = np.eye(len(labels))
    probabilities = {name: 0.7 * eye[guess] + 0.3 / len(labels) for name, guess in models.items()}
    metadata = cast(Any, SimpleNamespace(max_length=32, extract=ExtractParams(long=long)))
    rows = Features(*(np.empty(len(truth)) for _ in range(3)), metadata, is_long, unclear)
    division, repeated = None, {}
    if folds:
        order = np.arange(len(truth))
        parts = tuple(Fold(order[order % folds != fold], order[order % folds == fold]) for fold in range(folds))
        division, repeated = (
            Division((parts, parts), order),
            {name: np.stack([P, P]) for name, P in probabilities.items()},
        )
    scored = ScoredRows(rows, truth, Single(tuple(labels)), probabilities, division, repeated)
    card = SimpleNamespace(
        modality="text",
        backbone=SimpleNamespace(family=family),
        validation_temperatures=lambda: np.array(1.0),
        training={"kept_epoch": 1},
    )
    cards: Any = {name: card for name in models if name != "baseline"}
    metrics = metrics_json._models(scored, cards, EvaluateParams(bootstrap=bootstrap))
    metrics["unclear_tokens"] = rows.unclear_share
    metrics["cut_rows"] = rows.cut_rows
    metrics["label_errors"] = dict(zip(("train", "test"), suspects, strict=True))
    metrics["near_duplicates"] = {"test_rows": copies} | ({"head_without": {"accuracy": 0.5}} if copies else {})
    points = [{"labels_per_class": float(size), "accuracy": accuracy} for size, accuracy in curve]
    return Results(
        cards=cards,
        train=cast(Features, None),
        layout=cast(Any, None),
        scored=scored,
        metrics=metrics,
        plots={name: from_model(truth, P, scored.task) for name, P in probabilities.items()},
        curves={"backbone": points},
        pairs=cast(Any, None),
        suspects=cast(Any, None),
        explained=cast(Any, None),
        settings={},
    )
