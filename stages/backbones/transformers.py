"""Encoders of the transformers library: BERT, ViT and everything else that AutoModel can load.

The vector of a text or image is pooled from the token vectors of the last layer, or from the positions of its feature
map.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from PIL import Image
from torch import Tensor

from stages.backbones import (
    architectures,
    devices,
    fingerprint,
    hub,
    model_files,
    pooling,
    recipe,
    sentence_transformers,
    text_traits,
)
from stages.backbones.architectures import Part
from stages.backbones.encoder import WEIGHTS_FILE, Encoder, check_types, read_weights
from stages.backbones.image import ImageEncoder
from stages.backbones.recipe import Recipe
from stages.backbones.text import TextEncoder
from stages.backbones.text_traits import TextTraits
from stages.common.errors import HeadstartError, one_line
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams

CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")


class Processor:
    """The preprocessing by a model's own image processor."""

    def __init__(self, processor: Any, name: str) -> None:
        self._processor = processor
        *_, height, width = self._run(Image.new("RGB", (640, 480))).shape
        if height != width:
            raise HeadstartError(
                f"the image processor of {name} keeps the shape of images ({width} x {height} pixels of 640 x 480),"
                " so they cannot be encoded together; use a model that crops to squares"
            )
        self.size: int = height

    def __call__(self, picture: Image.Image) -> Tensor:
        """Resize, crop and normalise: (3, size, size) float32."""
        return self._run(picture)

    def normalized(self, picture: Image.Image) -> Tensor:
        """Normalise a picture of size x size pixels: (3, size, size) float32."""
        return self._run(picture, do_resize=False, do_center_crop=False)

    def save(self, folder: Path) -> None:
        """Write the processor as `save_pretrained` does."""
        self._processor.save_pretrained(folder)

    def describe(self) -> dict[str, Any]:
        """Return the processor's settings, without the version that wrote them."""
        return {key: value for key, value in self._processor.to_dict().items() if not key.endswith("_version")}

    def _run(self, picture: Image.Image, **changes: Any) -> Tensor:
        pixels: Tensor = self._processor(images=picture, return_tensors="pt", **changes)["pixel_values"][0]
        return pixels


def load(spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams, modality: Modality) -> Encoder:
    """Load an encoder with its tokenizer or image processor, in float32, on the device of `runtime`.

    Raises:
        HeadstartError: see `hub.resolve`; or the folder holds no encoder, its weights do not fit, or
            `extract.max_length` or `extract.image_size` exceeds the encoder's limit.
    """
    root, commit = hub.resolve(spec.name, spec.revision)
    folder, declared = sentence_transformers.read(root) if modality == "text" else (root, recipe.Recipe())
    config = _config(folder, spec.name)
    if spec.weights == "random":
        body, part = architectures.random(config, modality, spec.name)
        weights = "random, seed 0"
    elif spec.weights == "pretrained":
        files = hub.weight_files(folder)
        for path in files:
            check_types(path)
        body, part = architectures.pretrained(folder, config, modality, spec.name)
        weights = fingerprint.from_parts(files=[fingerprint.from_file(path) for path in files])
    else:
        state = read_weights(Path(spec.weights))
        body, part = architectures.pretrained(None, config, modality, spec.weights, state)
        weights = fingerprint.from_parts(files=[fingerprint.from_file(Path(spec.weights))])
    decisive = {
        "family": spec.family,
        "name": spec.name,
        "revision": commit,
        "weights": weights,
        "config": model_files.canonical(folder / "config.json"),
        "dtype": settings.dtype,
    }
    encoder: Encoder
    if modality == "text":
        tokenizer, used, traits = _text(folder, body, declared, settings, name=spec.name)
        steps, files = _steps(spec, root, used)
        digest = fingerprint.from_parts(
            **decisive,
            recipe=used.decisive(),
            steps=[fingerprint.from_file(path) for path in files],
            tokenizer=model_files.decisive(folder),
        )
        encoder = TextEncoder(
            body,
            tokenizer,
            settings,
            part=part,
            traits=traits,
            recipe=used,
            steps=steps,
            fingerprint=digest,
            name=spec.name,
        )
    else:
        processor = _processor(folder, spec.name, settings)
        digest = fingerprint.from_parts(
            **decisive,
            pooling="mean" if settings.pooling == "auto" else settings.pooling,
            normalize=settings.is_normalized,
            preprocessing=processor.describe(),
        )
        encoder = _image_encoder(body, processor, settings, part=part, fingerprint=digest, name=spec.name)
    return encoder.to(devices.choose(runtime)).eval()


def load_finetuned(folder: Path, settings: ExtractParams, runtime: RuntimeParams, modality: Modality) -> Encoder:
    """Load the encoder that `export` wrote."""
    config = _config(folder, str(folder))
    name = str(folder)
    state = read_weights(folder / WEIGHTS_FILE)
    body, part = architectures.pretrained(None, config, modality, name, state)
    encoder: Encoder
    if modality == "text":
        tokenizer, used, traits = _text(folder, body, sentence_transformers.read(folder)[1], settings, name=name)
        steps = pooling.from_state(state, used, name)
        encoder = TextEncoder(body, tokenizer, settings, part=part, traits=traits, recipe=used, steps=steps, name=name)
    else:
        encoder = _image_encoder(body, _processor(folder, name, settings), settings, part=part, name=name)
    return encoder.to(devices.choose(runtime)).eval()


