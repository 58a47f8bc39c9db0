"""The device that a network runs on, and its type where that can be told without torch."""

import os
import platform
import re
import sys
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.errors import HeadstartError
from stages.common.params import RuntimeParams

if TYPE_CHECKING:
    import torch

DEVICES = Path("/dev")
# What a build of torch supports, by the name in its version.py, and the files by which Linux shows such a device.
DEVICE_FILES = {"cuda": ("nvidia*", "dxg"), "hip": ("kfd", "dxg"), "xpu": ("dri/renderD*", "dxg")}


def choose(runtime: RuntimeParams) -> "torch.device":
    """Return the device of `runtime.device`; for `auto` an accelerator if there is one, a different one per process.

    Raises:
        HeadstartError: the machine does not have the device.
    """
    import torch

    if runtime.device == "auto":
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        rank = os.environ.get("LOCAL_RANK")  # number of a process that `accelerate launch` started on this machine
        return device if rank is None or device.type == "cpu" else torch.device(device.type, int(rank))
    device = torch.device(runtime.device)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise HeadstartError(
            f"runtime.device is {runtime.device!r}, which this machine does not have; use auto or cpu"
        ) from None
    return device


def chosen_type(runtime: RuntimeParams) -> str:
    """Return the type of the device that `choose` returns; imports torch only where the machine may have several.

    Raises:
        HeadstartError: the machine does not have the device.
    """
    is_cpu = runtime.device == "cpu" or (runtime.device == "auto" and not _may_have_accelerator())
    return "cpu" if is_cpu else choose(runtime).type


def _may_have_accelerator() -> bool:
    """Tell whether torch may have an accelerator: by the build of torch, and on Linux by the files of devices."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if metadata.entry_points(group="torch.backends"):  # accelerators that other packages add to torch
        return True
    kinds = [kind for kind in DEVICE_FILES if not re.search(rf"^{kind}\b[^=\n]*= None$", _version(), re.MULTILINE)]
    if sys.platform != "linux":
        return bool(kinds)
    return any(any(DEVICES.glob(pattern)) for kind in kinds for pattern in DEVICE_FILES[kind])


def _version() -> str:
    """Read torch's version.py, which tells what the build supports; empty if it cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        return (_torch_folder() / "version.py").read_text("utf-8")
    return ""


def _torch_folder() -> Path:
    spec = util.find_spec("torch")
    return Path(spec.origin if spec and spec.origin else "-").parent
