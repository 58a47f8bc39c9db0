"""Ways to harm a model, shared by the tests of backbones and of heads."""

import json
import os
import struct
from pathlib import Path
from typing import Any


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


class Harm:
    """A pickle that runs a command when it is read."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def endless_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])
