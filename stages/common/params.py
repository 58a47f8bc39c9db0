"""params.yaml: one frozen, typed section per stage, and the only reader of the file.

Each section is checked whole before any stage works: unknown keys, wrong types and impossible values are refused
with the file, the key, the value, what is allowed and the nearest known key.
"""

import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stages.common.errors import HeadstartError, did_you_mean, listed, one_line


def _number(value: object) -> object:
    """PyYAML follows YAML 1.1 and reads `1e-3` as a string."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Rate = Annotated[Number, Field(gt=0, le=0.1)]  # a larger learning rate of AdamW destroys what it starts from
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Modality = Literal["text", "image"]
Model = TypeVar("Model", bound=BaseModel)
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 3, 100, 100
PLAIN = {  # what pydantic says, for people who do not know Python
    "Input should": "must",
    "Dictionary should": "must",
    "a valid dictionary or instance": "a mapping",
    "a valid dictionary": "a mapping",
}


class Section(BaseModel):
    """A part of params.yaml: unknown keys and lossy conversions are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class PrepareParams(Section):
    """Where the raw rows are, and how they are split."""

    data: Name
    input: Name
    label: Name
    modality: Literal["auto", "text", "image"] = "auto"
    split: Name | None = None
    group: Name | None = None
    slice: Name | None = None
    validation: Fraction = 0.15
    test: Fraction = 0.2
    seed: int = 0
    max_rejected: Annotated[Number, Field(ge=0, le=1)] = 0.01
    max_side: Annotated[int, Field(ge=8)] | None = 512

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave no training rows; their sum must be below 1"
            )
        return self


class BackboneParams(Section):
    """The pretrained model."""

    family: Literal["transformers", "torchvision", "tfidf", "pixels"]
    name: Name
    revision: Name | None = None
    weights: Name = "pretrained"


class ExtractParams(Section):
    """How an input becomes one vector."""

    pooling: Literal["mean", "cls", "max"] = "mean"
    max_length: Annotated[int, Field(ge=2)] = 256
    image_size: Annotated[int, Field(ge=8)] | None = None
    normalize: bool = True
    dtype: Literal["float16", "float32"] = "float16"


class BudgetParams(Section):
    """Which training rows may be used, by the head and by fine-tuning alike."""

    per_class: Count | None = None
    seed: int = 0


class TrainHeadParams(Section):
    """The scikit-learn classifier on frozen features."""

    kind: Literal["logistic", "linear_svm", "ridge", "knn", "mlp"] = "logistic"
    C: Annotated[tuple[Positive, ...], BeforeValidator(_tuple), Field(min_length=1)] = (0.1, 1, 10, 100)
    neighbors: Annotated[tuple[Count, ...], BeforeValidator(_tuple), Field(min_length=1)] = (1, 5, 10, 20)
    folds: Annotated[int, Field(ge=2)] = 5
    class_weight: Literal["balanced"] | None = None

    @model_validator(mode="after")
    def _can_weigh(self) -> Self:
        if self.class_weight and self.kind in ("knn", "mlp"):
            raise ValueError(
                f"class_weight is balanced, which {self.kind} cannot do; use logistic, linear_svm or ridge"
            )
        return self


