"""Read and write model.json: all that `predict` and `evaluate` need to know about a model, without params.yaml."""

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from stages.common import json_file
from stages.common.backbone_shorthand import titled
from stages.common.errors import HeadstartError, damaged
from stages.common.params import BackboneParams, Backbones, ExtractParams, Modality
from stages.common.section import Section, validate
from stages.common.setting_types import ColumnNames

FILE = "model.json"
SPLITS = "splits"  # key of `training`: of the rows that a head was fitted on, unless these are the training rows alone


class ModelCard(Section):
    """A trained head or a fine-tuned model. `labels` are in the order of its scores."""

    # JSON has no tuples: lists are accepted for them. Unknown keys are still refused.
    model_config = ConfigDict(strict=False)

    method: Literal["head", "full", "last_block", "lora"]
    labels: tuple[str, ...] = Field(min_length=1)
    input: ColumnNames
    modality: Modality
    encoding: str = "utf-8"  # of the raw text files that it was trained on, and so of new ones that are not UTF-8
    sheet: str | None = None  # of the spreadsheet, likewise
    max_side: int | None
    max_pixels: int | None = None
    backbone: Backbones
    extract: ExtractParams
    fingerprint: str
    temperature: float = Field(gt=0, allow_inf_nan=False)  # divides the scores before softmax
    # The factor in it that was fitted on the validation rows; 1 where there are too few.
    validation_temperature: float = Field(gt=0, allow_inf_nan=False)
    chosen: dict[str, Any]
    training: dict[str, Any]
    versions: dict[str, str]

    def trained_backbone(self) -> BackboneParams:
        """Return the backbone that finetune trains or has trained.

        Raises:
            HeadstartError: there are several.
        """
        if isinstance(self.backbone, tuple):
            raise HeadstartError(
                f"{FILE} names several backbones, {titled(self.backbone)}, but only one can be trained; run `dvc repro`"
            )
        return self.backbone


def saw_validation(card: ModelCard) -> bool:
    """Tell whether a head was fitted on the validation rows too."""
    return "validation" in card.training.get(SPLITS, ())


def write(folder: Path, model: ModelCard | None, *, auto: Mapping[str, Any] | None = None) -> None:
    """Write model.json; None stands for no model, as `finetune.method` is none or `auto`, a record of why, chose so."""
    content = {"method": "none", **({"auto": auto} if auto else {})} if model is None else model.model_dump()
    json_file.write(folder / FILE, content)


def read(folder: Path) -> ModelCard | None:
    """Read model.json; None where its method is `none`.

    Raises:
        HeadstartError: the file is missing or damaged.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise HeadstartError(f"{path} does not exist; run `dvc repro`, or name a folder that holds a model") from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    if _is_none(content):
        return None
    return validate(ModelCard, content, file=str(path))


def read_trained(folder: Path) -> ModelCard:
    """Read the model.json of a head or a fine-tuned model.

    Raises:
        HeadstartError: the file is missing or damaged, or says that there is no model.
    """
    card = read(folder)
    if card is None:
        raise HeadstartError(f"{folder} holds no model, since finetune.method was none; use the head's folder")
    return card


def read_head(folder: Path) -> ModelCard:
    """Read the model.json of a head.

    Raises:
        HeadstartError: the file is missing or damaged, or describes no head.
    """
    card = read(folder)
    if card is None:
        raise HeadstartError(f"{folder / FILE} describes no head; run `dvc repro train_head`")
    return card


def is_card(path: Path, *methods: str) -> bool:
    """Tell whether a file is the model.json of a model that one of these methods made."""
    content = json_file.mapping(path)
    return content.get("method") in methods and (_is_none(content) or "fingerprint" in content)


def _is_none(content: object) -> bool:
    """Tell whether the content of a model.json says that there is no model."""
    return isinstance(content, dict) and content.get("method") == "none" and content.keys() <= {"method", "auto"}


def check_backbone(card: ModelCard, fingerprint: str) -> None:
    """Raise a HeadstartError unless the backbone on this machine is the one that the model was trained on."""
    if fingerprint != card.fingerprint:
        raise HeadstartError(
            f"the model was trained on another version of {titled(card.backbone)} than the one here; run `dvc repro`"
        )


def check_features(card: ModelCard, fingerprint: str, *, head_folder: Path, features_folder: Path) -> None:
    """Raise a HeadstartError unless a head was trained on features of the backbone with this fingerprint."""
    if card.fingerprint != fingerprint:
        raise HeadstartError(
            f"{head_folder} was trained on features of another backbone than {features_folder} holds;"
            f" run `dvc repro train_head`"
        )


def versions(*packages: str) -> dict[str, str]:
    """Look up the versions of Python and of `packages`, without importing these."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
