"""What the graph of each family takes, and how run.py makes it of texts and pictures, as data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from stages.common import json_file
from stages.common.errors import HeadstartError, listed
from stages.common.params import BackboneParams
from stages.exporting.graph import Vectors

TOKENIZER, VOCABULARY = "tokenizer.json", "vocabulary.json"
TENSORS = ("input_ids", "token_type_ids", "attention_mask")  # of a tokenizer, which run.py makes
NO_MAX_SIDE = 10**6  # pixels
CONVNEXT_WHOLE_SIDE = 384  # pixels, from which its pictures are not cropped
NO_LIMIT = 2**31  # tokens of a vocabulary


@dataclass(frozen=True)
class Inputs:
    """How inputs of a backbone become vectors.

    Attributes:
        reading: how run.py makes the graph's inputs; `kind` chooses its reader.
        body: the network that `vectors` calls.
        vectors: computes (rows, dim) of the graph's inputs.
        example: the graph's inputs of two rows.
        texts: contents of further files by name, and `json` of JSON files.
    """

    reading: dict[str, Any]
    body: nn.Module
    vectors: Vectors
    example: Mapping[str, Tensor]
    texts: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the further files that run.py reads."""
        for name, text in self.texts.items():
            (folder / name).write_text(text + "\n", "utf-8", newline="\n")
        for name, content in self.json.items():
            json_file.write(folder / name, content)


def from_backbone(backbone: Any, spec: BackboneParams, max_side: int | None) -> Inputs:
    """Describe the inputs of a loaded backbone; `max_side`: to which prepare shrinks pictures.

    Raises:
        HeadstartError: run.py cannot make them.
    """
    match spec.family:
        case "tfidf":
            return _terms(backbone, spec)
        case "pixels":
            size = [backbone.size, backbone.size]
            return _raw_pixels(backbone, _picture(size=size, crop=size, max_side=max_side))
        case "torchvision":
            return _pictures(backbone, _torchvision(backbone.preprocessing.values, max_side))
        case "timm":
            return _pictures(backbone, _timm(backbone.preprocessing.model.config, spec.name, max_side))
    if hasattr(backbone, "tokenizer"):
        return _tokens(backbone)
    return _pictures(backbone, _processor(backbone.preprocessing.describe(), spec.name, max_side))


def _tokens(encoder: Any) -> Inputs:
    recipe, frame, tokenizer = encoder.recipe, encoder.frame, encoder.tokenizer
    pairs = recipe.combine == "pair"
    problem, another = "", "set backbone.name to another model"
    if not getattr(tokenizer, "is_fast", False):
        problem = f"its tokenizer is written in Python and has no {TOKENIZER}; {another}"
    elif not encoder.traits.can_pad:
        problem = f"its vectors change with padding, so texts cannot share a batch; {another}"
    elif recipe.long == "chunks":
        problem = "extract.long is chunks, and a graph reads one window; set it to cut and run `dvc repro`"
    elif pairs and recipe.prompt:
        problem = "its pairs have a prompt; set extract.prompt to '' and run `dvc repro`"
    elif others := [name for name in encoder.traits.inputs if name not in TENSORS]:
        problem = f"it takes {listed(others)} beside tokens; {another}"
    if problem:
        raise HeadstartError(f"{encoder.name} cannot be exported, as {problem}")
    examples = ["The 1st text.", "Another text, which is longer than that."]
    batch = encoder.training_batch(encoder.training_rows([(text, text) for text in examples] if pairs else examples))
    names = [name for name in TENSORS if name in batch and name in (*encoder.traits.inputs, "attention_mask")]
    first = frame.head if frame.keeps_end else max(frame.max_length - frame.tail, 0)
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    reading = {
        "kind": "tokens",
        "pairs": pairs,
        "inputs": {name: padding.get(name, 0) for name in names},
        "prompt": recipe.prompt,
        "lowercase": recipe.lowercase,
        "max_length": encoder.max_length,
        "first": first,
        "last": encoder.max_length - first,
        "min_tokens": encoder.traits.min_tokens,
        "vocabulary": encoder.vocabulary or NO_LIMIT,
        "unknown": encoder.unknown,
    }

    def vectors(inputs: Mapping[str, Tensor]) -> Tensor:
        X: Tensor = encoder.vectors(encoder.body, dict(inputs))
        return X

    return Inputs(reading, encoder, vectors, {name: batch[name] for name in names}, {TOKENIZER: _tokenizer(encoder)})


