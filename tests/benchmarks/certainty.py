"""Measure whether a model knows what it does not know, on BANKING77.

    python -m tests.benchmarks.certainty DATA VECTORS [HEADS] [LEFT_OUT] [TARGET]

DATA holds banking77/, tables of two columns, text and label. VECTORS is a folder that keeps their vectors by the
packaged MiniLM: the first run makes them. First, HEADS heads are fitted on 30 random rows a class, and for each the
other rows are divided 10 times at random into 1,500 held-out rows and 3,000 that judge accepted rows and prediction
sets. Then, LEFT_OUT times, 20 random classes are left out of train.csv, and `unfamiliar` is to tell their rows in the
other table from those of the classes that are known, by the area under the ROC curve. At last, as often, 20 random
classes are `prepare.unknown`: 30 rows of each other class are fitted, and the rest is divided 10 times into held-out
rows and judged rows, as above, with the share of unknown rows that the data has. Three rules tell which rows are none
of the classes: by a threshold chosen with unknown rows, by one chosen without, and by the first or `unfamiliar` > 95.
TARGET is their `predict.target_accuracy`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from stages.common.params import TrainHeadParams
from stages.common.predict_params import PredictParams
from stages.heads import certainty, choosing
from stages.heads.certainty import HeldOut
from stages.scores import proportions
from tests.benchmarks import arguments
from tests.benchmarks.cross_validation import training_rows, vectors

NAME = "banking77"
PER_CLASS, HELD_OUT, JUDGED, DIVISIONS = 30, 1_500, 3_000, 10
CLASSES_LEFT_OUT = 20
SETTINGS = PredictParams()


class Draw(NamedTuple):
    """Accepted rows and sets of one division; `is_below` and `is_clear`: the accuracy, and its interval, miss it."""

    accepted: float
    accuracy: float
    coverage: float
    size: float
    is_below: float
    is_clear: float


def sets_and_accepted(X: np.ndarray, labels: np.ndarray, seed: int) -> Iterator[Draw]:
    """Fit a head, and judge it in every division."""
    y = np.unique(labels, return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(len(y))
    fitted = choosing.sample_rows(order, y, most=0, least=PER_CLASS)
    head = choosing.fit(X[fitted], labels[fitted], TrainHeadParams(C=(10.0,)))[0]
    others = np.setdiff1d(np.arange(len(y)), fitted)
    P = head.probabilities(X[others])
    for division in range(DIVISIONS):
        drawn = np.random.default_rng((seed, division)).permutation(len(others))
        held_out, judged = drawn[:HELD_OUT], drawn[HELD_OUT : HELD_OUT + JUDGED]
        limits = HeldOut.from_outputs(head.task, y[others[held_out]], P[held_out], "validation").limits(SETTINGS)
        verdicts, truth = limits.verdicts(head.task, P[judged]), y[others[judged]]
        assert verdicts.accepted is not None and verdicts.sets is not None
        right = (P[judged].argmax(axis=1) == truth)[verdicts.accepted]
        yield Draw(
            len(right) / JUDGED,
            right.mean(),
            verdicts.sets[np.arange(JUDGED), truth].mean(),
            verdicts.sets.sum(axis=1).mean(),
            right.mean() < SETTINGS.target_accuracy,
            proportions.interval(int(right.sum()), len(right))[1] < SETTINGS.target_accuracy,
        )


def left_out(X: np.ndarray, labels: np.ndarray, pool: np.ndarray, seed: int) -> float:
    """Compute the area under the ROC curve of `unfamiliar` for rows of classes that were left out."""
    unknown = np.random.default_rng(seed).choice(np.unique(labels), CLASSES_LEFT_OUT, replace=False)
    is_unknown = np.isin(labels, unknown)
    known = certainty.known_rows(X[pool[~is_unknown[pool]]])
    assert known is not None
    judged = np.setdiff1d(np.arange(len(labels)), pool)
    return float(roc_auc_score(is_unknown[judged], known.unfamiliar(X[judged])))


class NoneOfThese(NamedTuple):
    """How rows of unknown classes are told, of one division; accepted_accuracy counts accepted ones as wrong.

    `is_below` and `is_clear`: this accuracy, and its interval, miss the target. Where no row is accepted, the accuracy
    is NaN and misses nothing.
    """

    recall: float
    precision: float
    accepted_known: float
    accepted_accuracy: float
    is_below: float
    is_clear: float

    @classmethod
    def judge(cls, accepted: np.ndarray, is_unknown: np.ndarray, is_right: np.ndarray, target: float) -> "NoneOfThese":
        """Judge by rows: (rows,) bool, where no unknown row is right."""
        right = is_right[accepted]
        if not len(right):
            return cls(1.0, is_unknown.mean(), 0.0, np.nan, False, False)
        return cls(
            1 - accepted[is_unknown].mean(),
            is_unknown[~accepted].mean(),
            accepted[~is_unknown].mean(),
            right.mean(),
            right.mean() < target,
            proportions.interval(int(right.sum()), len(right))[1] < target,
        )


def none_of_these(X: np.ndarray, labels: np.ndarray, seed: int, target: float) -> Iterator[dict[str, NoneOfThese]]:
    """Fit a head without some classes, and judge each rule in every division."""
    is_unknown = np.isin(labels, np.random.default_rng(seed).choice(np.unique(labels), CLASSES_LEFT_OUT, replace=False))
    names, y = np.unique(np.where(is_unknown, "", labels), return_inverse=True)  # "" comes first
    assert not names[0]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~is_unknown))
    fitted = choosing.sample_rows(order, y, most=0, least=PER_CLASS)
    head = choosing.fit(X[fitted], labels[fitted], TrainHeadParams(C=(10.0,)))[0]
    settings, known = PredictParams(target_accuracy=target), certainty.known_rows(X[fitted])
    assert known is not None
    others = np.setdiff1d(np.arange(len(y)), fitted)
    P, y, is_unknown = head.probabilities(X[others]), y[others] - 1, is_unknown[others]
    unfamiliar = known.unfamiliar(X[others])
    for division in range(DIVISIONS):
        drawn = np.random.default_rng((seed, division)).permutation(len(others))
        held_out, judged = drawn[:HELD_OUT], drawn[HELD_OUT : HELD_OUT + JUDGED]
        mine, unknown = held_out[~is_unknown[held_out]], held_out[is_unknown[held_out]]
        rows = HeldOut.from_outputs(head.task, y[mine], P[mine], "validation", P[unknown])
        is_right = P[judged].argmax(axis=1) == y[judged]
        with_unknown, without = (
            part.limits(settings).verdicts(head.task, P[judged]).accepted
            for part in (rows, rows._replace(unknown=None))
        )
        assert with_unknown is not None and without is not None
        accepted = {
            "with unknown rows": with_unknown,
            "without": without,
            "or unfamiliar": with_unknown & (unfamiliar[judged] <= 95),
        }
        yield {name: NoneOfThese.judge(rows, is_unknown[judged], is_right, target) for name, rows in accepted.items()}


def main() -> None:
    args = arguments.parse(__doc__, data=Path, vectors=Path, heads=20, left_out=20, target=0.95)
    X, labels = vectors(args.data, args.vectors, NAME)
    labels = labels.astype(str)
    draws = [draw for seed in range(args.heads) for draw in sets_and_accepted(X, labels, seed)]
    means, coverage = Draw(*np.mean(draws, axis=0)), np.array([draw.coverage for draw in draws])
    within = np.mean(np.abs(coverage - SETTINGS.coverage) <= 0.02)
    print(
        f"{len(draws)} draws: sets of {means.size:.2f} labels hold the true one of {means.coverage:.4f} of the rows"
        f" (standard deviation {coverage.std():.4f}), within 2 points of {SETTINGS.coverage} in {within:.1%} of draws"
    )
    print(
        f"accepted: {means.accepted:.3f} of the rows, {means.accuracy:.4f} of them right; below"
        f" {SETTINGS.target_accuracy} in {means.is_below:.1%} of draws, the whole interval in {means.is_clear:.1%}"
    )
    pool = training_rows(args.data, NAME, len(labels))
    areas = np.array([left_out(X, labels, pool, seed) for seed in range(args.left_out)])
    print(f"unfamiliar: area under ROC {areas.mean():.4f}, {areas.min():.4f} to {areas.max():.4f}, {len(areas)} draws")
    divisions = [rules for seed in range(args.left_out) for rules in none_of_these(X, labels, seed, args.target)]
    for rule in divisions[0]:
        mean = NoneOfThese(*np.nanmean([rules[rule] for rules in divisions], axis=0))
        print(
            f"none of these, threshold {rule}: recall {mean.recall:.3f}, precision {mean.precision:.3f}; accepted"
            f" {mean.accepted_known:.3f} of known rows; {mean.accepted_accuracy:.4f} of accepted rows right, below"
            f" {args.target} in {mean.is_below:.1%} of draws, the whole interval in {mean.is_clear:.1%};"
            f" no row accepted in {np.mean([rules[rule].accepted_known == 0 for rules in divisions]):.1%}"
        )


if __name__ == "__main__":
    main()
