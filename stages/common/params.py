"""params.yaml: one frozen, typed section per stage, and the only reader of the file.

The whole file is checked before any stage works. Unknown keys, wrong types and impossible values are refused in one
sentence: the file, the key, the value, what is allowed and the closest known key.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from stages.common import backbone_shorthand, presets, yaml_text
from stages.common.errors import HeadstartError
from stages.common.gate_params import GateParams
from stages.common.predict_params import PredictParams
from stages.common.prepare_params import PrepareParams
from stages.common.presets import Preset
from stages.common.section import Section, validate
from stages.common.setting_types import (
    Count,
    DecayOrAuto,
    Fraction,
    Length,
    Name,
    Number,
    Positive,
    Rate,
    RateOrAuto,
    RowLimit,
    Share,
    Threshold,
    WeightOrAuto,
    as_tuple,
)

Modality = Literal["text", "image"]
Combine = Literal["join", "pair"]


class BackboneParams(Section):
    """The pretrained model."""

    family: Literal["transformers", "torchvision", "timm", "tfidf", "pixels"]
    name: Name
    revision: Name | None = None
    weights: Name = "pretrained"


_SEVERAL = TypeAdapter(tuple[Annotated[BackboneParams, BeforeValidator(backbone_shorthand.expanded)], ...])


def _backbones(value: object) -> object:
    """Check a backbone or a list here, and not in a union of types, whose errors would not name the wrong key."""
    value = backbone_shorthand.entry(value) if isinstance(value, str | dict) else value
    if isinstance(value, list | tuple):
        return backbone_shorthand.checked(_SEVERAL.validate_python(value))
    return BackboneParams.model_validate(value)


# One backbone, or several whose vectors are joined.
Backbones = Annotated[BackboneParams | tuple[BackboneParams, ...], BeforeValidator(_backbones)]


class ExtractParams(Section):
    """How an input becomes one vector."""

    pooling: Literal["auto", "mean", "cls", "max"] = "auto"
    max_length: Length = "auto"
    long: Literal["cut", "chunks"] = "cut"
    combine: Combine = "join"
    prompt: str | None = None
    image_size: Annotated[int, Field(ge=8)] | None = None
    normalize: Literal["auto", True, False] = "auto"
    dtype: Literal["float16", "float32"] = "float16"

    @property
    def is_normalized(self) -> bool:
        """Whether vectors get length 1 where no model declares anything."""
        return self.normalize is not False

    @model_validator(mode="after")
    def _can_read_pairs(self) -> Self:
        if self.combine == "pair" and self.long == "chunks":
            raise ValueError(
                "combine is pair and long is chunks, but the two texts of a pair cannot be read in windows; set one of"
                " them to its default"
            )
        return self


class ExtractSection(ExtractParams):
    """The whole section: also which rows get vectors. That decides no vector, and is not kept with vectors."""

    unlabelled: RowLimit = True


class BudgetParams(Section):
    """Which training rows may be used, by the head and by fine-tuning alike."""

    per_class: Count | None = None
    seed: int = 0


class TrainHeadParams(Section):
    """The scikit-learn classifier on frozen features."""

    kind: Literal["logistic", "linear_svm", "ridge", "knn", "mlp"] = "logistic"
    threshold: Threshold = "auto"
    final: Literal["train", "all"] = "train"
    C: Annotated[tuple[Positive, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (0.1, 1, 10, 100)
    neighbors: Annotated[tuple[Count, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (1, 5, 10, 20)
    folds: Annotated[int, Field(ge=2)] = 5
    class_weight: Literal["balanced"] | None = None
    unlabelled: Literal["propagate"] | None = None

    @model_validator(mode="after")
    def _can_weigh(self) -> Self:
        for name in ("class_weight", "unlabelled"):
            if (value := getattr(self, name)) and self.kind in ("knn", "mlp"):
                raise ValueError(f"{name} is {value}, which {self.kind} cannot do; use logistic, linear_svm or ridge")
        return self


class FinetuneParams(Section):
    """How the pretrained weights are trained further. Settings that are null get the values of the preset."""

    preset: Preset = "none"
    budget_minutes: Positive = 30
    method: Literal["none", "full", "last_block", "lora"] = "none"
    contrastive: WeightOrAuto = 0.0
    contrastive_temperature: Positive = 0.1
    label_names: bool = False
    token_dropout: Share = 0.0
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 8
    patience: Count | None = None
    batch_size: Count = 32
    min_steps: Annotated[int, Field(ge=0, le=10_000)] = 0
    learning_rate: RateOrAuto = 1e-4
    head_learning_rate: Rate = 1e-3
    layer_decay: DecayOrAuto = 1.0
    weight_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.01
    warmup: Fraction = 0.1
    max_grad_norm: Positive = 1.0
    label_smoothing: Fraction = 0.0
    class_weight: Literal["balanced"] | None = None
    unlabelled: Literal["pseudo"] | None = None
    lora_rank: Count = 16
    lora_alpha: Count = 32
    lora_dropout: Fraction = 0.0
    random_resized_crop: bool = True
    horizontal_flip: bool = True
    batch_norm: Literal["auto", "frozen", "train"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, section: object) -> object:
        return presets.fill_in(section)

    @property
    def is_open(self) -> bool:
        """Whether finetune chooses a preset: with auto, unless the method is set to none."""
        return self.preset == "auto" and not (self.method == "none" and "method" in self.model_fields_set)

    def recipe(self) -> dict[str, Any]:
        """Return the values that training follows, wherever they come from."""
        return self.model_dump(exclude={"preset", "budget_minutes"})

    def with_preset(self, preset: Preset) -> Self:
        """Return these settings, of the preset auto, with the values of another; those that are set stay."""
        return self.model_validate(self.model_dump(include=self.model_fields_set) | {"preset": preset})


class EvaluateParams(Section):
    """How certain the metrics are, and what they are compared with."""

    cross_validation: Annotated[int, Field(ge=2)] = 5
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    learning_curve: Annotated[tuple[Count, ...], BeforeValidator(as_tuple)] = (2, 5, 10, 20, 50)
    repeats: Count = 5
    near_duplicates: Annotated[Number, Field(gt=0, le=1)] = 0.98
    explain: Annotated[int, Field(ge=0)] = 25
    seed: int = 0


class CompareParams(Section):
    """Which backbones `compare_backbones` compares; those for inputs of the other kind are passed over."""

    backbones: Annotated[
        tuple[Annotated[Backbones, BeforeValidator(backbone_shorthand.entry)], ...],
        BeforeValidator(backbone_shorthand.listed_ones),
        Field(min_length=1),
    ] = (
        BackboneParams(
            family="transformers",
            name="sentence-transformers/all-MiniLM-L6-v2",
            revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        ),
        BackboneParams(family="tfidf", name="word"),
        BackboneParams(family="tfidf", name="char_wb"),
        BackboneParams(family="timm", name="tf_efficientnet_lite0.pypi"),
        BackboneParams(family="pixels", name="rgb"),
    )


class RuntimeParams(Section):
    """How to compute, not what: no stage depends on it."""

    engine: Literal["local", "ray"] = "local"
    ray_address: Name | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    row_cache: bool = True
    row_cache_gb: Positive = 20
    rows_per_pass: Count | None = None
    gradient_checkpointing: bool = False
    checkpoint_steps: Count | None = 200


class Params(Section):
    """The whole of params.yaml."""

    prepare: PrepareParams
    backbone: Backbones
    extract: ExtractSection = ExtractSection()
    budget: BudgetParams = BudgetParams()
    train_head: TrainHeadParams = TrainHeadParams()
    finetune: FinetuneParams = FinetuneParams()
    evaluate: EvaluateParams = EvaluateParams()
    predict: PredictParams = PredictParams()
    gate: GateParams = GateParams()
    compare: CompareParams = CompareParams()
    runtime: RuntimeParams = RuntimeParams()

    @property
    def learn_from_unlabelled(self) -> bool:
        """Whether training is to see rows without a label."""
        return self.train_head.unlabelled is not None or self.finetune.unlabelled is not None

    @model_validator(mode="after")
    def _has_columns_for_pairs(self) -> Self:
        columns = 1 if isinstance(self.prepare.input, str) else len(self.prepare.input)
        if self.extract.combine == "pair" and columns != 2:
            raise ValueError(
                f"extract.combine is pair, which needs two columns of texts, but prepare.input names {columns}; name"
                " two, or set combine to join"
            )
        return self


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        HeadstartError: the file is missing, is not YAML, or holds a key or value that is not allowed.
    """
    try:
        raw = yaml_text.read(path)
    except FileNotFoundError:
        raise HeadstartError(
            f"{path} does not exist; run from the project's root, or name the file with --params"
        ) from None
    return validate(Params, raw, file=str(path))
