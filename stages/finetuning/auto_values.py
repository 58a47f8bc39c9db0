"""The settings that follow the rows: numbers in place of `auto`, and none that mean nothing for such rows."""

from typing import Any

from stages.common.params import FinetuneParams, Modality
from stages.heads.model_card import ModelCard

FEW_CLASSES = 20  # up to so many, no tokens are dropped
TOKEN_DROPOUT = 0.2
LEARNING_RATES: dict[Modality, float] = {"text": 2e-4, "image": 5e-5}


def resolved(settings: FinetuneParams, *, classes: int, modality: Modality) -> FinetuneParams:
    """Return the settings with numbers in place of `auto`; numbers that are set stay.

    Few classes may differ in one word of a text, such as a question word, and a text without it teaches a wrong label.
    Many classes are told apart by several words, and there dropping tokens regularises. Networks for images are deeper
    than those for texts, and with the learning rate of texts they lose more than few labels teach them.
    """
    values: dict[str, Any] = {}
    if settings.token_dropout == "auto":
        values["token_dropout"] = TOKEN_DROPOUT if classes > FEW_CLASSES else 0.0
    if settings.learning_rate == "auto":
        values["learning_rate"] = LEARNING_RATES[modality]
    return settings.model_copy(update=values)


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
