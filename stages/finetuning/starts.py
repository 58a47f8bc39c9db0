"""The classifier layer that training starts from: that of the head."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.common.params import BudgetParams, TrainHeadParams
from stages.heads import linear_layer, model_card
from stages.heads.model_card import ModelCard
from stages.tables import features


class Start(NamedTuple):
    """A head to start from: its model.json, and the weight and bias of its layer, (columns, dim) and (columns,)."""

    card: ModelCard
    layer: tuple[np.ndarray, np.ndarray]


def from_head(
    head_folder: Path, card: ModelCard, features_folder: Path, budget: BudgetParams, splits: Sequence[str] = ("train",)
) -> Start:
    """Return the head and its layer; where it is not linear, or of other rows, another one, fitted on these splits.

    Args:
        card: model.json of the head.
    """
    layer = linear_layer.read(head_folder)
    if layer and model_card.saw_validation(card) == ("validation" in splits):
        return Start(card, layer)
    from stages.heads import training  # not at the top: scikit-learn takes a second to import

    rows = features.joined({split: features.read(features_folder, split, budget) for split in splits})
    task, settings = card.as_task(), TrainHeadParams(threshold=card.threshold)
    head, _ = training.fit_targets(rows.X, task.targets(rows.labels), task, settings, rows.groups)
    fitted = head.task
    known = replace(fitted, labels=card.labels) if fitted.has_classes else fitted
    return Start(card.with_task(known), training.layer(head, card.labels))