def _tokenizer(encoder: Any) -> str:
    """Return tokenizer.json; of pairs it cuts too, as the tokenizers library cuts the longer text first."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if encoder.recipe.combine == "pair":
        direction = getattr(encoder.tokenizer, "truncation_side", "right")
        tokenizer.enable_truncation(encoder.max_length, strategy="longest_first", direction=direction)
    return str(tokenizer.to_str(pretty=True))


def _terms(backbone: Any, spec: BackboneParams) -> Inputs:
    idf = torch.from_numpy(np.asarray(backbone.idf, np.float32))

    def vectors(inputs: Mapping[str, Tensor]) -> Tensor:
        X = inputs["counts"] * idf
        return nn.functional.normalize(X, dim=1) if backbone.settings.is_normalized else X

    example = torch.ones(2, len(backbone.terms))
    reading = {"kind": "terms", "pairs": False, "analyzer": spec.name}
    return Inputs(reading, nn.Identity(), vectors, {"counts": example}, json={VOCABULARY: backbone.terms})


def _raw_pixels(backbone: Any, reading: dict[str, Any]) -> Inputs:
    def vectors(inputs: Mapping[str, Tensor]) -> Tensor:
        X = (inputs["pixels"].to(torch.float32) / 255).flatten(1)
        return nn.functional.normalize(X, dim=1) if backbone.settings.is_normalized else X

    return Inputs(reading, nn.Identity(), vectors, _example(reading))


def _pictures(encoder: Any, reading: dict[str, Any]) -> Inputs:
    mean, std = (torch.tensor(reading[name], dtype=torch.float32) for name in ("mean", "std"))

    def vectors(inputs: Mapping[str, Tensor]) -> Tensor:
        X = (inputs["pixels"].to(torch.float32) * reading["scale"] - mean) / std
        Y: Tensor = encoder.vectors(encoder.body, X.permute(0, 3, 1, 2))
        return Y

    return Inputs(reading, encoder, vectors, _example(reading))


def _example(reading: dict[str, Any]) -> dict[str, Tensor]:
    width, height = reading["crop"]
    count = 2 * height * width * 3
    return {"pixels": (torch.arange(count) % 251).to(torch.uint8).view(2, height, width, 3)}


def _picture(
    *,
    crop: list[int],
    size: list[int] | None = None,
    shortest: int | None = None,
    max_side: int | None,
    resample: int = Image.Resampling.BILINEAR,
    by_torch: bool = False,
    scale: float = 1 / 255,
    mean: Any = (0.0, 0.0, 0.0),
    std: Any = (1.0, 1.0, 1.0),
) -> dict[str, Any]:
    """Describe how a picture becomes pixels: shrunk, resized, cropped about its middle; the graph normalises.

    Args:
        crop: width and height that the network takes.
        size: width and height to resize to, or None:
        shortest: the shorter side to resize to.
        resample: filter, as Pillow numbers it.
        by_torch: whether torch resizes and crops, as for transformers, and not Pillow: rows before columns, and half a
            pixel of a border is rounded down, not to the even number. Pixels differ by a level or two of 255.
        scale: of the values 0 to 255, before mean and deviation.
    """
    return {
        "kind": "pixels",
        "pairs": False,
        "max_side": max_side or NO_MAX_SIDE,
        "size": size,
        "shortest": shortest or 0,
        "resample": int(resample),
        "crop": crop,
        "by_torch": by_torch,
        "scale": scale,
        "mean": list(mean),
        "std": list(std),
    }


def _torchvision(values: Mapping[str, Any], max_side: int | None) -> dict[str, Any]:
    return _picture(
        shortest=values["resize_size"],
        crop=[values["crop_size"]] * 2,
        max_side=max_side,
        resample=Image.Resampling[values["interpolation"].upper()],
        mean=values["mean"],
        std=values["std"],
    )


def _timm(config: Any, name: str, max_side: int | None) -> dict[str, Any]:
    if config.crop_mode == "border":
        raise unreadable(name, "it lays a border around pictures")
    _, height, width = config.input_size
    side = math.floor(width / config.crop_pct)
    is_squashed = config.crop_mode == "squash"
    return _picture(
        size=[side, side] if is_squashed else None,
        shortest=None if is_squashed else side,
        crop=[width, height],
        max_side=max_side,
        resample=Image.Resampling[config.interpolation.upper()],
        mean=config.mean,
        std=config.std,
    )


def _processor(settings: Mapping[str, Any], name: str, max_side: int | None) -> dict[str, Any]:
    size, crop = settings.get("size") or {}, settings.get("crop_size") if settings.get("do_center_crop") else None
    whole = [size[key] for key in ("width", "height")] if size.get("height") else None
    if str(settings.get("image_processor_type")).startswith("ConvNext"):
        size, crop, whole = _convnext(size["shortest_edge"], settings["crop_pct"])
    if not settings.get("do_resize") or not (whole or size.get("shortest_edge")):
        raise unreadable(name, "it does not resize them to one size")
    if not crop and not whole:
        raise unreadable(name, "it does not crop them to one size")
    is_normalized = settings.get("do_normalize")
    return _picture(
        size=whole,
        shortest=None if whole else size["shortest_edge"],
        crop=[crop["width"], crop["height"]] if crop else whole or [],
        max_side=max_side,
        resample=settings["resample"],
        by_torch=True,
        scale=settings["rescale_factor"] if settings.get("do_rescale") else 1.0,
        mean=settings["image_mean"] if is_normalized else (0.0, 0.0, 0.0),
        std=settings["image_std"] if is_normalized else (1.0, 1.0, 1.0),
    )


def _convnext(side: int, share: float) -> tuple[dict[str, int], dict[str, int] | None, list[int] | None]:
    """Return size, crop and whole size by ConvNeXt's rule: below 384 pixels the middle, above all of a picture."""
    if side >= CONVNEXT_WHOLE_SIDE:
        return {}, None, [side, side]
    return {"shortest_edge": int(side / share)}, {"width": side, "height": side}, None


def unreadable(name: str, reason: str) -> HeadstartError:
    """Return the error for a backbone whose preprocessing run.py does not have."""
    return HeadstartError(
        f"{name} cannot be exported, as run.py cannot make its pixels of pictures ({reason}); use a backbone that"
        " resizes, crops and normalises"
    )
