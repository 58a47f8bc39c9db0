"""Checkpoints of a training run, outside of what DVC tracks: a run that was killed goes on from the last whole one."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from stages.common import cache_folder, locks

KEEP_DAYS = 30  # a run that was not taken up again
PROGRESS_FILE = "progress.json"  # written last: a checkpoint without it is not whole
TENSORS_FILE = "progress.safetensors"


@contextmanager
def folder(key: str) -> Iterator[Path]:
    """The folder of the run `key`, a hash of all that decides it; deleted when the block ends without an error.

    While another command trains the same run, a temporary one.
    """
    runs = cache_folder.folder("checkpoints")
    run = runs / key
    run.mkdir(parents=True, exist_ok=True)
    if not is_main():  # the first process of the command has the lock
        yield run
        return
    _forget(runs)
    with locks.held(run) as is_ours:
        if is_ours:
            yield run
            shutil.rmtree(run, ignore_errors=True)  # Windows keeps what is still mapped, which `_forget` deletes later
        else:
            with tempfile.TemporaryDirectory(prefix="headstart-", ignore_cleanup_errors=True) as own:
                yield Path(own)


def is_main() -> bool:
    """Whether this is the process that writes, of those that `accelerate launch` started; true without it."""
    return os.environ.get("RANK", "0") == "0"


def latest(run: Path) -> Path | None:
    """The last whole checkpoint in the folder of a run."""
    whole = [path.parent for path in run.glob(f"checkpoint-*/{PROGRESS_FILE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def write_progress(checkpoint: Path, progress: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Add what the trainer does not keep, and make the checkpoint whole."""
    safetensors.torch.save_file(tensors, checkpoint / TENSORS_FILE)
    temporary = checkpoint / f"{PROGRESS_FILE}.tmp"
    temporary.write_text(json.dumps(progress), "utf-8", newline="\n")
    temporary.replace(checkpoint / PROGRESS_FILE)


def read_progress(checkpoint: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write_progress` wrote."""
    progress = json.loads((checkpoint / PROGRESS_FILE).read_text("utf-8"))
    return progress, safetensors.torch.load_file(checkpoint / TENSORS_FILE)


def _forget(runs: Path) -> None:
    for run in runs.iterdir():
        with suppress(OSError):  # another process was faster
            if time.time() - run.stat().st_mtime > KEEP_DAYS * 86_400:
                shutil.rmtree(run)
