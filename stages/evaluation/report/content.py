"""The data of the page: what the scripts draw."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.common.metric_directions import IN_UNITS
from stages.evaluation import cross_validation
from stages.evaluation.report import class_panels, inputs, number_panels, plane, terms, why
from stages.evaluation.results import Results, ScoredRows
from stages.scores import nearest_rows
from stages.tables.features import Features
from stages.tasks import Task

MAX_REPORT_ROWS = (
    10_000  # judged rows that the page holds; where there are more, the most confident mistakes come first
)
MAX_REPORT_TRAIN_ROWS = 5_000  # on the map
MAX_REPORT_PAIRS = 500  # near-duplicates
MAX_REPORT_SUSPECTS = 500  # likely label errors of a split
MAX_ROWS_WITH_NEAREST = 500  # judged rows with their nearest training rows
NEAREST_ROWS = 5


class Layout(NamedTuple):
    """The rows of the page, and all that their vectors tell: their places on the map and their nearest training rows.

    Attributes:
        rows: (shown,) indices of judged rows.
        train_rows: (shown training rows,) indices.
        nearest: (rows with nearest, neighbours) indices of training rows.
        cosines: of the same shape.
        points: (shown, 2) on the map.
        train_points: (shown training rows, 2) on the map.
    """

    rows: np.ndarray
    train_rows: np.ndarray
    nearest: np.ndarray
    cosines: np.ndarray
    points: np.ndarray
    train_points: np.ndarray


def layout(train: Features, scored: ScoredRows) -> Layout:
    """Choose the rows of the page, and lay them out on the map."""
    rows = rows_to_show(scored, scored.shipped)
    nearest, cosines = _nearest(train, scored, rows[:MAX_ROWS_WITH_NEAREST])
    train_rows = _train_rows(len(train.ids), nearest)
    points = plane.project(train, [scored.rows.single(rows), train.single(train_rows)])
    return Layout(rows, train_rows, nearest, cosines, *points)


def collect(prepared_folder: Path, results: Results) -> dict[str, Any]:
    """Collect everything that the page draws; texts and images of rows come from the prepared table.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    scored, card, train = results.scored, results.cards["head"], results.train
    rows, train_rows, nearest, cosines, points, train_points = results.layout
    pairs = results.pairs.head(MAX_REPORT_PAIRS)
    suspects = results.suspects.groupby("split", sort=False).head(MAX_REPORT_SUSPECTS)
    neighbours = len(np.unique(nearest))
    judged, trained = scored.rows.ids[rows], train.ids[train_rows]
    important = [("test", row_id) for row_id in judged[:MAX_ROWS_WITH_NEAREST]]
    important += [("train", row_id) for row_id in trained[:neighbours]]
    important += [(pair.split, pair.id) for pair in suspects.itertuples()]
    important += [key for pair in pairs.itertuples() for key in (("test", pair.id), ("train", pair.train_id))]
    others = [*(("test", row_id) for row_id in judged), *(("train", row_id) for row_id in trained)]
    split_of = {} if train.splits is None else dict(zip(train.ids, train.splits, strict=True))
    keys = [(split_of.get(row_id, split), row_id) for split, row_id in [*important, *others]]
    shown = inputs.read(prepared_folder, card.modality, keys)
    at = {row_id: number for number, (_, row_id) in enumerate(shown)}
    position = {row: place for place, row in enumerate(train_rows.tolist())}
    kind = class_panels if scored.task.has_classes else number_panels
    panels = kind.collect(results, rows, train.labels[train_rows])
    return {
        "has_classes": scored.task.has_classes,
        "metric": results.primary,
        "unit_metric": results.primary in IN_UNITS,
        "terms": terms.about(f"{scored.noun}s"),
        "models": list(scored.probabilities),
        "modality": card.modality,
        # Rows that more than one list has are written once: `at` is where they are in these two.
        "inputs": [row.input for row in shown.values()],
        "sources": [row.source for row in shown.values()],
        "rows": _located(judged, points, at)
        | panels.rows
        | {"why": why.collect(results.explained)}
        | {
            "nearest": [
                [(position[index], cosine) for index, cosine in zip(*neighbour, strict=True)]
                for neighbour in zip(nearest.tolist(), cosines.tolist(), strict=True)
            ]
        },
        "train": _located(trained, train_points, at) | {"label": panels.train},
        "explained": results.shipped,
        "test_rows": len(scored.truth),
        "judged": scored.noun,
        "known": scored.known_nouns,
        **panels.page,
        "slices": {model: plots["slices"] for model, plots in results.plots.items()},
        "curves": results.curves,
        "near_duplicates": [_pair(pair, at, scored.task) for pair in pairs.itertuples()],
        "label_errors": [_suspect(suspect, at, scored.task) for suspect in suspects.itertuples()],
    }


def rows_to_show(scored: ScoredRows, shipped: str) -> np.ndarray:
    """Choose the rows of the page: the shipped model's most confident mistakes or largest errors first."""
    mistakes = scored.mistakes(shipped)
    order = np.concatenate([mistakes, np.setdiff1d(np.arange(len(scored.truth)), mistakes)])
    return order[:MAX_REPORT_ROWS]


def _train_rows(count: int, nearest: np.ndarray) -> np.ndarray:
    """Choose the training rows of the page: those that are nearest to judged rows, then rows at even distances."""
    evenly = np.linspace(0, count - 1, min(count, MAX_REPORT_TRAIN_ROWS)).astype(int)
    chosen = dict.fromkeys([*np.unique(nearest).tolist(), *evenly.tolist()])
    return np.array([*chosen][:MAX_REPORT_TRAIN_ROWS], dtype=int)


def _nearest(train: Features, scored: ScoredRows, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the training rows nearest to judged rows: indices and cosines, both (rows, at most `NEAREST_ROWS`)."""
    if scored.division:
        return cross_validation.nearest(train, scored.division, rows, NEAREST_ROWS)
    return nearest_rows.find(train.X, scored.rows.X[rows], NEAREST_ROWS)


def _located(ids: np.ndarray, points: np.ndarray, at: Mapping[str, int]) -> dict[str, Any]:
    """List rows and their positions on the map, (rows, 2) `points`."""
    return {
        "at": [at[row_id] for row_id in ids],
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
    }


def _pair(pair: Any, at: Mapping[str, int], task: Task) -> dict[str, Any]:
    """Describe a row of near_duplicates.parquet."""
    label, train_label = task.in_words([pair.label, pair.train_label])
    return {
        "test": at[pair.id],
        "label": label,
        "train": at[pair.train_id],
        "train_label": train_label,
        "cosine": pair.cosine,
    }


def _suspect(suspect: Any, at: Mapping[str, int], task: Task) -> dict[str, Any]:
    """Describe a row of label_errors.parquet."""
    label, suggested = task.in_words([suspect.label, suspect.suggested])
    return {
        "at": at[suspect.id],
        "split": suspect.split,
        "label": label,
        "suggested": suggested,
        "p": suspect.p_suggested,
    }
