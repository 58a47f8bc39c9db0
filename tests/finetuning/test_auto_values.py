"""Settings with the value `auto`: the numbers that they get."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from stages.common.errors import HeadstartError
from stages.common.params import FinetuneParams, Modality
from stages.finetuning.auto_values import explained, recipe, resolved
from tests.finetuning.recipes import card, fresh, settings, train


def test_few_classes_keep_all_tokens_and_many_drop_a_fifth() -> None:
    few = settings(token_dropout="auto")
    shares = [resolved(few, classes=count, modality="text").token_dropout for count in (2, 20, 21, 77)]
    assert shares == [0.0, 0.0, 0.2, 0.2]


def test_images_learn_more_slowly_than_texts() -> None:
    few = settings(learning_rate="auto")
    modalities: tuple[Modality, ...] = ("text", "image")
    assert [resolved(few, classes=2, modality=name).learning_rate for name in modalities] == [2e-4, 5e-5]


@pytest.mark.parametrize(
    ("share", "modality", "decay"),
    [(-0.1, "text", 1.0), (0.29, "text", 1.0), (0.31, "text", 0.7), (None, "text", 0.7), (0.0, "image", 0.7)],
)
def test_lower_blocks_of_texts_learn_as_fast_where_the_head_predicts_little(
    share: float | None, modality: Modality, decay: float
) -> None:
    chosen = resolved(settings(layer_decay="auto"), classes=2, modality=modality, explained=share)
    assert chosen.layer_decay == decay


@pytest.mark.parametrize(
    ("share", "classes", "weight"), [(0.69, 2, 1), (0.71, 2, 0), (0.71, 20, 0), (0.71, 21, 1), (None, 2, 1)]
)
def test_the_contrastive_loss_is_for_many_classes_and_for_those_that_the_head_does_not_predict_well(
    share: float | None, classes: int, weight: float
) -> None:
    modalities: tuple[Modality, ...] = ("text", "image")
    for modality in modalities:
        chosen = resolved(settings(contrastive="auto"), classes=classes, modality=modality, explained=share)
        assert chosen.contrastive == weight


def test_values_that_are_set_stay() -> None:
    chosen = settings(token_dropout=0.1, learning_rate=3e-4, layer_decay=0.9, contrastive=0.5)
    assert resolved(chosen, classes=6, modality="image", explained=0.0) == chosen
    assert resolved(FinetuneParams(), classes=77, modality="text", explained=0.0) == FinetuneParams()


def test_what_a_head_explains_is_what_log_loss_is_below_that_of_the_shares() -> None:
    truth, P = np.array([0, 0, 0, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    shares = np.tile([0.75, 0.25], (4, 1))
    loss, chance = log_loss(truth, P), log_loss(truth, shares)
    assert explained(cross_validation(9.0, loss), [3, 1]) == pytest.approx(1 - loss / chance)
    assert explained(cross_validation(9.0, chance), [3, 1]) == pytest.approx(0)


@pytest.mark.parametrize(
    ("losses", "changes", "decay", "contrastive"),
    [
        ((0.2, 0.65), {}, 1.0, 1.0),  # that of the C that was chosen
        ((0.65, 0.2), {}, 0.7, 0.0),
        ((), {}, 0.7, 1.0),  # one C, which needs no cross-validation
        ((0.2, 0.65), {"task": "multilabel"}, 0.7, 1.0),  # of several labels, log loss means something else
        ((0.2, 0.65), {"modality": "image"}, 0.7, 1.0),
    ],
)
def test_the_head_tells_how_much_it_explains(
    losses: tuple[float, ...], changes: dict[str, Any], decay: float, contrastive: float
) -> None:
    counts = {"rows": 20, "per_class": {"bad": 10, "good": 10}}
    head = card(chosen=cross_validation(*losses), training=counts, **changes)
    few = recipe(FinetuneParams(preset="few_labels"), head)
    is_text = head.modality == "text"
    assert (few.layer_decay, few.contrastive, few.token_dropout) == (decay, contrastive, 0)
    assert (few.learning_rate, few.label_names) == ((2e-4, True) if is_text else (5e-5, False))


@pytest.mark.parametrize("wrong", [{"value": 3.0}, {"candidates": None}, {"log_losses": [0.5]}, {"log_losses": "none"}])
def test_a_damaged_cross_validation_is_refused(wrong: dict[str, Any]) -> None:
    head = card(chosen=cross_validation(0.2, 0.65) | wrong, training={"per_class": {"bad": 10, "good": 10}})
    with pytest.raises(HeadstartError, match="run `dvc repro train_head`"):
        recipe(FinetuneParams(), head)
    with pytest.raises(HeadstartError, match="does not hold its cross-validation"):
        recipe(FinetuneParams(), card(chosen=cross_validation(0.2, 0.65)))


def test_training_with_the_preset_of_few_labels_drops_no_tokens_of_two_classes(tiny_encoder: Path) -> None:
    runs = [
        train(fresh("text", tiny_encoder, chosen), "text", chosen, validated=False).history
        for chosen in (recipe(settings(token_dropout=value), card()) for value in ("auto", 0.0, 0.2))
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("modality", "rate"), [("text", 2e-4), ("image", 5e-5)])
def test_training_takes_the_learning_rate_of_the_inputs(tiny_encoder: Path, modality: Modality, rate: float) -> None:
    head = card(modality=modality)
    runs = [
        train(fresh(modality, tiny_encoder, chosen), modality, chosen, validated=False).history
        for chosen in (recipe(settings(learning_rate=value, epochs=1), head) for value in ("auto", rate))
    ]
    assert runs[0] == runs[1]


def cross_validation(*losses: float) -> dict[str, Any]:
    """What model.json says of one that chose the second of two candidates."""
    return {"kind": "logistic", "value": 10.0, "candidates": [1.0, 10.0], "log_losses": list(losses)}
