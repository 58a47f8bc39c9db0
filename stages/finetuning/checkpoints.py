"""Checkpoints of a training run, in the cache folder, outside of what DVC tracks. A killed run resumes from the newest.

A checkpoint is one safetensors file: tensors in named groups, and everything else as JSON in its metadata. It holds no
pickle, so reading one never runs code. It has its final name only once it is on the disk.
"""

import json
import os
import shutil
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from stages.common import cache_cleaning, cache_folder, locks
from stages.common.errors import HeadstartError, one_line

KEEP_DAYS = 30  # for a run that nobody resumes
KEEP_CHECKPOINTS = 2  # the older one stands in for a damaged newer one


class Checkpoint(NamedTuple):
    """The state of a run after a step: tensors by group and name, and the rest as what JSON can hold."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


@contextmanager
def folder(key: str) -> Iterator[Path]:
    """Yield the folder of the run `key`, a hash of all that decides its result; delete it if the block succeeds.

    If another command is training the same run, yield a temporary folder instead.
    """
    runs = cache_folder.folder("checkpoints")
    run = runs / key
    run.mkdir(parents=True, exist_ok=True)
    if not is_main():  # the command's first process has the lock
        yield run
        return
    cache_cleaning.delete("checkpoints", unused_days=KEEP_DAYS)
    with locks.held(run) as is_ours:
        if is_ours:
            yield run
            shutil.rmtree(run, ignore_errors=True)  # a failure here must not cost the training
        else:
            with tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as own:
                yield Path(own)


def is_main() -> bool:
    """Tell whether this process writes the outputs: the first one of `accelerate launch`, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def steps(run: Path) -> list[int]:
    """List the steps that have a checkpoint in the folder of a run, oldest first."""
    return sorted(int(path.stem.removeprefix("step-")) for path in run.glob("step-*.safetensors"))


def write(run: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write the checkpoint after `step`, flush it to the disk, and delete all but the newest two.

    Raises:
        HeadstartError: it cannot be written, since the disk is full, for example.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, members in checkpoint.tensors.items()
        for name, tensor in members.items()
    }
    text = json.dumps(checkpoint.state)
    metadata = {"state": text, "checksum": str(_checksum(text, tensors))}
    path = _path(run, step)
    temporary = path.with_suffix(".tmp")  # if the run is killed here, it writes the same file again
    try:
        safetensors.torch.save_file(tensors, temporary, metadata)
        _flush(temporary)
        temporary.replace(path)
        if os.name == "posix":  # Windows cannot flush a folder
            _flush(run)
    except (safetensors.SafetensorError, OSError) as error:
        raise HeadstartError(
            f"the checkpoint {path} cannot be written ({one_line(error)}); free space there, set HEADSTART_CACHE to"
            " another folder, or set runtime.checkpoint_steps to null"
        ) from None
    for old in steps(run)[:-KEEP_CHECKPOINTS]:
        _path(run, old).unlink()


def read_newest(run: Path) -> Checkpoint | None:
    """Read the newest undamaged checkpoint of a run; None if there is none. Report and delete damaged ones."""
    written = steps(run)
    for step in reversed(written):
        path = _path(run, step)
        try:
            return _read(path)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
            if is_main():
                print(f"finetune: ignored the damaged checkpoint {path} ({one_line(error)})", file=sys.stderr)
                path.unlink(missing_ok=True)
    if written and is_main():
        print("finetune: no undamaged checkpoint is left, so training starts anew", file=sys.stderr)
    return None


def _read(path: Path) -> Checkpoint:
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name).clone() for name in file.offset_keys()}
    if metadata["checksum"] != str(_checksum(metadata["state"], tensors)):
        raise ValueError("its checksum differs")
    groups: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = tensor
    return Checkpoint(groups, json.loads(metadata["state"]))


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    """Return the CRC-32 of the JSON and of all tensors in order of their names."""
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum


def _path(run: Path, step: int) -> Path:
    return run / f"step-{step}.safetensors"


def _flush(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
