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
        y: the targets of the head's task: (rows,) label indices or numbers, or (rows, labels) bool where a row can have
            several.
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
    task, table = card.as_task(), prepared.read(prepared_folder, split)
    ids, labels = table["id"].to_pylist(), table["label"].to_pylist()
    # The budget limits validation rows too: somebody with few labels has few for everything.
    table = table.filter(prepared.within_budget(ids, labels, budget, card.task) & task.knows(labels))
    y = task.targets(table["label"].to_pylist())
    digest = hashlib.sha256("".join([*table["id"].to_pylist(), *map(str, y.tolist())]).encode()).hexdigest()
    inputs = prepared.inputs(table, card.modality, combine=card.extract.combine)
    return Rows(inputs, y, table["group"].to_pylist(), digest)


def with_label_names(
    inputs: list[Any], y: np.ndarray, labels: Sequence[str], *, combine: Combine
) -> tuple[list[Any], np.ndarray]:
    """Return texts and their targets, and the name of each label as one more text, of that label alone.

    Args:
        y: targets of the head's task.
        combine: `extract.combine`; with `pair` a name is the first text of a pair.
    """
    names = [re.sub(r"[_\W]+", " ", label).strip() or label for label in labels]
    texts = names if combine == "join" else [(name, "") for name in names]
    alone = np.arange(len(names)) if y.ndim == 1 else np.eye(len(names), dtype=bool)
    return inputs + texts, np.concatenate([y, alone])
