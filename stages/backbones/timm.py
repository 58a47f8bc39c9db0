"""Models of timm, by name: its pretrained models on the hub, those of others in its format, and local folders.

The vector is the input of the classifier, pooled as the model itself pools. timm builds the networks; it neither
downloads nor reads weights: `hub` finds them, and only safetensors are read.
"""

from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn

from stages.backbones import devices, fingerprint, packaged_weights, state_dicts, timm_models
from stages.backbones.encoder import WEIGHTS_FILE, read_weights
from stages.backbones.image import ImageEncoder
from stages.backbones.timm_models import TimmModel
from stages.common.errors import HeadstartError, one_line
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams


class Transform:
    """The preprocessing that timm makes for a model, and the file that describes both."""

    def __init__(self, model: TimmModel, name: str) -> None:
        self.model = model
        config = model.config
        self.size = config.input_size[1]
        values = config.model_dump(include={"input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode"})
        try:
            self._whole = create_transform(**values)
            self._cropped = create_transform(**{**values, "crop_pct": 1.0, "crop_mode": "center"})
            self(Image.new("RGB", (640, 480)))
        except Exception as error:
            raise HeadstartError(f"the preprocessing of {name} does not work ({one_line(error)})") from None

    def __call__(self, picture: Image.Image) -> Tensor:
        """Resize, crop and normalise: (3, size, size) float32."""
        return self._whole(picture)  # type: ignore[no-any-return]

    def normalized(self, picture: Image.Image) -> Tensor:
        """Normalise a picture of size x size pixels: (3, size, size) float32."""
        return self._cropped(picture)  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        """Write architecture and preprocessing as timm's config.json."""
        timm_models.write(self.model, folder)


def load(spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams) -> ImageEncoder:
    """Load a model without its classifier, in float32, on the device of `runtime`.

    Raises:
        HeadstartError: the name is unknown, weights are missing, pickled or do not fit, or the model cannot take the
            image size.
    """
    model = timm_models.find(spec.name, spec.revision)
    if settings.image_size:
        model = model.resized(settings.image_size)
    _, height, width = model.config.input_size
    if height != width:
        raise HeadstartError(
            f"{spec.name} is for images of {width} x {height} pixels, but images are encoded as squares; set"
            " extract.image_size, or use another model"
        )
    body = _built(model, spec.name)
    if spec.weights != "random":
        state, file = _weights(spec, model)
        _load_state(body, state, model, file=file)
    digest = fingerprint.from_parts(
        family=spec.family,
        model=model.describe(),
        weights=state_dicts.digest(body.state_dict()),
        normalize=settings.is_normalized,
        dtype=settings.dtype,
    )
    return _encoder(body, model, settings, runtime, name=spec.name, digest=digest)


def load_finetuned(folder: Path, settings: ExtractParams, runtime: RuntimeParams) -> ImageEncoder:
    """Load the encoder that `ImageEncoder.export` wrote."""
    model = timm_models.read(folder, str(folder))
    body = _built(model, str(folder))
    state_dicts.load(body, read_weights(folder / WEIGHTS_FILE), file=str(folder / WEIGHTS_FILE))
    return _encoder(body, model, settings, runtime, name=str(folder), digest="")


def _encoder(
    body: nn.Module, model: TimmModel, settings: ExtractParams, runtime: RuntimeParams, *, name: str, digest: str
) -> ImageEncoder:
    def run(body: Any, pixels: Tensor) -> Tensor:
        vectors = body(pixels)
        if not isinstance(vectors, Tensor) or vectors.ndim != 2:
            raise HeadstartError(
                f"{name} does not pool its features to one vector per image; use another model of timm"
            )
        return vectors

    encoder = ImageEncoder(body, Transform(model, name), settings, run=run, fingerprint=digest, name=name)
    return encoder.to(devices.choose(runtime)).eval()


def _built(model: TimmModel, name: str, num_classes: int = 0) -> nn.Module:
    """Build the network with random weights, the same in every run.

    Raises:
        HeadstartError: timm refuses the settings of the model.
    """
    size = model.config.input_size[1]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body: nn.Module = timm.create_model(
                model.architecture,
                pretrained_cfg=model.config.model_dump(),
                num_classes=num_classes,
                **model.args,
            )
    except Exception as error:  # architectures raise errors of many types
        raise HeadstartError(
            f"{name} cannot be built by timm for images of {size} x {size} pixels ({one_line(error)});"
            " change extract.image_size, or use another model"
        ) from None
    return body


def _weights(spec: BackboneParams, model: TimmModel) -> tuple[dict[str, Tensor], str]:
    """Return the state dict that `backbone.weights` names, and the name of its file."""
    if spec.weights != "pretrained":
        return read_weights(Path(spec.weights)), spec.weights
    if spec.name in packaged_weights.PACKAGES:
        layout = partial(_layout, model, spec.name)
        return packaged_weights.load(spec.name, layout), spec.name
    path = timm_models.weights_file(model, spec.name, spec.revision)
    return read_weights(path), str(path)


def _layout(model: TimmModel, name: str) -> dict[str, Tensor]:
    """Return a state dict of the network with its classifier for ImageNet."""
    return _built(model, name, num_classes=1000).state_dict()


def _load_state(body: nn.Module, state: dict[str, Tensor], model: TimmModel, *, file: str) -> None:
    """Load a state dict, strictly except for classifiers. Raises the errors of `state_dicts.load`."""
    fitting = _without_classifier(body, state, model)
    convert = timm_models.converter(model.architecture)
    if convert and state_dicts.misfit(body, fitting):
        # Weights from before timm renamed layers, in the format of those who trained them, or of another image size.
        try:
            fitting = _without_classifier(body, convert(state, body), model)
        except Exception as error:
            raise HeadstartError(
                f"{file} does not fit backbone.name ({one_line(error)}); use weights of the same model"
            ) from None
    state_dicts.load(body, fitting, file=file)


def _without_classifier(body: nn.Module, state: dict[str, Tensor], model: TimmModel) -> dict[str, Tensor]:
    """Drop the tensors of classifiers: of layers that timm calls so, and of layers that are the identity in `body`."""
    named = model.config.classifier or ()
    identities = [name for name, module in body.named_modules() if isinstance(module, nn.Identity)]
    left_out = tuple(f"{layer}." for layer in [*((named,) if isinstance(named, str) else named), *identities])
    return {name: tensor for name, tensor in state.items() if not name.startswith(left_out)}
