"""How the tokens of a text become one vector: what a model declares, and what the settings change."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from stages.common import json_file
from stages.common.errors import HeadstartError
from stages.common.params import Combine, ExtractParams
from stages.common.section import SHORT_REPR, Section
from stages.common.setting_types import Count

EXPORTED = "recipe.json"  # of a fine-tuned model: what was used in training
DEFAULT_LENGTH = 256  # tokens, where neither the settings nor the model have a limit
NO_LIMIT = 10**6  # tokens from which a limit means that there is none

Mode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
Activation = Literal[
    "CELU", "ELU", "GELU", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU",
    "Sigmoid", "Softplus", "Softsign", "Tanh",
]  # fmt: skip
PooledVector = Literal["sentence_embedding"]  # what a step may read; not the vectors of tokens


class File(Section):
    """The keys of a JSON file that are read."""

    model_config = ConfigDict(extra="ignore", strict=False)


class Dense(File):
    """A linear layer and an activation function. `path`: folder of its weights in that of the model."""

    kind: Literal["Dense"] = "Dense"
    in_features: Count
    out_features: Count
    bias: bool = True
    activation_function: Activation = "Tanh"
    module_input_name: PooledVector = "sentence_embedding"
    use_residual: bool = False
    path: str = ""


class LayerNorm(File):
    """A layer norm. `path`: folder of its weights in that of the model."""

    kind: Literal["LayerNorm"] = "LayerNorm"
    dimension: Count
    path: str = ""


class Truncate(File):
    """The first dimensions of a vector."""

    kind: Literal["Truncate"] = "Truncate"
    dimension: Count


class Normalize(File):
    """Division by the length."""

    kind: Literal["Normalize"] = "Normalize"
    module_input_name: PooledVector = "sentence_embedding"


Step = Annotated[Dense | LayerNorm | Truncate | Normalize, Field(discriminator="kind")]


class Recipe(File):
    """What a model declares or, after `resolve`, what is used.

    Attributes:
        pooling: modes whose vectors are joined; empty where nothing is declared.
        include_prompt: whether the tokens of the prompt are pooled too.
        max_length: tokens of a text, with prompt and special tokens.
        long: whether longer texts are cut, or read in windows of that length.
        combine: whether an input is a text, or a pair of texts.
        steps: after the pooling.
        prompt: comes before every text; `prompts` are all that the model declares, by name.
    """

    pooling: tuple[Mode, ...] = ()
    include_prompt: bool = True
    max_length: Count | None = None
    long: Literal["cut", "chunks"] = "cut"
    combine: Combine = "join"
    lowercase: bool = False
    steps: tuple[Step, ...] = ()
    prompt: str = ""
    prompts: dict[str, str] = Field(default_factory=dict)

    @property
    def is_normalized(self) -> bool:
        return isinstance(next(reversed(self.steps), None), Normalize)

    def dim(self, hidden_size: int) -> int:
        """Return the dimensions of a vector, where a token's vector has `hidden_size`.

        Raises:
            HeadstartError: a step takes vectors of other dimensions.
        """
        dim = hidden_size * len(self.pooling)
        for step in self.steps:
            takes = getattr(step, "in_features", step.dimension if isinstance(step, LayerNorm) else dim)
            if takes != dim:
                raise HeadstartError(
                    f"pooling {' + '.join(self.pooling)} gives vectors of {dim} dimensions, but the model's"
                    f" {step.kind} takes {takes}; set extract.pooling to auto"
                )
            dim = step.out_features if isinstance(step, Dense) else dim
            dim = min(step.dimension, dim) if isinstance(step, Truncate) else dim
        return dim

    def settings(self, settings: ExtractParams) -> ExtractParams:
        """Return the settings with what is used in place of `auto`, as far as they have a value for it."""
        single = self.pooling[0] if len(self.pooling) == 1 and self.pooling[0] in ("mean", "cls", "max") else "auto"
        used = {
            "pooling": single,
            "max_length": self.max_length,
            "normalize": self.is_normalized,
            "prompt": self.prompt,
        }
        return settings.model_copy(update=used)

    def decisive(self) -> dict[str, Any]:
        """Return all that decides a vector beside weights, for the fingerprint."""
        content = self.model_dump(exclude={"prompts": True, "combine": True, "steps": {"__all__": {"path"}}})
        pairs = {"combine": self.combine} if self.combine == "pair" else {}  # vectors of texts stay in the row cache
        return content | pairs | {"include_prompt": self.include_prompt or not self.prompt}

    def sentence(self) -> str:
        """Describe the recipe in the words of the settings."""
        parts = [f"pooling {' + '.join(self.pooling)}"]
        parts += [f"Dense to {step.out_features}" for step in self.steps if isinstance(step, Dense)]
        parts += [f"the first {step.dimension} dimensions" for step in self.steps if isinstance(step, Truncate)]
        parts += [f"max_length {self.max_length}", f"normalize {str(self.is_normalized).lower()}"]
        parts.append(f"prompt {SHORT_REPR.repr(self.prompt)}" if self.prompt else "no prompt")
        return ", ".join([*parts, "the texts of two columns as a pair"] if self.combine == "pair" else parts)


def resolve(declared: Recipe, settings: ExtractParams, *, limit: int, name: str) -> Recipe:
    """Return what is used: the settings, and what is declared where they are `auto`.

    Args:
        limit: tokens that the model `name` takes.

    Raises:
        HeadstartError: `extract.max_length` exceeds the limit.
    """
    if settings.max_length == "auto":
        usual = DEFAULT_LENGTH if not declared.pooling or limit >= NO_LIMIT else limit
        max_length = min(declared.max_length or usual, limit)
    elif settings.max_length <= limit:
        max_length = settings.max_length
    else:
        raise HeadstartError(f"extract.max_length is {settings.max_length}, but {name} takes at most {limit} tokens")
    steps = declared.steps[:-1] if declared.is_normalized else declared.steps
    is_normalized = declared.is_normalized if declared.pooling else True
    if is_normalized if settings.normalize == "auto" else settings.normalize:
        steps = (*steps, Normalize())
    prompt = declared.prompt if settings.prompt is None else settings.prompt
    return declared.model_copy(
        update={
            "pooling": (declared.pooling or ("mean",)) if settings.pooling == "auto" else (settings.pooling,),
            "max_length": max_length,
            "long": settings.long,
            "combine": settings.combine,
            "steps": steps,
            "prompt": declared.prompts.get(prompt, prompt),
        }
    )


def write(folder: Path, recipe: Recipe) -> None:
    """Write the recipe of a fine-tuned model, whose model.safetensors holds the weights of its steps too."""
    json_file.write(folder / EXPORTED, recipe.model_dump(exclude={"steps": {"__all__": {"path"}}}))
