"""Presets of the section `finetune`: named sets of values for the settings that params.yaml leaves empty."""

from typing import Any, Literal

Preset = Literal["none", "few_labels", "many_labels", "auto"]

# `auto` has no values: finetune tries the other presets and takes one of them.
VALUES: dict[str, dict[str, Any]] = {
    "none": {},
    "few_labels": {
        "method": "full",
        "contrastive": "auto",
        "label_names": True,
        "token_dropout": "auto",
        "epochs": 6,
        "learning_rate": "auto",
        "layer_decay": "auto",
        "label_smoothing": 0.1,
        "min_steps": 48,
    },
    "many_labels": {"method": "full"},
    "auto": {},
}
SETTINGS = frozenset(name for values in VALUES.values() for name in values)


def fill_in(section: object) -> object:
    """Replace the empty settings of a section `finetune` by the values of its preset; those of others are left out.

    Values that are set stay. A section or preset that is wrong comes back as it is, to be refused by its type.
    """
    if not isinstance(section, dict):
        return section
    preset = section.get("preset", "none")
    values = VALUES.get(preset, {}) if isinstance(preset, str) else {}
    return values | {name: value for name, value in section.items() if value is not None or name not in SETTINGS}
