"""Every classification model of torchvision, by its name: VGG, ResNet, ConvNeXt, Swin, ….

The vector is what goes into the final classifier layer: for VGG and AlexNet the output of the penultimate fully
connected layer, for SqueezeNet, whose classifier is a convolution, the pooled feature map, for most others the pooled
last stage (Donahue et al. 2014, DeCAF; Kornblith et al. 2019, Do Better ImageNet Models Transfer Better?).
"""

import hashlib
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

from stages.backbones import fingerprint
from stages.backbones.encoder import WEIGHTS_FILE, device, read_weights
from stages.backbones.image import ImageEncoder
from stages.common.errors import HeadstartError, damaged, did_you_mean, listed, one_line
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams

PREPROCESSING_FILE = "preprocessing.json"
# Second classifiers that help training from scratch; torchvision drops them with pretrained weights, too.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
TIMEOUT_SECONDS = 10.0


class Preset:
    """The preprocessing that comes with torchvision's weights, as plain values."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.size: int = values["crop_size"]
        self._whole = self._transforms(values["resize_size"])
        self._cropped = self._transforms(self.size)

    @classmethod
    def of(cls, weights: Any, image_size: int | None) -> "Preset":
        """That of a weights entry; another size scales the short side in proportion."""
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
        """Read what `save` wrote."""
        try:
            return cls(**json.loads((folder / PREPROCESSING_FILE).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damaged(folder / PREPROCESSING_FILE, error) from None

    def save(self, folder: Path) -> None:
        (folder / PREPROCESSING_FILE).write_text(json.dumps(self.values, indent=2) + "\n", "utf-8")

    def __call__(self, picture: Image.Image) -> Tensor:
        return self._whole(picture)  # type: ignore[no-any-return]

    def normalized(self, picture: Image.Image) -> Tensor:
        return self._cropped(picture)  # type: ignore[no-any-return]

    def _transforms(self, resize_size: int) -> ImageClassification:
        interpolation = InterpolationMode(self.values["interpolation"])
        return ImageClassification(**{**self.values, "resize_size": resize_size, "interpolation": interpolation})


def load(spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams) -> ImageEncoder:
    """Load a model without its final layer, in float32, on the device of `runtime`.

    Raises:
        HeadstartError: unknown name, weights that do not fit or cannot be had, or an image size that it cannot take.
    """
    weights = _weights(spec.name)
    preset = Preset.of(weights, settings.image_size)
    if spec.weights == "pretrained":
        body, _ = without_classifier(_pretrained(spec.name, weights))
    elif spec.weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body, _ = without_classifier(_architecture(spec.name, preset.size))
    else:
        body, final = without_classifier(_architecture(spec.name, preset.size))
        _fill(body, read_weights(Path(spec.weights)), final, spec.weights)
    digest = fingerprint.from_parts(
        family=spec.family,
        name=spec.name,
        weights=_digest(body),
        preprocessing=preset.values,
        normalize=settings.normalize,
        dtype=settings.dtype,
    )
    return ImageEncoder(body, preset, settings, fingerprint=digest, name=spec.name).to(device(runtime)).eval()


def load_finetuned(folder: Path, name: str, settings: ExtractParams, runtime: RuntimeParams) -> ImageEncoder:
    """Load what `ImageEncoder.export` wrote."""
    preset = Preset.load(folder)
    body, final = without_classifier(_architecture(name, preset.size))
    _fill(body, read_weights(folder / WEIGHTS_FILE), final, str(folder / WEIGHTS_FILE))
    return ImageEncoder(body, preset, settings, name=name).to(device(runtime)).eval()


def without_classifier(model: nn.Module) -> tuple[nn.Module, str]:
    """Put the identity in the place of the final classifier layer.

    That layer is the last linear or convolutional one with one output per class of ImageNet, which needs no knowledge
    of the architecture: a model that torchvision adds works too.

    Returns:
        The model, and the name that the layer had.
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
    """The model's DEFAULT weights, which also tell its preprocessing."""
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        hint = did_you_mean(name, names) or "; resnet18 and vgg16 are two of them"
        raise HeadstartError(f"backbone.name is {name!r}, which is no classification model of torchvision{hint}")
    return torchvision.models.get_model_weights(name).DEFAULT


def _architecture(name: str, size: int) -> nn.Module:
    """The model with random weights, built as its pretrained weights need it."""
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
            f"{name} cannot be built for images of {size} x {size} pixels ({error}); change extract.image_size"
        ) from None
    return model


def _pretrained(name: str, weights: Any) -> nn.Module:
    """The model with its DEFAULT weights, from torchvision's cache (TORCH_HOME) or its server."""
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    target = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        # Once with weights_only, which refuses a file that holds more than tensors, before torchvision reads it.
        weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        model: nn.Module = torchvision.models.get_model(name, weights=weights, progress=False)
    except OSError as error:
        raise HeadstartError(
            f"the weights of {name} are not on this machine and cannot be downloaded"
            f" ({getattr(error, 'reason', error)}); on a machine with a network download {weights.url},"
            f" and copy it to {target}"
        ) from None
    except Exception as error:  # whatever a damaged or foreign file makes of unpickling
        raise HeadstartError(f"{target} is not the weight file of {name} ({one_line(error)}); delete it") from None
    finally:
        socket.setdefaulttimeout(patience)
    return model


def _fill(body: nn.Module, state: dict[str, Tensor], final: str, source: str) -> None:
    """Load a state dict, strictly but for the layers that were left out."""
    left_out = (f"{final}.", *AUXILIARY)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(left_out)}
    wanted = body.state_dict()
    problems = {
        "lacks": sorted(wanted.keys() - state.keys()),
        "has unexpected": sorted(state.keys() - wanted.keys()),
        "has another shape for": sorted(
            name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape
        ),
    }
    if any(problems.values()):
        told = " and ".join(f"{problem} {listed(names, limit=5)}" for problem, names in problems.items() if names)
        raise HeadstartError(f"{source} does not fit backbone.name: it {told}; use weights of the same model")
    body.load_state_dict(state)


def _digest(body: nn.Module) -> str:
    """SHA-256 over names and bytes of all tensors: the same weights have one digest, whatever file they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(body.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
