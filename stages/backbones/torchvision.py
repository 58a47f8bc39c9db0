"""All classification models of torchvision, by name: VGG, ResNet, ConvNeXt, Swin, ….

The vector is the input of the final classifier layer: for VGG and AlexNet the output of the penultimate fully
connected layer; for SqueezeNet, whose classifier is a convolution, the pooled feature map; for most others the pooled
last stage (Donahue et al. 2014, DeCAF; Kornblith et al. 2019, Do Better ImageNet Models Transfer Better?).
"""

import json
import socket
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from stages.backbones import devices, fingerprint, state_dicts
from stages.backbones.encoder import WEIGHTS_FILE, read_weights
from stages.backbones.image import ImageEncoder
from stages.common import json_file
from stages.common.errors import HeadstartError, damaged, did_you_mean, one_line
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams

PREPROCESSING_FILE = "preprocessing.json"
# Additional classifiers, which only help training from scratch; torchvision drops them with pretrained weights, too.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
DOWNLOAD_TIMEOUT_SECONDS = 10.0


class Preset:
    """The preprocessing of torchvision's weights, as plain values."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.size: int = values["crop_size"]
        self._whole = self._transforms(values["resize_size"])
        self._cropped = self._transforms(self.size)

    @classmethod
    def from_weights(cls, weights: Any, image_size: int | None) -> "Preset":
        """Return the preset of a weights entry; for another `image_size`, the resized side scales in proportion."""
        preset = weights.transforms()
        crop, resize = preset.crop_size[0], preset.resize_size[0]
        size = image_size or crop
        return cls(
            crop_size=size,
            resize_size=round(size * resize / crop),
            mean=preset.mean,
            std=preset.std,
            interpolation=preset.interpolation.value,
            antialias=preset.antialias,
        )

    @classmethod
    def load(cls, folder: Path) -> "Preset":
        """Read a preset that `save` wrote.

        Raises:
            HeadstartError: the file is missing or damaged.
        """
        try:
            return cls(**json.loads((folder / PREPROCESSING_FILE).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damaged(folder / PREPROCESSING_FILE, error) from None

    def save(self, folder: Path) -> None:
        """Write the values as JSON."""
        json_file.write(folder / PREPROCESSING_FILE, self.values)

    def __call__(self, picture: Image.Image) -> Tensor:
        """Resize, crop and normalise: (3, size, size) float32."""
        return self._whole(picture)  # type: ignore[no-any-return]

    def normalized(self, picture: Image.Image) -> Tensor:
        """Normalise a picture of size x size pixels: (3, size, size) float32."""
        return self._cropped(picture)  # type: ignore[no-any-return]

    def _transforms(self, resize_size: int) -> ImageClassification:
        interpolation = InterpolationMode(self.values["interpolation"])
        return ImageClassification(**{**self.values, "resize_size": resize_size, "interpolation": interpolation})


def load(spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams) -> ImageEncoder:
    """Load a model without its final layer, in float32, on the device of `runtime`.

    Raises:
        HeadstartError: the name is unknown, weights do not fit or cannot be downloaded, or the model cannot take the
            image size.
    """
    weights = _weights(spec.name)
    preset = Preset.from_weights(weights, settings.image_size)
    if spec.weights == "pretrained":
        body, _ = without_classifier(_pretrained(spec.name, weights))
    elif spec.weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body, _ = without_classifier(_architecture(spec.name, preset.size))
    else:
        body, final = without_classifier(_architecture(spec.name, preset.size))
        _load_state(body, read_weights(Path(spec.weights)), final, file=spec.weights)
    digest = fingerprint.from_parts(
        family=spec.family,
        name=spec.name,
        weights=state_dicts.digest(body.state_dict()),
        preprocessing=preset.values,
        normalize=settings.is_normalized,
        dtype=settings.dtype,
    )
    return ImageEncoder(body, preset, settings, fingerprint=digest, name=spec.name).to(devices.choose(runtime)).eval()


def load_finetuned(folder: Path, name: str, settings: ExtractParams, runtime: RuntimeParams) -> ImageEncoder:
    """Load the encoder that `ImageEncoder.export` wrote."""
    preset = Preset.load(folder)
    body, final = without_classifier(_architecture(name, preset.size))
    _load_state(body, read_weights(folder / WEIGHTS_FILE), final, file=str(folder / WEIGHTS_FILE))
    return ImageEncoder(body, preset, settings, name=name).to(devices.choose(runtime)).eval()


def without_classifier(model: nn.Module) -> tuple[nn.Module, str]:
    """Replace the final classifier layer by the identity.

    That layer is the last linear or convolutional one with an output for every class of ImageNet. This rule needs no
    knowledge of the architecture, so models that torchvision adds work too.

    Returns:
        The model, and the name of the replaced layer.
    """
    layers = [
        name
        for name, module in model.named_modules()
        if (isinstance(module, nn.Linear) and module.out_features == 1000)
        or (isinstance(module, nn.Conv2d) and module.out_channels == 1000)
    ]
    parent, _, child = layers[-1].rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return model, layers[-1]


def _weights(name: str) -> Any:
    """Return the model's DEFAULT weights entry, which includes its preprocessing."""
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        hint = did_you_mean(name, names) or "; resnet18 and vgg16 are two of them"
        raise HeadstartError(f"backbone.name is {name!r}, which is not a classification model of torchvision{hint}")
    return torchvision.models.get_model_weights(name).DEFAULT


def _architecture(name: str, size: int) -> nn.Module:
    """Build the model with random weights, in the variant that its pretrained weights need."""
    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options["image_size"] = size
    elif name.startswith("maxvit_"):
        options["input_size"] = (size, size)
    elif name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "transform_input": True, "init_weights": True}
    try:
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise HeadstartError(
            f"{name} cannot be built for images of {size} x {size} pixels ({one_line(error)});"
            " change extract.image_size"
        ) from None
    return model


def _pretrained(name: str, weights: Any) -> nn.Module:
    """Load the model with its DEFAULT weights, from torchvision's cache (TORCH_HOME) or its server."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    target = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        # First with weights_only, which refuses a file that holds more than tensors; torchvision itself allows it.
        weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        model: nn.Module = torchvision.models.get_model(name, weights=weights, progress=False)
    except OSError as error:
        raise HeadstartError(
            f"the weights of {name} are not on this machine and cannot be downloaded"
            f" ({getattr(error, 'reason', error)}); on a machine with a network download {weights.url},"
            f" and copy it to {target}"
        ) from None
    except Exception as error:  # a damaged or foreign file raises errors of many types
        raise HeadstartError(f"{target} is not the weight file of {name} ({one_line(error)}); delete it") from None
    finally:
        socket.setdefaulttimeout(timeout)
    return model


def _load_state(body: nn.Module, state: dict[str, Tensor], final: str, *, file: str) -> None:
    """Load a state dict, strictly except for classifiers. Raises the errors of `state_dicts.load`.

    Args:
        final: name of the layer that `without_classifier` replaced.
        file: names the weights in the error.
    """
    left_out = (f"{final}.", *AUXILIARY)
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(left_out)}
    state_dicts.load(body, kept, file=file)
