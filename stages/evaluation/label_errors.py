"""Rows whose label is likely wrong, by confident learning (Northcutt et al. 2021) as cleanlab implements it.

A row is suspect if an out-of-fold classifier gives another class at least that class's average confidence.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stages import tasks
from stages.common import hidden_modules
from stages.scores import calibration, exclusive
from stages.tables.features import Features
from stages.tasks import Task
from stages.tasks.multilabel import Multilabel
from stages.tasks.single import Single

if TYPE_CHECKING:
    import pandas as pd

MIN_LABEL_ERROR_ROWS = 20  # fewer rows do not tell how confident the classifier is of each class
COLUMNS = ("row", "suggested", "p_label", "p_suggested")


def find(T: np.ndarray, outputs: np.ndarray, task: Task) -> "pd.DataFrame":
    """Find the rows whose label is likely wrong, the most suspect first.

    Of several labels every one is judged by itself, as cleanlab's multilabel_classification does: has the row the
    label, or not. Labels that exclude each other are judged as classes. Numbers have no classes: none is found.

    Args:
        T: (rows, …) targets of the task.
        outputs: (rows, …) of the task, by a classifier that was not trained on these rows; NaN of labels that are not
            judged.

    Returns:
        What `find_classes` returns; of several labels, `suggested` is the label to add or to take away, or the one to
        take the place of another.
    """
    if not task.has_classes:
        return from_array(np.empty((0, len(COLUMNS))))
    if isinstance(task, Single):
        return find_classes(T, outputs)
    import pandas as pd

    P, parts, sets = task.probabilities(outputs), [], task.exclusive_indices()
    for labels in sets:
        judged = np.flatnonzero(~np.isnan(P[:, labels]).any(axis=1) & (T[:, labels].sum(axis=1) == 1))
        part = find_classes(T[judged][:, labels].argmax(axis=1), P[judged][:, labels])
        parts.append(part.assign(row=judged[part["row"]], suggested=np.array(labels)[part["suggested"]]))
    for label in set(range(P.shape[1])).difference(*sets):
        p = P[:, label]
        judged = np.flatnonzero(~np.isnan(p))
        part = find_classes(T[judged, label].astype(int), np.stack([1 - p[judged], p[judged]], axis=1))
        parts.append(part.assign(row=judged[part["row"]], suggested=label))
    return pd.concat(parts, ignore_index=True).sort_values("p_label", kind="stable", ignore_index=True)


def find_classes(y: np.ndarray, P: np.ndarray) -> "pd.DataFrame":
    """Find the rows whose class is likely wrong, the most suspect first.

    Args:
        y: (rows,) label indices.
        P: (rows, labels) probabilities by a classifier that was not trained on these rows.

    Returns:
        Columns row and suggested, the indices of the row and of its likelier label, and p_label and p_suggested, the
        probabilities of the label that the row has and of the suggested one.
    """
    present = np.unique(y)
    if len(y) < MIN_LABEL_ERROR_ROWS or len(present) < 2:
        return from_array(np.empty((0, len(COLUMNS))))
    with hidden_modules.without("cleanlab.datalab"):  # it and `datasets` take more than a second, and have no use here
        from cleanlab.filter import find_label_issues

    # Labels without a row have no average confidence to compare with.
    shares = P[:, present] / np.maximum(P[:, present].sum(axis=1, keepdims=True), np.finfo(float).tiny)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "May not flag all label issues"
        )  # in classes of few rows, which are usual here
        rows = find_label_issues(
            np.searchsorted(present, y), shares, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    suggested = P[rows].argmax(axis=1)
    return from_array(np.column_stack([rows, suggested, P[rows, y[rows]], P[rows, suggested]]))


def find_in_training(train: Features, C: float) -> "pd.DataFrame":
    """Find the training rows whose label is likely wrong, by out-of-fold probabilities of a logistic head.

    Groups stay in one fold. Classes with a single row or group are left out: no other fold has a row of them. Of large
    tables, a head learns from a sample of the other folds (`choosing.MAX_OUT_OF_FOLD_ROWS`), but all rows are judged.

    Args:
        train: the training rows.
        C: inverse regularisation of the head.

    Returns:
        What `find` returns.
    """
    from stages.heads import (
        choosing,
        folds,
        one_vs_rest,
    )  # takes most of a second, and is not needed for cached results

    task = tasks.from_rows(train.metadata, train.labels)
    y = task.targets(train.labels)
    if isinstance(task, Multilabel):
        sets = tuple(tuple(task.labels[label] for label in members) for members in exclusive.find(y))
        task = replace(task, exclusive=sets)
        scores = one_vs_rest.out_of_fold(train.X, y, C, train.groups)
        for members in task.exclusive_indices():
            classes = np.array(task.labels)[members][y[:, members].argmax(axis=1)]
            scores[:, members] = calibration.logits(choosing.out_of_fold(train.X, classes, C, train.groups))
        return find(y, task.outputs(scores), task)
    if not task.has_classes:
        return from_array(np.empty((0, len(COLUMNS))))
    kept = np.flatnonzero(folds.units(y, train.groups)[y] > 1)
    known = np.unique(y[kept])
    if len(known) < 2:
        return from_array(np.empty((0, len(COLUMNS))))
    part = train if len(kept) == len(y) else train.select(kept)  # a copy takes as much memory as the table
    P = np.zeros((len(kept), len(task.labels)))
    P[:, task.targets(np.unique(part.labels.astype(str)))] = choosing.out_of_fold(part.X, part.labels, C, part.groups)
    judged = np.flatnonzero(~np.isnan(P[:, known[0]]))
    if len(judged) < len(kept):
        kept, P = kept[judged], P[judged]
    suspects = find_classes(y[kept], P)
    return suspects.assign(row=kept[suspects["row"]])


def from_array(array: np.ndarray) -> "pd.DataFrame":
    """Make the table of suspects from its values, (suspects, 4) float64: the inverse of its `to_numpy()`."""
    import pandas as pd

    return pd.DataFrame(array, columns=COLUMNS).astype({"row": int, "suggested": int})


def table(suspects: "Mapping[str, pd.DataFrame]", rows: Mapping[str, Features], task: Task) -> "pd.DataFrame":
    """Name the suspect rows and labels: columns split, id, label, suggested, p_label, p_suggested.

    Args:
        suspects: name of a split to what `find` returned for it.
        rows: name of a split to all its rows.
        task: names the labels; of numbers there are no suspects.
    """
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "split": split,
                "id": rows[split].ids[part["row"]],
                "label": rows[split].labels[part["row"]],
                "suggested": [
                    task.corrected(*pair)
                    for pair in zip(rows[split].labels[part["row"]], part["suggested"], strict=True)
                ]
                if task.has_classes
                else [],
                "p_label": part["p_label"],
                "p_suggested": part["p_suggested"],
            }
        )
        for split, part in suspects.items()
    ]
    return pd.concat(parts, ignore_index=True)