def _text(
    folder: Path, body: Any, declared: Recipe, settings: ExtractParams, *, name: str
) -> tuple[Any, Recipe, TextTraits]:
    """Load the tokenizer, resolve the recipe, and measure what the transformer `body` takes and gives."""
    tokenizer = _tokenizer(folder, name)
    used = recipe.resolve(declared, settings, limit=text_traits.token_limit(body, tokenizer), name=name)
    text_traits.fit_tokenizer(tokenizer, body, name)
    max_length = used.max_length or 0
    traits = text_traits.measure(body, tokenizer, max_length=max_length, name=name)
    if used.pooling == ("cls",):
        text_traits.check_first_token(body, tokenizer, traits, max_length=max_length, name=name)
    return tokenizer, used, traits


def _steps(spec: BackboneParams, root: Path, used: Recipe) -> tuple[pooling.Steps, list[Path]]:
    """Load the steps after the pooling, and list the files of their weights that `spec.weights` does not name."""
    if spec.weights == "random":
        return pooling.random(used), []
    if spec.weights == "pretrained":
        return pooling.pretrained(root, used, spec.name), pooling.weight_files(root, used)
    return pooling.from_state(read_weights(Path(spec.weights)), used, spec.weights), []


def _image_encoder(
    body: Any, processor: Processor, settings: ExtractParams, *, part: Part, name: str, fingerprint: str = ""
) -> ImageEncoder:
    if settings.pooling == "cls" and not any(
        parameter.rsplit(".", 1)[-1] in CLASS_TOKENS for parameter, _ in body.named_parameters()
    ):
        raise HeadstartError(f"extract.pooling is cls, but {name} has no class token; use mean or max")
    return ImageEncoder(
        body, processor, settings, run=_run_and_pool(body, settings), part=part, fingerprint=fingerprint, name=name
    )


def _run_and_pool(body: Any, settings: ExtractParams) -> Callable[[Any, Tensor], Tensor]:
    """Return a function from a body and pixels (rows, 3, size, size) to vectors (rows, dim)."""
    # At another size than that of the pretraining, position embeddings are interpolated.
    options: dict[str, Any] = {}
    if settings.image_size is not None and text_traits.takes(body, "interpolate_pos_encoding"):
        options["interpolate_pos_encoding"] = True

    def run(body: Any, pixels: Tensor) -> Tensor:
        output = body(pixels, **options)
        # HGNetV2 has no model but the one that gives feature maps, of the last stage unless its configuration has more.
        hidden: Tensor = output.feature_maps[-1] if "feature_maps" in output else output.last_hidden_state
        if hidden.ndim == 4:  # a feature map: (rows, channels, height, width)
            hidden = hidden.flatten(2).transpose(1, 2)
        if settings.pooling == "cls":
            return hidden[:, 0]
        return hidden.amax(dim=1) if settings.pooling == "max" else hidden.mean(dim=1)

    return run


def _config(folder: Path, name: str) -> Any:
    """Check the folder and read config.json."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise HeadstartError(
            f"{folder} holds no config.json; backbone.name must be a folder that save_pretrained wrote"
        )
    model_files.check(folder)
    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # on a folder of unknown content, transformers raises errors of many types
        raise architectures.unloadable(name, error) from None


def _tokenizer(folder: Path, name: str) -> Any:
    """Load the tokenizer."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers library, which is in Rust, is no Exception
        raise architectures.unloadable(name, error) from None
    # If files are missing, transformers returns a tokenizer that knows special tokens only.
    if getattr(tokenizer, "vocab_size", 0) <= len(getattr(tokenizer, "all_special_tokens", ())):
        raise HeadstartError(f"{name} has no tokenizer; add its tokenizer.json to {folder}")
    return tokenizer


def _processor(folder: Path, name: str, settings: ExtractParams) -> Processor:
    """Load the image processor, and change its sizes in proportion to `extract.image_size`."""
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception:
        raise HeadstartError(
            f"{name} has no image processor, so it cannot encode images; use a vision model, or add its"
            f" preprocessor_config.json to {folder}"
        ) from None
    try:
        if settings.image_size:
            _set_size(processor, settings.image_size)
        return Processor(processor, name)
    except HeadstartError:
        raise
    except Exception as error:  # its settings can be of any type
        raise HeadstartError(
            f"the image processor of {name} does not work ({one_line(error)}); correct the preprocessor_config.json in"
            f" {folder}"
        ) from None


def _set_size(processor: Any, size: int) -> None:
    """Make `size` the side of the pixels that come out; what is resized before a crop scales in proportion."""
    crop = processor.crop_size.height if getattr(processor, "do_center_crop", None) else None
    short = processor.size.shortest_edge
    if short:
        processor.size = {"shortest_edge": round(short * size / (crop or short))}
    else:
        processor.size = {"height": size, "width": size}
    if crop:
        processor.crop_size = {"height": size, "width": size}
