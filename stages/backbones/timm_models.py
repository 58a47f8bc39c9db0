"""Find a model of timm by its name: its architecture, its preprocessing and the file of its weights."""

import inspect
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import timm
from pydantic import ConfigDict, Field
from timm.models import PretrainedCfg, get_pretrained_cfg, model_entrypoint

from stages.backbones import hub, model_files
from stages.backbones.encoder import WEIGHTS_FILE
from stages.backbones.packaged_weights import PACKAGES
from stages.common import json_file
from stages.common.errors import HeadstartError, did_you_mean
from stages.common.section import SHORT_REPR, Section, validate
from stages.common.setting_types import Number, Positive

CONFIG_FILE = "config.json"
HUB_PREFIX = re.compile("hf[-_]hub:")
# Arguments of timm that are no settings of a network: they load weights, or make it something else than an encoder.
FOREIGN_ARGS = {*inspect.signature(timm.create_model).parameters, "pretrained_model_args", "features_only"}

Side = Annotated[int, Field(ge=1, le=10_000)]


class Config(Section):
    """What of timm's configuration of pretrained weights decides a vector."""

    model_config = ConfigDict(extra="ignore")

    # Not strict: JSON has lists for tuples.
    input_size: Annotated[tuple[Literal[3], Side, Side], Field(strict=False)] = (3, 224, 224)
    fixed_input_size: bool = False
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] = "bicubic"
    crop_pct: Annotated[Number, Field(ge=0.1, le=2)] = 0.875
    crop_mode: Literal["center", "squash", "border"] = "center"
    mean: Annotated[tuple[Number, Number, Number], Field(strict=False)] = (0.485, 0.456, 0.406)
    std: Annotated[tuple[Positive, Positive, Positive], Field(strict=False)] = (0.229, 0.224, 0.225)
    classifier: str | Annotated[tuple[str, ...], Field(strict=False)] | None = None


@dataclass(frozen=True)
class TimmModel:
    """A network of timm and its preprocessing."""

    architecture: str
    config: Config
    args: dict[str, Any] = field(default_factory=dict)  # of the network's constructor
    folder: Path | None = None  # that holds the weights
    hub_name: str | None = None  # of the weights, if they are in no folder

    def resized(self, size: int) -> "TimmModel":
        """Return the model for images of size x size pixels; what is resized before the crop scales in proportion."""
        args = {**self.args, "img_size": size} if "img_size" in self.args else self.args
        return replace(self, config=self.config.model_copy(update={"input_size": (3, size, size)}), args=args)

    def describe(self) -> dict[str, Any]:
        """Return all of the model but its weights, in the format of timm's config.json."""
        return {
            "architecture": self.architecture,
            "num_classes": 0,
            "model_args": self.args,
            "pretrained_cfg": self.config.model_dump(exclude={"classifier"}),
        }


def find(name: str, revision: str | None) -> TimmModel:
    """Find a model by the `backbone.name` of a user: a folder, a name on the hub, or one of timm's names.

    Raises:
        HeadstartError: timm does not know the name, or see `hub.resolve` and `read`.
    """
    if HUB_PREFIX.match(name) or "/" in name or Path(name).is_dir():
        return read(_folder(HUB_PREFIX.sub("", name), revision), name)
    if name in PACKAGES:
        architecture = PACKAGES[name].architecture
        return TimmModel(architecture, _registered(architecture)[0])
    config, hub_name = _registered(name)
    return TimmModel(name.partition(".")[0], config, hub_name=hub_name)


def read(folder: Path, name: str) -> TimmModel:
    """Read a folder in the format of timm's models on the hub.

    Raises:
        HeadstartError: its config.json is missing, is no model of timm, or holds a value that is not allowed.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise HeadstartError(f"{folder} holds no {CONFIG_FILE}; backbone.name must be a folder in the format of timm")
    model_files.check(folder)
    content = model_files.read_json(path)
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise HeadstartError(
            f"{path} names the architecture {architecture!r}, which timm does not have; set backbone.family to"
            f" transformers if {name} is a model of that library"
        )
    args = content.get("model_args") or {}
    if not isinstance(args, dict) or FOREIGN_ARGS & args.keys():
        raise HeadstartError(
            f"{path} sets model_args to {SHORT_REPR.repr(args)}, but these must be settings of the network alone;"
            " delete the others"
        )
    args = {key: value for key, value in args.items() if key != "num_classes"}
    # Older files have no pretrained_cfg, but its keys beside the architecture.
    config = _config(content.get("pretrained_cfg", content), str(path))
    return TimmModel(architecture.partition(".")[0], config, args, folder=folder)


def write(model: TimmModel, folder: Path) -> None:
    """Write config.json, which timm reads as well, for `read`."""
    json_file.write(folder / CONFIG_FILE, model.describe())


def weights_file(model: TimmModel, name: str, revision: str | None) -> Path:
    """Return the safetensors file of the pretrained weights; download it if it is not on this machine.

    Raises:
        HeadstartError: there is none, or see `hub.resolve`.
    """
    folder = model.folder
    if folder is None:
        if model.hub_name is None:
            raise HeadstartError(
                f"timm has no weights of {name} on the hub; set backbone.weights to a .safetensors file or to random,"
                " or use another model"
            )
        folder = _folder(model.hub_name, revision)
    files = hub.weight_files(folder)
    return folder / WEIGHTS_FILE if folder / WEIGHTS_FILE in files else files[0]


def _folder(name: str, revision: str | None) -> Path:
    """Find a model's folder, here or on the hub. Raises the errors of `hub.resolve`."""
    try:
        return hub.resolve(name, revision, (CONFIG_FILE, WEIGHTS_FILE))[0]
    except HeadstartError as error:
        raise HeadstartError(f"{error}; {', '.join(PACKAGES)} needs no hub") from None


def converter(architecture: str) -> Callable[[Any, Any], Any] | None:
    """Return timm's function from (state dict of another format, network) to a state dict, if it has one."""
    module = sys.modules[model_entrypoint(architecture).__module__]
    return getattr(module, "checkpoint_filter_fn", None)


def _registered(name: str) -> tuple[Config, str | None]:
    """Return configuration and hub name of a model that timm knows."""
    cfg = None
    with suppress(RuntimeError):  # the architecture has no weights of this tag
        cfg = (get_pretrained_cfg(name) or PretrainedCfg()) if timm.is_model(name) else None
    if cfg is None:
        names = [*timm.list_models(), *timm.list_models(pretrained=True), *PACKAGES]
        hint = did_you_mean(name, names) or "; resnet50 and tf_efficientnet_lite0.pypi are two of them"
        raise HeadstartError(f"backbone.name is {name!r}, which is not a model of timm{hint}")
    return _config(asdict(cfg), f"timm's {name}"), cfg.hf_hub_id


def _config(values: object, file: str) -> Config:
    """Check a configuration of pretrained weights; a key that is null is as good as none."""
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if value is not None}
    return validate(Config, values, file=file)
