"""How uncertain are the metrics of a confusion matrix, of which most are means over classes of few rows?

A bootstrap of the rows has no spread where a class has one row or all rows are right, and it keeps the bias that F1 of
few rows has. Instead, this draws from the posterior of what the metrics would be on endless rows, as Goutte and
Gaussier 2005 (A Probabilistic Interpretation of Precision, Recall and F-score) do for one class. Classes borrow from
each other as much as they are alike (a hierarchical Dirichlet model): the recall of a class with two rows is drawn
between its own and that of all classes.
"""

from collections.abc import Sequence

import numpy as np
import scipy

from stages.scores import metrics

PSEUDO_ROWS = np.geomspace(1, 1000, 13)  # that a class may borrow; the data weigh these choices
BLOCK_VALUES = 2**22  # random numbers in memory at a time

Draws = dict[str, np.ndarray]


def draws(
    truth: np.ndarray, guesses: Sequence[np.ndarray], classes: int, *, samples: int, generator: np.random.Generator
) -> list[Draws]:
    """Draw the metrics of one or two models on the same rows.

    Args:
        truth: (rows,) label indices.
        guesses: label indices that each model predicts, (rows,).
        classes: number of labels.

    Returns:
        For every model accuracy, balanced_accuracy, macro_f1, weighted_f1, matthews_correlation and cohen_kappa:
        (samples,) each.
    """
    counts = _Counts(truth, guesses, classes)
    block = max(BLOCK_VALUES // (classes * counts.outcomes.shape[1]), 1)
    parts = [_draw(counts, min(block, samples - done), generator) for done in range(0, samples, block)]
    return [
        {name: np.concatenate([part[model][name] for part in parts]) for name in parts[0][model]}
        for model in range(len(guesses))
    ]


class _Counts:
    """What the draws depend on: K classes, M models, and 2 ** M outcomes of a row: which of the models are right.

    Attributes:
        support: (K,) true rows.
        outcomes: (K, 2 ** M) rows of a class by outcome; bit m of the outcome tells whether model m is right.
        wrong: M of (K,) wrong predictions of the class that the other model does not share.
        shared: (K,) wrong predictions of the class that both models make of the same row.
    """

    def __init__(self, truth: np.ndarray, guesses: Sequence[np.ndarray], classes: int) -> None:
        right = [guess == truth for guess in guesses]
        outcome = sum((row.astype(int) << model for model, row in enumerate(right)), np.zeros(len(truth), int))
        width = 2 ** len(guesses)
        self.outcomes = np.bincount(truth * width + outcome, minlength=classes * width).reshape(classes, width)
        self.support = self.outcomes.sum(axis=1)
        is_shared = np.zeros(len(truth), dtype=bool)
        if len(guesses) == 2:
            is_shared = (guesses[0] == guesses[1]) & ~right[0]
            self.shared = np.bincount(guesses[0][is_shared], minlength=classes)
        else:
            self.shared = np.zeros(classes, dtype=int)
        self.wrong = [
            np.bincount(guess[~hit & ~is_shared], minlength=classes) for guess, hit in zip(guesses, right, strict=True)
        ]


def _draw(counts: _Counts, samples: int, generator: np.random.Generator) -> list[Draws]:
    """Draw frequencies, recall and wrong predictions of all classes, and compute the metrics from them."""
    gamma = generator.standard_gamma
    flat = np.ones(len(counts.support))
    # Of endless rows, the share that has a class: (samples, K).
    frequency = _normalised(gamma(counts.support + _choose(counts.support[None], flat, samples, generator)))
    recalls = _recalls(counts, samples, generator)
    # Of wrong predictions, the share that goes to a class: (samples, K).
    all_wrong = counts.shared + np.sum(counts.wrong, axis=0)
    shared = gamma(counts.shared + _choose(all_wrong[None], flat, samples, generator))
    return [
        _metrics(frequency, recall, _normalised(shared + gamma(np.broadcast_to(wrong, shared.shape))))
        for recall, wrong in zip(recalls, counts.wrong, strict=True)
    ]


def _recalls(counts: _Counts, samples: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Draw the recall of every class by every model: M of (samples, K)."""
    outcomes, support = counts.outcomes, counts.support
    flat = 1 / outcomes.shape[1]  # Jeffreys' prior for the right and the wrong rows of a model
    mean = outcomes.sum(axis=0) + flat
    has_rows = support > 0
    borrowed = _choose(outcomes[has_rows], mean / mean.sum(), samples, generator)  # (samples, 1)
    # A class that has more rows than it borrows tells less about the others than that many rows of different classes.
    weight = (1 + borrowed) / (support + borrowed)  # (samples, K)
    pooled = _normalised(generator.standard_gamma(weight @ outcomes + flat))  # (samples, 2 ** M)
    chances = _normalised(generator.standard_gamma(outcomes + (borrowed * pooled)[:, None, :]))  # (samples, K, 2 ** M)
    models = range(len(counts.wrong))
    return [chances[:, :, [code for code in range(len(mean)) if code >> model & 1]].sum(axis=2) for model in models]


def _metrics(frequency: np.ndarray, recall: np.ndarray, wrong: np.ndarray) -> Draws:
    """Compute the metrics on endless rows.

    Args:
        frequency: (samples, K) share of the rows that has the class.
        recall: (samples, K)
        wrong: (samples, K) share of the wrong predictions that goes to the class.
    """
    missed = frequency * (1 - recall)
    # A row is never taken for its own class by mistake: what would go there goes to the others.
    scaled = missed / np.maximum(1 - wrong, np.finfo(float).tiny)
    mistaken = wrong * (scaled.sum(axis=1, keepdims=True) - scaled)
    hits = frequency * recall
    f1 = 2 * hits / np.maximum(frequency + hits + mistaken, np.finfo(float).tiny)
    return {
        "accuracy": hits.sum(axis=1),
        "balanced_accuracy": recall.mean(axis=1),
        "macro_f1": f1.mean(axis=1),
        "weighted_f1": (f1 * frequency).sum(axis=1),
        **metrics.beyond_chance(hits, hits + mistaken, frequency),
    }


def _choose(counts: np.ndarray, mean: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Draw how many pseudo-rows of `mean` are added to each row of `counts`: (samples, 1).

    Weights are the likelihoods of the counts under a Dirichlet-multinomial distribution.

    Args:
        counts: (groups, cells)
        mean: (cells,)
    """
    alpha = PSEUDO_ROWS[:, None, None] * mean  # (choices, 1, cells)
    total, rows = alpha.sum(axis=2), counts.sum(axis=1)  # (choices, 1), (groups,)
    gammaln = scipy.special.gammaln
    likelihood = (gammaln(counts + alpha) - gammaln(alpha)).sum(axis=2) + gammaln(total) - gammaln(rows + total)
    weights = np.exp(likelihood.sum(axis=1) - likelihood.sum(axis=1).max())
    return generator.choice(PSEUDO_ROWS, size=(samples, 1), p=weights / weights.sum())


def _normalised(values: np.ndarray) -> np.ndarray:
    """Divide by the sum along the last axis."""
    shares: np.ndarray = values / values.sum(axis=-1, keepdims=True)
    return shares