class FinetuneParams(Section):
    """Training on from the pretrained weights."""

    method: Literal["none", "full", "last_block", "lora"] = "none"
    contrastive: Annotated[Number, Field(ge=0)] = 0.0
    contrastive_temperature: Positive = 0.1
    label_names: bool = False
    token_dropout: Fraction = 0.0
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 8
    patience: Count | None = None
    batch_size: Count = 32
    learning_rate: Rate = 1e-4
    head_learning_rate: Rate = 1e-3
    layer_decay: Annotated[Number, Field(gt=0, le=1)] = 1.0
    weight_decay: Annotated[Number, Field(ge=0, lt=1)] = 0.01
    warmup: Fraction = 0.1
    max_grad_norm: Positive = 1.0
    label_smoothing: Fraction = 0.0
    class_weight: Literal["balanced"] | None = None
    lora_rank: Count = 16
    lora_alpha: Count = 32
    lora_dropout: Fraction = 0.0
    random_resized_crop: bool = True
    horizontal_flip: bool = True
    batch_norm: Literal["auto", "frozen", "train"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class EvaluateParams(Section):
    """How sure the metrics are, and what they are compared with."""

    bootstrap: Annotated[int, Field(ge=0)] = 1000
    learning_curve: Annotated[tuple[Count, ...], BeforeValidator(_tuple)] = (2, 5, 10, 20, 50)
    repeats: Count = 5
    near_duplicates: Annotated[Number, Field(gt=0, le=1)] = 0.98
    seed: int = 0


class GateMetric(Section):
    """How one metric is judged."""

    higher_is_better: bool = True
    tolerance: Annotated[Number, Field(ge=0)] = 0.0
    floor: Number | None = None


GateName = Literal[
    "accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "roc_auc", "average_precision"
]


class GateParams(Section):
    """What a change may do to the metrics."""

    metrics: Annotated[dict[GateName, GateMetric], Field(min_length=1)] = {
        "accuracy": GateMetric(),
        "macro_f1": GateMetric(),
    }
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    seed: int = 0


class RuntimeParams(Section):
    """How to run, not what to compute: no stage depends on it."""

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
    backbone: BackboneParams
    extract: ExtractParams = ExtractParams()
    budget: BudgetParams = BudgetParams()
    train_head: TrainHeadParams = TrainHeadParams()
    finetune: FinetuneParams = FinetuneParams()
    evaluate: EvaluateParams = EvaluateParams()
    gate: GateParams = GateParams()
    runtime: RuntimeParams = RuntimeParams()


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        HeadstartError: the file is missing, is not YAML, or holds a key or value that is not allowed.
    """
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise HeadstartError(
            f"{path} does not exist; run from the project's root, or name the file with --params"
        ) from None
    except UnicodeDecodeError as error:
        raise HeadstartError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise HeadstartError(
            f"{path} is not valid YAML{line}: {getattr(error, 'problem', one_line(error))}; correct it"
        ) from None
    return validate(Params, raw, file=str(path))


def validate(model: type[Model], raw: object, *, file: str) -> Model:
    """Check `raw` against `model`; `file` names it in the error."""
    if not isinstance(raw, dict):
        raise HeadstartError(f"{file} is {_show(raw)}, but must be a mapping with {listed(model.model_fields)}")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise HeadstartError(_sentence(model, raw, error, file)) from None


def _sentence(model: type[BaseModel], raw: Any, error: ValidationError, file: str) -> str:
    """Say the first problem in one sentence. A misspelt key comes before the key that it leaves missing."""
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    *parents, last = problem["loc"]
    names_a_key = last == "[key]"  # of a mapping whose keys are limited
    if names_a_key:
        *parents, last = parents
    key = ".".join(map(str, [*parents, last]))
    if problem["type"] == "extra_forbidden" or names_a_key:
        known = _fields(model, parents)
        prefix = "".join(f"{parent}." for parent in parents)
        hint = did_you_mean(str(last), known, prefix=prefix) or f"; known: {listed(known)}"
        return f"{file}: {key} is not a setting{hint}"
    if problem["type"] == "missing":
        return f"{file}: {key} is missing; add it"
    context = problem.get("ctx", {})
    if problem["type"] == "literal_error":
        allowed = f"must be one of {context['expected']}"
    elif problem["type"] == "string_pattern_mismatch":
        allowed = "must be one of 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N'"
    elif problem["type"] == "value_error":
        return f"{file}: {key}: {context['error']}"
    else:
        allowed = problem["msg"].partition(" after validation")[0]
        for words, plain in PLAIN.items():
            allowed = allowed.replace(words, plain)
    value: Any = raw
    for step in problem["loc"]:
        value = value[step]
    return f"{file}: {key} is {_show(value)}, but {allowed}"


def _fields(model: type[BaseModel], path: list[Any]) -> Iterable[str]:
    """The keys that are known at `path`."""
    known: Any = model
    for step in path:
        known = get_args(known)[1] if get_origin(known) is dict else known.model_fields[step].annotation
    if get_origin(known) is dict:
        return get_args(get_args(known)[0])
    return known.model_fields if isinstance(known, type) and issubclass(known, BaseModel) else ()


def _show(value: object) -> str:
    """The value as the user wrote it, cut where it is long. Aliases can make YAML of a few lines gigabytes long."""
    text = "empty" if value is None else SHORT.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
