"""Rows of the prepared table to train and validate on."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.common.params import BudgetParams, Combine
from stages.heads.model_card import ModelCard
from stages.tables import prepared


class Rows(NamedTuple):
    """Rows of a split.

    Attributes:
        inputs: (rows,) texts, pairs of texts or encoded images.
        y: (rows,) label indices.
        groups: (rows,) names of groups; None where a row has none.
        digest: a hash of ids and labels.
    """

    inputs: list[Any]
    y: np.ndarray
    groups: list[str | None]
    digest: str

    @property
    def group_names(self) -> np.ndarray | None:
        """Return (rows,) names of groups, as `prepared.group_names` does."""
        return prepared.group_names([str(row) for row in range(len(self.y))], self.groups)


def read(prepared_folder: Path, split: str, card: ModelCard, budget: BudgetParams) -> Rows:
    """Read the rows of a split that the budget allows and whose labels the head `card` knows."""
    table = prepared.read(prepared_folder, split)
    mask, y = prepared.usable_rows(table["id"].to_pylist(), table["label"].to_pylist(), budget, card.labels)
    table = table.filter(mask)
    digest = hashlib.sha256("".join([*table["id"].to_pylist(), *map(str, y)]).encode()).hexdigest()
    inputs = prepared.inputs(table, card.modality, combine=card.extract.combine)
    return Rows(inputs, y, table["group"].to_pylist(), digest)


def with_label_names(
    inputs: list[Any], y: np.ndarray, labels: Sequence[str], *, combine: Combine
) -> tuple[list[Any], np.ndarray]:
    """Return texts and their label indices, and the name of each label as one more text of that label.

    Args:
        combine: `extract.combine`; with `pair` a name is the first text of a pair.
    """
    names = [re.sub(r"[_\W]+", " ", label).strip() or label for label in labels]
    texts = names if combine == "join" else [(name, "") for name in names]
    return inputs + texts, np.concatenate([y, np.arange(len(names))])
