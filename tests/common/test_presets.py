"""Presets: named values for the settings of `finetune` that are left empty."""

import re

import pytest
import yaml

from stages.common import params, presets
from stages.common.params import FinetuneParams
from tests.projects import ROOT

TEXT = (ROOT / "params.yaml").read_text("utf-8")
SHIPPED = yaml.safe_load(TEXT)["finetune"]
# A file of before there were presets, with every value set.
EXPLICIT = {name: value for name, value in SHIPPED.items() if name not in ("preset", "budget_minutes")} | {
    "method": "none",
    "contrastive": 0.0,
    "label_names": False,
    "token_dropout": 0.0,
    "epochs": 8,
    "min_steps": 0,
    "learning_rate": 1e-4,
    "layer_decay": 1.0,
    "label_smoothing": 0.0,
}
FEW_LABELS = {
    "method": "full",
    "contrastive": "auto",
    "label_names": True,
    "token_dropout": "auto",
    "label_smoothing": 0.1,
    "layer_decay": "auto",
    "learning_rate": "auto",
    "epochs": 6,
    "min_steps": 48,
}


def recipe(**changes: object) -> dict[str, object]:
    return FinetuneParams.model_validate(SHIPPED | changes).recipe()


def test_the_shipped_settings_are_those_of_before_presets() -> None:
    assert recipe() == EXPLICIT == FinetuneParams().recipe()
    assert recipe(method="full") == EXPLICIT | {"method": "full"}


@pytest.mark.parametrize(
    ("preset", "values"), [("none", {}), ("many_labels", {"method": "full"}), ("few_labels", FEW_LABELS)]
)
def test_a_preset_is_one_word_for_its_values(preset: str, values: dict[str, object]) -> None:
    assert recipe(preset=preset) == recipe(**values) == EXPLICIT | values


@pytest.mark.parametrize("preset", ["none", "many_labels", "few_labels"])
def test_a_preset_changes_nothing_where_values_are_set(preset: str) -> None:
    assert FinetuneParams.model_validate(EXPLICIT | {"preset": preset}).recipe() == EXPLICIT
    zeros = {"contrastive": 0, "label_names": False, "method": "lora", "learning_rate": "1e-3"}
    assert recipe(preset=preset, **zeros).items() >= (zeros | {"learning_rate": 1e-3}).items()


def test_settings_that_a_preset_does_not_have_may_not_be_empty_because_of_it() -> None:
    with pytest.raises(params.HeadstartError, match=r"finetune\.batch_size is empty"):
        params.validate(params.Params, yaml.safe_load(TEXT) | {"finetune": {"batch_size": None}}, file="params.yaml")


@pytest.mark.parametrize("wrong", ["some", 1, -0.1, True, [0.1]])
def test_other_shares_of_dropped_tokens_are_refused(wrong: object) -> None:
    raw = yaml.safe_load(TEXT) | {"finetune": {"token_dropout": wrong}}
    with pytest.raises(
        params.HeadstartError, match=r"finetune\.token_dropout.* must be auto or a number from 0 to below 1"
    ):
        params.validate(params.Params, raw, file="params.yaml")


@pytest.mark.parametrize("wrong", ["some", 0, -1e-4, 0.2, True, [1e-4], float("nan")])
def test_other_learning_rates_of_the_backbone_are_refused(wrong: object) -> None:
    raw = yaml.safe_load(TEXT) | {"finetune": {"learning_rate": wrong}}
    with pytest.raises(
        params.HeadstartError, match=r"finetune\.learning_rate.* must be auto or a number above 0, at most 0\.1"
    ):
        params.validate(params.Params, raw, file="params.yaml")


@pytest.mark.parametrize("wrong", ["few", None, ["few_labels"], {"a": 1}, 3])
def test_other_presets_are_refused_with_the_allowed_ones(wrong: object) -> None:
    raw = yaml.safe_load(TEXT) | {"finetune": {"preset": wrong}}
    with pytest.raises(params.HeadstartError, match=r"finetune\.preset is .*'few_labels', 'many_labels'") as error:
        params.validate(params.Params, raw, file="params.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(presets.SETTINGS - {"method"}))
def test_params_yaml_names_the_values_of_presets(name: str) -> None:
    assert SHIPPED[name] is None
    comment = re.search(rf"^  {name}:.*\n(?: +#.*\n)*", TEXT.partition("\nfinetune:")[2], re.MULTILINE)
    values = (yaml.safe_load(part) for part in re.findall(r"null: (.*), with few_labels (\S+)", comment[0])[0])
    assert tuple(values) == (EXPLICIT[name], FEW_LABELS[name])
