"""The settings that follow the rows: numbers in place of `auto`, and none that mean nothing for such rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy

from stages.common.errors import HeadstartError, one_line
from stages.common.params import FinetuneParams, Modality
from stages.heads.model_card import FILE, ModelCard
from stages.tasks.single import Single

FEW_CLASSES = 20
TOKEN_DROPOUT = 0.2  # of more classes
LEARNING_RATES: dict[Modality, float] = {"text": 2e-4, "image": 5e-5}
LAYER_DECAY = 0.7
WEAK_HEAD, STRONG_HEAD = 0.3, 0.7  # explain less, or as much


def resolved(
    settings: FinetuneParams, *, classes: int, modality: Modality, explained: float | None = None
) -> FinetuneParams:
    """Return the settings with numbers in place of `auto`; numbers that are set stay.

    Few classes may differ in one word of a text, such as a question word, and a text without it teaches a wrong label.
    Many classes are told apart by several words, and there dropping tokens regularises. Networks for images are deeper
    than those for texts, and with the learning rate of texts they lose more than few labels teach them.

    Where a head on frozen features predicts little, the lower blocks of a text encoder must change too; elsewhere they
    should not. Where it predicts much, the contrastive loss pulls apart what lies well, but many classes need it all
    the same.

    Args:
        explained: by the head, see `explained`; None if that is not known.
    """
    is_weak = modality == "text" and explained is not None and explained < WEAK_HEAD
    is_strong = classes <= FEW_CLASSES and explained is not None and explained >= STRONG_HEAD
    values: dict[str, Any] = {}
    if settings.token_dropout == "auto":
        values["token_dropout"] = TOKEN_DROPOUT if classes > FEW_CLASSES else 0.0
    if settings.learning_rate == "auto":
        values["learning_rate"] = LEARNING_RATES[modality]
    if settings.layer_decay == "auto":
        values["layer_decay"] = 1.0 if is_weak else LAYER_DECAY
    if settings.contrastive == "auto":
        values["contrastive"] = 0.0 if is_strong else 1.0
    return settings.model_copy(update=values)


def recipe(settings: FinetuneParams, card: ModelCard) -> FinetuneParams:
    """Return the settings for the rows of a head: those that are `applicable`, `resolved`.

    Raises:
        HeadstartError: the head's model.json is damaged.
    """
    known = None
    if card.chosen.get("log_losses") and isinstance(card.as_task(), Single):
        try:
            known = explained(card.chosen, [*card.training["per_class"].values()])
        except (AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError) as error:
            raise HeadstartError(
                f"{FILE} of the head does not hold its cross-validation ({one_line(error)}); run `dvc repro train_head`"
            ) from None
    return resolved(applicable(settings, card), classes=len(card.labels), modality=card.modality, explained=known)


def explained(chosen: Mapping[str, Any], counts: Sequence[int]) -> float:
    """Compute McFadden's pseudo R² of a head: how far its log loss is below that of predicting the classes' shares.

    1 is a perfect prediction, and 0 one that is no better than the shares (McFadden 1974, Conditional Logit Analysis of
    Qualitative Choice Behavior).

    Args:
        chosen: the cross-validation of a head of one label per row, with the keys of `choosing.Chosen`.
        counts: (classes,) training rows of every class.
    """
    log_loss = chosen["log_losses"][[*chosen["candidates"]].index(chosen["value"])]
    return float(1 - log_loss / scipy.special.entr(np.array(counts) / sum(counts)).sum())


def applicable(settings: FinetuneParams, card: ModelCard) -> FinetuneParams:
    """Return the settings without those that mean nothing for the rows of a head.

    Labels have names that texts can be learned from, and only of labels are there some alike, which the contrastive
    loss draws together, others that smoothing spreads to, and rare ones.
    """
    values: dict[str, Any] = {}
    if card.modality != "text":
        values = {"label_names": False}
    if not card.as_task().has_classes:
        values = {"label_names": False, "contrastive": 0.0, "label_smoothing": 0.0, "class_weight": None}
    return settings.model_copy(update=values)
