"""The section `backbone` in its forms: one backbone, a list of several, and short forms of either.

`tfidf:word`, or the mapping `tfidf: word`; `family:name@revision` names a commit of the hub's model. A list can also be
written as one text, `tfidf:word + tfidf:char_wb`, which `dvc exp run -S` can put in the place of a section.
"""

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from stages.common.errors import did_you_mean, listed

if TYPE_CHECKING:
    from stages.common.params import BackboneParams, Backbones

FAMILIES = ("transformers", "torchvision", "timm", "tfidf", "pixels")
JOINT = " + "  # between the short forms of backbones whose vectors are joined
IS_JOINT = re.compile(rf"\s+\+\s+|\s*\+\s*(?=(?:{'|'.join(FAMILIES)})\s*:)")  # also without spaces
HUB_FAMILIES = ("transformers", "timm")  # whose models have revisions


def expanded(value: object) -> object:
    """Turn a short form into a mapping of family, name and, where it is there, revision; leave longer mappings.

    Raises:
        ValueError: a text is not `family:name`, or the value is neither text nor mapping.
    """
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), str):
        family, name = next(iter(value.items()))
        return value if family in ("family", "name") else _section(str(family), name)
    if isinstance(value, str):
        family, _, name = value.partition(":")
        return _section(family.strip(), name.strip())
    if not isinstance(value, dict | BaseModel):
        raise ValueError("must be family:name, or a mapping of family and name as in the section backbone")
    return value


def listed_ones(value: object) -> object:
    """Turn one backbone, or a list of them, into a tuple."""
    if isinstance(value, str | dict):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def entry(value: object) -> object:
    """Expand the short form of a backbone as `expanded` does, or of several: `tfidf:word + tfidf:char_wb` is a list."""
    if isinstance(value, str) and IS_JOINT.search(value):
        return IS_JOINT.split(value)
    return value if isinstance(value, list | tuple) else expanded(value)


def checked(several: "tuple[BackboneParams, ...]") -> "Backbones":
    """Return several backbones; one of them alone is no list.

    Raises:
        ValueError: there is none, or one of them comes twice.
    """
    if not several:
        raise ValueError("is an empty list; name a backbone")
    seen = set()
    for spec in several:
        identity = spec if spec.family in HUB_FAMILIES else spec.model_copy(update={"revision": None})
        if identity in seen:
            raise ValueError(f"names {_shortened(spec)} twice; name it once")
        seen.add(identity)
    return several if len(several) > 1 else several[0]


def members(backbones: "Backbones") -> "tuple[BackboneParams, ...]":
    """Return the backbones whose vectors are joined; a single one is a tuple of one."""
    return backbones if isinstance(backbones, tuple) else (backbones,)


def shortened(backbones: "Backbones") -> str:
    """Write `family:name`, and weights that are not those of the name, as tables show a backbone; several with +."""
    return JOINT.join(map(_shortened, members(backbones)))


def titled(backbones: "Backbones") -> str:
    """Name a backbone as sentences do: by its name alone, or several as `shortened` does."""
    return shortened(backbones) if isinstance(backbones, tuple) else backbones.name


def _shortened(spec: "BackboneParams") -> str:
    return f"{spec.family}:{spec.name}" + ("" if spec.weights == "pretrained" else f" ({spec.weights})")


def _section(family: str, name: str) -> dict[str, Any]:
    if family not in FAMILIES:
        hint = did_you_mean(family, FAMILIES) or f"; known: {listed(FAMILIES)}"
        raise ValueError(f"{family!r} is not a family of backbones{hint}")
    name, _, revision = (part.strip() for part in name.partition("@"))
    if not name:
        raise ValueError(f"names no backbone of family {family}; write it as {family}:NAME")
    return {"family": family, "name": name} | ({"revision": revision} if revision else {})
