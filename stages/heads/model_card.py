"""Read and write model.json: all that `predict` and `evaluate` need to know about a model, without params.yaml."""

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from stages import tasks
from stages.common import json_file
from stages.common.backbone_shorthand import titled
from stages.common.errors import HeadstartError, damaged
from stages.common.params import BackboneParams, Backbones, ExtractParams, Modality
from stages.common.section import Section, validate
from stages.common.setting_types import ColumnNames
from stages.tables.features import Metadata
from stages.tables.label_info import LabelInfo
from stages.tasks.multilabel import Multilabel
from stages.tasks.regression import Regression

FILE = "model.json"
SPLITS = "splits"  # key of `training`: of the rows that a head was fitted on, unless these are the training rows alone


class Decisions(Section):
    """How scores of several labels become labels; all are (labels,), in the order of the model's labels."""

    model_config = ConfigDict(strict=False)

    temperatures: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]  # divide the scores
    validation_temperatures: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]  # the factors in them
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...]  # probabilities from which a label is given
    exclusive: tuple[tuple[str, ...], ...] = ()  # sets of labels of which the likeliest is given, without thresholds


class Numbers(Section):
    """How scores become numbers: score · scale + mean."""

    model_config = ConfigDict(strict=False)

    mean: Annotated[float, Field(allow_inf_nan=False)]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelCard(LabelInfo):
    """A trained head or a fine-tuned model. `labels` are in the order of its scores; numbers have none."""

    # JSON has no tuples: lists are accepted for them. Unknown keys are still refused.
    model_config = ConfigDict(strict=False)

    method: Literal["head", "full", "last_block", "lora"]
    labels: tuple[str, ...]
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
    decisions: Decisions | None = None  # of several labels, in place of the temperatures above, which are 1
    numbers: Numbers | None = None  # of numbers

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if (self.task == "regression") != (self.numbers is not None):
            raise ValueError("numbers are there for the task regression, and for no other")
        if (self.task == "regression") == bool(self.labels):
            raise ValueError("labels are there for every task but regression")
        return self

    @model_validator(mode="after")
    def _decides_every_label(self) -> "ModelCard":
        if self.decisions is None:
            return self
        named = [label for labels in self.decisions.exclusive for label in labels]
        if len(set(named)) < len(named) or not {*named} <= {*self.labels}:
            raise ValueError("decisions.exclusive must name labels of the model, each once")
        counts = {len(self.decisions.temperatures), len(self.decisions.thresholds)}
        if counts | {len(self.decisions.validation_temperatures)} != {len(self.labels)}:
            raise ValueError("decisions must hold one number for every label")
        return self

    def as_task(self) -> tasks.Task:
        """Return what its scores mean."""
        return tasks.load(
            self.task,
            self.labels,
            thresholds=self.decisions.thresholds if self.decisions else None,
            exclusive=self.decisions.exclusive if self.decisions else (),
            numbers=(self.numbers.mean, self.numbers.scale) if self.numbers else None,
        )

    def with_task(self, task: tasks.Task, temperatures: np.ndarray | None = None) -> "ModelCard":
        """Return the model.json of a model whose scores mean this task.

        Args:
            temperatures: by which they are divided, as of `Task.calibration`; None: by none.
        """
        if isinstance(task, Regression):
            return self.model_copy(update={"numbers": Numbers(mean=task.mean, scale=task.scale)})
        if not isinstance(task, Multilabel):
            factor = 1.0 if temperatures is None else float(temperatures)
            return self.model_copy(
                update={"labels": task.labels, "temperature": factor, "validation_temperature": factor}
            )
        factors = tuple((np.ones(len(task.labels)) if temperatures is None else temperatures).tolist())
        decisions = Decisions(
            temperatures=factors,
            validation_temperatures=factors,
            thresholds=task.thresholds,
            exclusive=task.exclusive,
        )
        return self.model_copy(update={"labels": task.labels, "decisions": decisions})

    @property
    def threshold(self) -> float | Literal["auto"]:
        """Return `train_head.threshold` of a head."""
        threshold: float | Literal["auto"] = self.chosen.get("threshold", "auto")
        return threshold

    def validation_temperatures(self) -> np.ndarray:
        """Return the factors that were fitted on the validation rows: one, or one of every label."""
        return np.array(self.decisions.validation_temperatures if self.decisions else self.validation_temperature)

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
    content = {"method": "none", **({"auto": auto} if auto else {})} if model is None else _content(model)
    json_file.write(folder / FILE, content)


def _content(model: ModelCard) -> dict[str, Any]:
    content = model.model_dump()
    return {name: value for name, value in content.items() if value is not None or name not in ("decisions", "numbers")}


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


def check_features(card: ModelCard, table: Metadata, *, head_folder: Path, features_folder: Path) -> None:
    """Raise a HeadstartError unless a head was trained on features of this backbone, for this task."""
    if card.fingerprint != table.fingerprint:
        raise HeadstartError(
            f"{head_folder} was trained on features of another backbone than {features_folder} holds;"
            f" run `dvc repro train_head`"
        )
    if card.task != table.task:
        raise HeadstartError(
            f"{head_folder} was trained for prepare.task {card.task}, but {features_folder} is of {table.task};"
            " run `dvc repro train_head`"
        )


def versions(*packages: str) -> dict[str, str]:
    """Look up the versions of Python and of `packages`, without importing these."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
