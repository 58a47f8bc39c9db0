"""Settings with the value `auto`: the numbers that they get."""

from pathlib import Path

import pytest

from stages.common.params import FinetuneParams, Modality
from stages.finetuning.auto_values import resolved
from tests.finetuning.recipes import fresh, settings, train


def test_few_classes_keep_all_tokens_and_many_drop_a_fifth() -> None:
    few = settings(token_dropout="auto")
    shares = [resolved(few, classes=count, modality="text").token_dropout for count in (2, 20, 21, 77)]
    assert shares == [0.0, 0.0, 0.2, 0.2]


def test_images_learn_more_slowly_than_texts() -> None:
    few = settings(learning_rate="auto")
    modalities: tuple[Modality, ...] = ("text", "image")
    assert [resolved(few, classes=2, modality=name).learning_rate for name in modalities] == [2e-4, 5e-5]


def test_values_that_are_set_stay() -> None:
    chosen = settings(token_dropout=0.1, learning_rate=3e-4)
    assert resolved(chosen, classes=6, modality="image") == chosen
    assert resolved(FinetuneParams(), classes=77, modality="image") == FinetuneParams()


def test_training_with_the_preset_of_few_labels_drops_no_tokens_of_two_classes(tiny_encoder: Path) -> None:
    runs = [
        train(fresh("text", tiny_encoder, chosen), "text", chosen, validated=False).history
        for chosen in (settings(token_dropout=value) for value in ("auto", 0.0, 0.2))
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("modality", "rate"), [("text", 2e-4), ("image", 5e-5)])
def test_training_takes_the_learning_rate_of_the_inputs(tiny_encoder: Path, modality: Modality, rate: float) -> None:
    runs = [
        train(fresh(modality, tiny_encoder, chosen), modality, chosen, validated=False).history
        for chosen in (settings(learning_rate=value, epochs=1) for value in ("auto", rate))
    ]
    assert runs[0] == runs[1]
