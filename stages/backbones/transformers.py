"""Encoders of the transformers library: BERT, ViT and everything else that AutoModel can load.

The vector of a text or image is pooled from the token vectors of the last layer, or from the positions of its feature
map.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from torch import Tensor

from stages.backbones import fingerprint, hub, model_files
from stages.backbones.encoder import WEIGHTS_FILE, Encoder, check_types, choose_device, read_weights
from stages.backbones.image import ImageEncoder
from stages.backbones.text import TextEncoder
from stages.common.errors import HeadstartError, listed, one_line
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams

# The part of config.json to read in models of both text and images, such as CLIP.
TOWERS: dict[Modality, str] = {"text": "text_config", "image": "vision_config"}
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
    folder, commit = hub.resolve(spec.name, spec.revision)
    config = _config(folder, spec.name, modality)
    if spec.weights == "random":
        body = _random(config, spec.name)
        weights = "random, seed 0"
    elif spec.weights == "pretrained":
        files = hub.weight_files(folder)
        for path in files:
            check_types(path)
        body = _pretrained(folder, config, spec.name)
        weights = fingerprint.from_parts(files=[fingerprint.from_file(path) for path in files])
    else:
        body = _pretrained(None, config, spec.weights, read_weights(Path(spec.weights)))
        weights = fingerprint.from_parts(files=[fingerprint.from_file(Path(spec.weights))])
    if getattr(config, "is_encoder_decoder", False):
        body = body.get_encoder()
    decisive = {
        "family": spec.family,
        "name": spec.name,
        "revision": commit,
        "weights": weights,
        "config": model_files.canonical(folder / "config.json"),
        "pooling": settings.pooling,
        "normalize": settings.normalize,
        "dtype": settings.dtype,
    }
    encoder: Encoder
    if modality == "text":
        tokenizer = _tokenizer(folder, config, spec.name, settings)
        digest = fingerprint.from_parts(
            **decisive,
            max_length=settings.max_length,
            tokenizer=model_files.decisive(folder),
        )
        encoder = TextEncoder(body, tokenizer, settings, fingerprint=digest, name=spec.name)
    else:
        processor = _processor(folder, spec.name, settings)
        digest = fingerprint.from_parts(**decisive, preprocessing=processor.describe())
        encoder = _image_encoder(body, processor, settings, fingerprint=digest, name=spec.name)
    return encoder.to(choose_device(runtime)).eval()


def load_finetuned(folder: Path, settings: ExtractParams, runtime: RuntimeParams, modality: Modality) -> Encoder:
    """Load the encoder that `export` wrote."""
    config = _config(folder, str(folder), modality)
    body = _pretrained(None, config, str(folder), read_weights(folder / WEIGHTS_FILE))
    encoder: Encoder
    if modality == "text":
        encoder = TextEncoder(body, _tokenizer(folder, config, str(folder), settings), settings)
    else:
        processor = _processor(folder, str(folder), settings)
        encoder = _image_encoder(body, processor, settings, fingerprint="", name=str(folder))
    return encoder.to(choose_device(runtime)).eval()


def _image_encoder(
    body: Any, processor: Processor, settings: ExtractParams, *, fingerprint: str, name: str
) -> ImageEncoder:
    if settings.pooling == "cls" and not any(
        parameter.rsplit(".", 1)[-1] in CLASS_TOKENS for parameter, _ in body.named_parameters()
    ):
        raise HeadstartError(f"extract.pooling is cls, but {name} has no class token; use mean or max")
    return ImageEncoder(
        body, processor, settings, run=_run_and_pool(settings), config=body.config, fingerprint=fingerprint, name=name
    )


def _run_and_pool(settings: ExtractParams) -> Callable[[Any, Tensor], Tensor]:
    """Return a function from a body and pixels (rows, 3, size, size) to vectors (rows, dim)."""
    # At another size than that of the pretraining, position embeddings are interpolated.
    options = {} if settings.image_size is None else {"interpolate_pos_encoding": True}

    def run(body: Any, pixels: Tensor) -> Tensor:
        hidden: Tensor = body(pixels, **options).last_hidden_state
        if hidden.ndim == 4:  # a feature map: (rows, channels, height, width)
            hidden = hidden.flatten(2).transpose(1, 2)
        if settings.pooling == "cls":
            return hidden[:, 0]
        return hidden.amax(dim=1) if settings.pooling == "max" else hidden.mean(dim=1)

    return run


def _config(folder: Path, name: str, modality: Modality) -> Any:
    """Check the folder and read config.json; of a model for both text and images, return the part for `modality`."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise HeadstartError(
            f"{folder} holds no config.json; backbone.name must be a folder that save_pretrained wrote"
        )
    model_files.check(folder)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # on a folder of unknown content, transformers raises errors of many types
        raise _unloadable(name, error) from None
    return getattr(config, TOWERS[modality], config)


def _tokenizer(folder: Path, config: Any, name: str, settings: ExtractParams) -> Any:
    """Load the tokenizer, and check that it can produce `extract.max_length` tokens for the encoder."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers library, which is in Rust, is no Exception
        raise _unloadable(name, error) from None
    # If files are missing, transformers returns a tokenizer that knows special tokens only.
    if getattr(tokenizer, "vocab_size", 0) <= len(getattr(tokenizer, "all_special_tokens", ())):
        raise HeadstartError(f"{name} has no tokenizer; add its tokenizer.json to {folder}")
    limit = _max_length(config, tokenizer)
    if settings.max_length > limit:
        raise HeadstartError(f"extract.max_length is {settings.max_length}, but {name} takes at most {limit} tokens")
    tokenizer.padding_side = "right"  # the first token is the first column, as cls pooling expects
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
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


def _random(config: Any, name: str) -> Any:
    """Build the encoder with random weights, the same in every run."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return transformers.AutoModel.from_config(config, dtype=torch.float32)
    except Exception as error:
        raise _unloadable(name, error) from None


def _pretrained(folder: Path | None, config: Any, name: str, state: dict[str, Tensor] | None = None) -> Any:
    """Load the encoder with all of its weights, from `folder` or from `state`.

    Raises:
        HeadstartError: a weight is missing (transformers would draw it at random), or the model cannot be loaded.
    """
    try:
        with torch.device("meta"):
            architecture = type(transformers.AutoModel.from_config(config))
        body, report = architecture.from_pretrained(
            folder,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:
        raise _unloadable(name, error) from None
    # The model's own pooler is not used, and checkpoints trained on masked words have none.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise HeadstartError(f"the weights of {name} lack {listed(missing, limit=5)}; they do not fit its config.json")
    return body


def _max_length(config: Any, tokenizer: Any) -> int:
    """Return the smaller limit of tokenizer and position table; an unset limit is absurdly large."""
    positions: Any = getattr(config, "max_position_embeddings", None) or 10**9
    return int(min(tokenizer.model_max_length, positions))


def _unloadable(name: str, error: BaseException) -> HeadstartError:
    return HeadstartError(f"{name} cannot be loaded as an encoder by transformers ({one_line(error)})")
