"""One raw row, the columns it is made of, and the splits that names tell."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import HeadstartError


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row. `problem` says why it cannot be used; `content` is empty then."""

    origin: str  # file and line, or the file of an image
    content: str | bytes  # text, or the encoded bytes of an image
    name: str | None = None  # of an image file, as the source has it
    label: str | None = None
    group: str | None = None
    slice: str | None = None
    split: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns to read; `input` and `label` hold content and class. Without `label`, none is looked for."""

    input: str
    label: str | None = None
    group: str | None = None
    slice: str | None = None
    split: str | None = None

    def names(self) -> list[str]:
        return [name for name in (self.input, self.label, self.group, self.slice, self.split) if name is not None]


SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


def by_split(named: Iterable[tuple[str, Path]], without_train: str) -> dict[Path, str | None]:
    """Each path with its split, training rows first; `without_train` is the error where they are missing."""
    found: dict[str, Path] = {}
    for split, path in named:
        if split in found:
            raise HeadstartError(f"{found[split]} and {path} both hold the {split} split; keep one of them")
        found[split] = path
    if "train" not in found:
        raise HeadstartError(without_train)
    return {found[split]: split for split in ("train", "validation", "test") if split in found}
