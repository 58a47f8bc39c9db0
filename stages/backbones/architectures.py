"""The encoder in a model of transformers: which part of the model it is, loaded from weights and written back.

T5 and BART have a decoder beside their encoder; CLIP and BLIP a tower for texts and one for images. The weights of a
part are written under their names in the whole model, so extract, finetune, evaluate and predict load the same encoder
in the same way.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from stages.backbones.encoder import write_weights
from stages.backbones.text_traits import takes
from stages.common.errors import HeadstartError, listed, one_line
from stages.common.params import Modality

# The part of config.json to read in models of both texts and images.
TOWERS: dict[Modality, tuple[str, ...]] = {"text": ("text_config",), "image": ("vision_config", "image_config")}
INPUTS: dict[Modality, str] = {"text": "input_ids", "image": "pixel_values"}  # the first argument of an encoder


@dataclass(frozen=True)
class Part:
    """An encoder as the part of a model.

    Attributes:
        config: the model's configuration.
        path: name of the encoder's module in the model; empty: the model is the encoder.
        kind: the model's class.
    """

    config: Any
    path: str
    kind: Any

    @property
    def prefix(self) -> str:
        """Return what the names of the encoder's weights start with in the model."""
        return f"{self.path}." if self.path else ""

    def save(self, body: Any, folder: Path, name: str, others: Mapping[str, Tensor] | None = None) -> None:
        """Write configuration and weights of `body`, which is called `name`, and `others`; `pretrained` loads them."""
        self.config.name_or_path = name
        self.config.save_pretrained(folder)
        write_weights(body, folder, prefix=self.prefix, others=others)

    def check_reload(self, body: Any, modality: Modality, name: str) -> None:
        """Load the weights that `save` would write, and compare them: before training, not after it.

        Raises:
            HeadstartError: they would not load, or be others.
        """
        state = {self.prefix + key: tensor.cpu() for key, tensor in body.state_dict().items()}
        try:
            other, _ = pretrained(None, copy.deepcopy(self.config), modality, name, state)
            same = all(torch.equal(tensor, state[self.prefix + key]) for key, tensor in other.state_dict().items())
        except (HeadstartError, KeyError):
            same = False
        if not same:
            raise HeadstartError(
                f"{name} ({self.config.model_type}) cannot be fine-tuned as a whole: transformers would not load its"
                " weights again; set finetune.method to lora or none"
            )


def pretrained(
    folder: Path | None, config: Any, modality: Modality, name: str, state: dict[str, Tensor] | None = None
) -> tuple[Any, Part]:
    """Load the encoder for `modality` with all of its weights, from `folder` or from `state`.

    Raises:
        HeadstartError: a weight is missing (transformers would draw it at random), or the model cannot be loaded or
            takes other inputs.
    """
    lacking: list[str] = []
    for part in _parts(config, modality, name):
        try:
            model, report = part.kind.from_pretrained(
                folder,
                config=part.config,
                state_dict=state,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:
            raise unloadable(name, error) from None
        missing = _missing(model, report["missing_keys"], part)
        if not missing:
            return _body(model, part), part
        lacking = lacking or missing
    raise HeadstartError(f"the weights of {name} lack {listed(lacking, limit=5)}; they do not fit its config.json")


def random(config: Any, modality: Modality, name: str) -> tuple[Any, Part]:
    """Build the encoder with random weights, the same in every run. Raises the errors of `pretrained`."""
    part = next(_parts(config, modality, name))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = transformers.AutoModel.from_config(part.config, dtype=torch.float32)
    except Exception as error:
        raise unloadable(name, error) from None
    return _body(model, part), part


def _required(body: Any) -> set[str]:
    """Return the arguments that the network `body` needs."""
    parameters = inspect.signature(body.forward).parameters.values()
    fixed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        parameter.name
        for parameter in parameters
        if parameter.kind in fixed and parameter.default is inspect.Parameter.empty
    }


def unloadable(name: str, error: BaseException) -> HeadstartError:
    """Return the error for a model that transformers does not load."""
    return HeadstartError(f"{name} cannot be loaded as an encoder by transformers ({one_line(error)})")


def _parts(config: Any, modality: Modality, name: str) -> Iterator[Part]:
    """Yield where the encoder may be: a tower that is a model by itself, then a module of the whole model."""
    tower = next((value for key in TOWERS[modality] if _is_config(value := getattr(config, key, None))), None)
    mapping = transformers.MODEL_MAPPING
    candidates = [config] if tower is None else [tower, config]
    for candidate in candidates:
        if candidate is tower and type(tower) not in mapping:
            continue
        try:
            with torch.device("meta"):
                model = transformers.AutoModel.from_config(candidate)
            path = _path(model, modality, None if candidate is tower else tower)
            encoder = model.get_submodule(path)
        except Exception as error:
            raise unloadable(name, error) from None
        if not takes(encoder, INPUTS[modality]):
            argument = next(iter(inspect.signature(encoder.forward).parameters))
            raise HeadstartError(
                f"{name} ({candidate.model_type}) takes {argument} and not {INPUTS[modality]}, so it encodes no"
                f" {modality}s; set backbone.name to a model of {modality}s"
            )
        if others := _required(encoder) - {INPUTS[modality]}:
            raise HeadstartError(
                f"{name} ({candidate.model_type}) needs {listed(sorted(others))} beside {INPUTS[modality]}, so it does"
                f" not encode {modality}s alone; set backbone.name to another model of {modality}s"
            )
        yield Part(candidate, path, type(model))


def _is_config(value: Any) -> bool:
    return isinstance(value, transformers.PreTrainedConfig)


def _path(model: Any, modality: Modality, tower: Any) -> str:
    """Find the name of the encoder's module in `model`; `tower` is its configuration if it has one of its own."""
    if tower is not None:
        towers = (
            path
            for path, module in model.named_modules()
            if isinstance(module, transformers.PreTrainedModel) and type(module.config) is type(tower)
        )
        return next(towers, "")
    encoder = getattr(model, "encoder", None)
    has_decoder = isinstance(getattr(model, "decoder", None), torch.nn.Module)
    is_encoder = isinstance(encoder, transformers.PreTrainedModel) and takes(encoder, INPUTS[modality])
    return "encoder" if has_decoder and is_encoder else ""


def _missing(model: Any, keys: Any, part: Part) -> list[str]:
    """Return which of the missing `keys` of the model are weights of the encoder.

    Its own pooler is not used, and checkpoints trained on masked words have none.
    """
    tensors = model.state_dict(keep_vars=True)
    used = {id(tensor) for tensor in model.get_submodule(part.path).state_dict(keep_vars=True).values()}
    return sorted(
        key
        for key in keys
        # By identity, since T5 shares the encoder's embeddings under another name.
        if (id(tensors[key]) in used if key in tensors else key.startswith(part.prefix))
        and not key.removeprefix(part.prefix).startswith("pooler.")
    )


def _body(model: Any, part: Part) -> Any:
    """Return the encoder in `model`, in evaluation mode."""
    body = model.get_submodule(part.path)
    if hasattr(body, "set_attention_type"):
        # BigBird's sparse attention becomes full for good with the first short batch. So that no vector depends on the
        # batches before it, it is full from the start.
        body.set_attention_type("original_full")
    return body.eval()
