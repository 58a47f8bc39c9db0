"""Short forms of the section `backbone`, for lists of backbones in params.yaml.

`tfidf:word`, or the mapping `tfidf: word`; `family:name@revision` names a commit of the hub's model.
"""

from typing import Any

from pydantic import BaseModel

from stages.common.errors import did_you_mean, listed

FAMILIES = ("transformers", "torchvision", "timm", "tfidf", "pixels")


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


def shortened(family: str, name: str, weights: str) -> str:
    """Write `family:name`, and weights that are not those of the name, as tables show a backbone."""
    return f"{family}:{name}" + ("" if weights == "pretrained" else f" ({weights})")


def _section(family: str, name: str) -> dict[str, Any]:
    if family not in FAMILIES:
        hint = did_you_mean(family, FAMILIES) or f"; known: {listed(FAMILIES)}"
        raise ValueError(f"{family!r} is not a family of backbones{hint}")
    name, _, revision = (part.strip() for part in name.partition("@"))
    if not name:
        raise ValueError(f"names no backbone of family {family}; write it as {family}:NAME")
    return {"family": family, "name": name} | ({"revision": revision} if revision else {})
