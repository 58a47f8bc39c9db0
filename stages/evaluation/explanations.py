"""Why a row got its label: which words or regions of a picture raised its probability, and which lowered it.

For a mistake, the probability of the predicted label is that of a choice between it and the true one: p / (p + p_true).
The shares of the parts sum exactly to the difference between the probability for the row and that for an empty one: a
text without words, a picture of its mean colour.

A part's share comes from leaving it out (occlusion: Zeiler and Fergus 2014, "Visualizing and Understanding
Convolutional Networks"; Li et al. 2016, "Understanding Neural Networks through Representation Erasure"). An input is
halved again and again, the half with the largest share first. The two halves of a part divide its share in proportion
to their Shapley values while the rest of the input is present, so a half that changes nothing gets nothing (Shapley
1953; Owen 1977, "Values of Games with a Priori Unions"). It needs only scores, so it serves every backbone and
head.

All this is computed with log-odds, and then scaled to the difference in probability (Shrikumar et al. 2017, "Learning
Important Features Through Propagating Activation Differences": the rescale rule). For a probability near 1, leaving out
the word that decides changes hardly anything where other words alone would do.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy

from stages.common.params import Modality
from stages.evaluation.input_parts import Part, Picture, Text

Scores: TypeAlias = Callable[[Sequence[Any]], np.ndarray]  # of inputs: (inputs, labels); softmax: the probabilities

MAX_HALVINGS = 24  # of an input: 25 parts, 50 passes. With 64 words or more, those that matter little stay together
HALVINGS_PER_ROUND = 2  # of an input, before the model is asked again; with 4, long texts lost the word that decided
ROWS_AT_A_TIME = {"text": 32, "image": 8}  # enough for full batches, few enough for their altered pictures in memory
DIGITS = 6  # of numbers in files


class Share(NamedTuple):
    """What a part adds to the log-odds."""

    part: Part
    share: float
    without: float  # the log-odds of the input without this part


@dataclass
class Explanation:
    """An input's log-odds, those when it is empty, and the shares of its parts, which sum to the difference."""

    input: Text | Picture
    output: float
    empty: float
    shares: list[Share]

    def content(self) -> dict[str, Any]:
        """Return the probabilities and the parts in reading order, as the files hold them."""
        expit = scipy.special.expit
        output, empty = float(expit(self.output)), float(expit(self.empty))
        # Near 1, probabilities differ by less than their last digit; their complements do not.
        gained = expit(-self.empty) - expit(-self.output) if min(self.output, self.empty) > 0 else output - empty
        odds = self.output - self.empty
        scale = float(gained) / odds if odds else output * (1 - output)
        parts = [
            self.input.describe(part) | {"share": _rounded(share * scale)} for part, share, _ in sorted(self.shares)
        ]
        return {"output": _rounded(output), "empty": _rounded(empty), "parts": parts}

    def halvable(self) -> list[Share]:
        """Return the parts to halve next, those of the largest shares first."""
        left = MAX_HALVINGS + 1 - len(self.shares)
        parts = sorted((share for share in self.shares if share.part.halves()), key=lambda share: -abs(share.share))
        return parts[: min(HALVINGS_PER_ROUND, left)]

    def halve(self, parent: Share, without_first: float, without_second: float) -> None:
        """Divide the share of a part among its halves, by the log-odds without either half."""
        first = ((self.output - without_first) + (without_second - parent.without)) / 2
        second = ((self.output - without_second) + (without_first - parent.without)) / 2
        # Inside of a larger part, the part itself was given more or less than it changes while all else is present.
        rest, size = parent.share - first - second, abs(first) + abs(second)
        first += rest * (abs(first) / size if size else 0.5)
        halves = parent.part.halves()
        assert halves is not None
        self.shares.remove(parent)
        self.shares.append(Share(halves[0], first, without_first))
        self.shares.append(Share(halves[1], parent.share - first, without_second))


def explain(
    inputs: Sequence[Any],
    scores: Scores,
    modality: Modality,
    predicted: Sequence[int],
    truth: Sequence[int] | None = None,
) -> list[str]:
    """Explain the predictions of rows, in the order of `inputs`.

    Args:
        inputs: (rows,) texts or encoded pictures.
        scores: the model.
        predicted: (rows,) indices of the labels that it predicts.
        truth: (rows,) indices of the true labels; None: explain the probability of the predicted labels.

    Returns:
        (rows,) JSON: `output` for the input, `empty` for an empty one, and `parts`, a list in reading order of `words`
        or `box` (left, top, right, bottom; from 0 to 1) with their `share`. output = empty + the sum of all shares.
    """
    wanted = [_Contrast(label, None if truth is None else truth[row]) for row, label in enumerate(predicted)]
    size = ROWS_AT_A_TIME[modality]
    return [
        json.dumps(explanation.content(), ensure_ascii=False)
        for start in range(0, len(inputs), size)
        for explanation in _explain(inputs[start : start + size], wanted[start : start + size], scores, modality)
    ]


class _Contrast(NamedTuple):
    """The predicted label against the true one, or against all others."""

    predicted: int
    truth: int | None

    def log_odds(self, S: np.ndarray) -> np.ndarray:
        """Return the log-odds of the predicted label for every row of the scores `S`, (rows, labels)."""
        if self.truth is not None:
            against = S[:, self.truth]
        else:
            against = scipy.special.logsumexp(np.delete(S, self.predicted, axis=1), axis=1)
        odds: np.ndarray = S[:, self.predicted] - against
        return odds


def _explain(
    contents: Sequence[Any], wanted: Sequence[_Contrast], scores: Scores, modality: Modality
) -> list[Explanation]:
    """Explain a few rows together, which fills the model's batches."""

    def log_odds(altered: Sequence[Sequence[Any]]) -> list[list[float]]:
        """Compute the log-odds of the altered inputs of every row."""
        S = scores([content for row in altered for content in row])
        ends = np.cumsum([len(row) for row in altered])[:-1]
        return [contrast.log_odds(part).tolist() for contrast, part in zip(wanted, np.split(S, ends), strict=True)]

    inputs = [Text(content) if modality == "text" else Picture(content) for content in contents]
    empty_inputs = [row.without(row.whole) for row in inputs]
    explanations = [
        Explanation(row, output, empty, [Share(row.whole, output - empty, empty)])
        for row, (output, empty) in zip(inputs, log_odds(list(zip(contents, empty_inputs, strict=True))), strict=True)
    ]
    while any(chosen := [explanation.halvable() for explanation in explanations]):
        altered = [
            [explanation.input.without(half) for share in parts for half in share.part.halves() or ()]
            for explanation, parts in zip(explanations, chosen, strict=True)
        ]
        for explanation, parts, values in zip(explanations, chosen, log_odds(altered), strict=True):
            for share, pair in zip(parts, zip(values[::2], values[1::2], strict=True), strict=True):
                explanation.halve(share, *pair)
    return explanations


def _rounded(value: float) -> float:
    """Round to significant digits: where the empty input is already certain of the label, all shares are tiny."""
    return float(f"{value:.{DIGITS}g}")
