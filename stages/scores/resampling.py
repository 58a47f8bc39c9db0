"""Draw the metrics of models on resampled rows.

A plain bootstrap has no spread where all rows are right, and too little where nearly all are. So the share of right
rows is drawn from its posterior, as in class_metrics.py, and rows are drawn with replacement among the right and among
the wrong ones; of two models, among those that both get right, only the first, only the second, or neither.
"""

from collections.abc import Sequence

import numpy as np

from stages.scores.row_metrics import Draws, RowMetrics

BLOCK_VALUES = 2**24  # row weights in memory at a time
MAX_RESAMPLED_ROWS = 10_000  # that are drawn one by one; more are drawn in random groups
RESAMPLED_GROUPS = 2_000  # of every outcome; enough that the length of an interval is off by 2 %
MAX_RANKED_VALUES = 2**30  # of all resamples of metrics that need the weights; more rows or labels get fewer resamples
MIN_RANKED_RESAMPLES = 200


def draws(models: Sequence[RowMetrics], *, resamples: int, generator: np.random.Generator) -> list[Draws]:
    """Draw the metrics of one or two models on the same rows: (resamples,) by metric and model.

    Metrics that need the weights get fewer resamples where rows are many.
    """
    rows = len(models[0].values)
    outcomes = _Outcomes(models, generator)
    width = max(model.width for model in models)
    ranked = min(resamples, max(MAX_RANKED_VALUES // (rows * width), MIN_RANKED_RESAMPLES))
    block = max(BLOCK_VALUES // rows, 1)
    parts: list[dict[str, list[np.ndarray]]] = [{} for _ in models]
    for done in range(0, resamples, block):
        shares, frequency = outcomes.draw(min(block, resamples - done), generator)
        weights = outcomes.row_weights(shares[: max(ranked - done, 0)])
        for part, model, means, absent in zip(parts, models, outcomes.means, outcomes.absent, strict=True):
            metrics = model.from_means(shares @ means + frequency @ absent)
            metrics |= model.from_weights(weights) if weights.size else {}
            for name, values in metrics.items():
                part.setdefault(name, []).append(values)
    return [{name: np.concatenate(values) for name, values in part.items()} for part in parts]


class _Outcomes:
    """Rows by outcome: bit m tells whether model m is right. Rows of one outcome are drawn with replacement.

    Attributes:
        rows: (outcomes,) rows of every outcome.
        group: (rows,) which group a row is drawn with: its own, or one of many random ones of its outcome.
        outcome: (groups,) of the rows of a group.
        sizes: (groups,) rows.
        means: (groups, S) of the values of every model.
        absent: (outcomes, S) of every model: the values of outcomes that no row has, 0 of the others.
    """

    def __init__(self, models: Sequence[RowMetrics], generator: np.random.Generator) -> None:
        total = len(models[0].values)
        outcome, self.rows = np.zeros(total, dtype=int), np.array([total])
        rights = [model.right for model in models if model.right is not None]
        if rights:
            outcome = sum((right.astype(int) << bit for bit, right in enumerate(rights)), outcome)
            self.rows = np.bincount(outcome, minlength=2 ** len(rights))
        self.group = np.zeros(total, dtype=int)
        of_groups: list[int] = []
        for code in np.flatnonzero(self.rows):
            rows = int(self.rows[code])
            count = rows if total <= MAX_RESAMPLED_ROWS else min(rows, RESAMPLED_GROUPS)
            self.group[outcome == code] = len(of_groups) + generator.permutation(np.arange(rows) % count)
            of_groups += [int(code)] * count
        self.outcome, self.sizes = np.array(of_groups), np.bincount(self.group)
        order = np.argsort(self.group, kind="stable")
        starts = np.flatnonzero(np.diff(self.group[order], prepend=-1))
        self.means = [np.add.reduceat(model.values[order], starts, axis=0) / self.sizes[:, None] for model in models]
        self.absent = [_absent(model, self.rows, bit) for bit, model in enumerate(models)]

    def draw(self, samples: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw how much every group (samples, groups) and every outcome (samples, outcomes) weighs."""
        prior = 1 / len(self.rows)  # Jeffreys' for the right and the wrong rows of a model
        frequency = np.ones((samples, 1))
        if len(self.rows) > 1:
            frequency = generator.dirichlet(self.rows + prior, size=samples)
        shares = np.empty((samples, len(self.outcome)))
        for code in np.flatnonzero(self.rows):
            columns = np.flatnonzero(self.outcome == code)
            counts = generator.multinomial(len(columns), np.full(len(columns), 1 / len(columns)), size=samples)
            drawn = counts * self.sizes[columns]
            shares[:, columns] = drawn * (frequency[:, code] / drawn.sum(axis=1))[:, None]
        return shares, frequency

    def row_weights(self, shares: np.ndarray) -> np.ndarray:
        """Divide the weight of a group among its rows: (rows, samples)."""
        weights: np.ndarray = (shares / self.sizes).T[self.group]
        return weights


def _absent(model: RowMetrics, rows: np.ndarray, bit: int) -> np.ndarray:
    """Give the values of outcomes that no row has: the means of the rows that the model gets as right, or as wrong."""
    values = np.zeros((len(rows), model.values.shape[1]))
    for code in np.flatnonzero(rows == 0):
        assert model.right is not None and model.unseen is not None
        is_right = bool(code >> bit & 1)
        alike = model.right == is_right
        values[code] = model.values[alike].mean(axis=0) if alike.any() else model.unseen[int(is_right)]
    return values
