"""The numbers that stand for the value `auto` of settings: they follow the rows."""

from typing import Any

from stages.common.params import FinetuneParams, Modality

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
