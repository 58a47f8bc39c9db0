"""A pretrained backbone whose network is loaded only when a vector must be computed.

What a run needs besides vectors (fingerprint, dimensions, the resolved settings) is kept in the cache folder, under a
hash of all that decides it: settings, the model's files, libraries and the code of this package. So a run whose vectors
are all in the row cache imports neither torch nor the library of the model, and one that computes a few texts by a
common network does without transformers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import backbones
from stages.backbones import Backbone, combined, devices, fingerprint, hub
from stages.backbones.light import Light
from stages.common import atomic, cache_cleaning, cache_folder, json_file, package
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, Backbones, ExtractParams, Modality, RuntimeParams
from stages.common.section import Section, validate

if TYPE_CHECKING:
    from stages.backbones.encoder import Encoded, Encoder

KEEP_DAYS = 90  # since a description was last used
LIBRARIES = ("torch", "torchvision", "transformers", "tokenizers", "timm")


class Description(Section):
    """All of an encoder but its network; the names are those of `Backbone`."""

    settings: ExtractParams
    fingerprint: str
    dim: int
    max_length: int | None
    recipe_sentence: str
    size_bytes: int
    light: Light | None = None  # where the network can be loaded without transformers


class DeferredEncoder:
    """An encoder that loads its network at the first call of `encode`, `encode_with_tokens` or `stream`."""

    is_sparse = False

    def __init__(self, description: Description, device_type: str, load: Callable[[], "Encoder"]) -> None:
        self.settings, self.fingerprint = description.settings, description.fingerprint
        self.dim, self.max_length = description.dim, description.max_length
        self.recipe_sentence, self.size_bytes = description.recipe_sentence, description.size_bytes
        self.device_type = device_type
        self._load = load
        self._network: Encoder | None = None

    def encode(self, inputs: Sequence[Any]) -> np.ndarray:
        """See `Encoder.encode`."""
        return self._encoder().encode(inputs)

    def encode_with_tokens(
        self, inputs: Sequence[Any], advance: Callable[[int], object] = lambda _: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Encoder.encode_with_tokens`."""
        return self._encoder().encode_with_tokens(inputs, advance)

    def stream(self, inputs: Sequence[Any]) -> "Iterator[Encoded]":
        """See `Encoder.stream`."""
        return self._encoder().stream(inputs)

    def save(self, folder: Path) -> None:
        """Write nothing, as `Encoder.save`."""

    def _encoder(self) -> "Encoder":
        if self._network is None:
            encoder = self._load()
            if (encoder.fingerprint, encoder.device_type) != (self.fingerprint, self.device_type):
                raise HeadstartError(f"the files of {encoder.name} or the devices changed during the run; run it again")
            self._network = encoder
        return self._network


def load(
    spec: Backbones,
    settings: ExtractParams,
    runtime: RuntimeParams,
    *,
    modality: Modality,
    training_texts: Callable[[], Iterable[str]] | None = None,
    saved: Path | None = None,
) -> Backbone:
    """Do what `backbones.load` does, but load a network that is described in the cache folder only when it is used.

    Several backbones are joined, see combined.py; every member is loaded only when it is used.
    """
    if isinstance(spec, tuple):
        folders = [saved and combined.member_folder(saved, position) for position in range(len(spec))]
        members = [
            load(
                member,
                settings,
                runtime,
                modality=modality,
                training_texts=training_texts,
                saved=folder if folder and folder.exists() else None,
            )
            for member, folder in zip(spec, folders, strict=True)
        ]
        return combined.Combined(members, settings)
    backbones.check(spec, settings, modality)
    path = _path(spec, settings, modality)
    if path is None:
        return backbones.load(spec, settings, runtime, modality=modality, training_texts=training_texts, saved=saved)
    load_now = partial(backbones.load_encoder, spec, settings, runtime, modality)
    if description := _read(path):

        def load_later() -> "Encoder":
            light = description.light
            if light is None or devices.chosen_type(runtime) != "cpu" or _path(spec, settings, modality) != path:
                return load_now()
            from stages.backbones import light_text  # not at the top: it imports torch

            return light_text.load(light, spec, settings, runtime, description.fingerprint)

        return DeferredEncoder(description, devices.chosen_type(runtime), load_later)
    encoder = load_now()
    described = _described(encoder, spec, settings, runtime)
    _write(path, described)
    # Also under what its settings became, by which model.json names it: so evaluate finds what extract described.
    if resolved := _path(spec, described.settings, modality):
        _write(resolved, described)
    return encoder


def is_described(spec: BackboneParams, settings: ExtractParams, modality: Modality) -> bool:
    """Tell whether `load` would find a description of this backbone. Raises as `hub.resolve`."""
    path = _path(spec, settings, modality)
    return path is not None and _read(path) is not None


def _path(spec: BackboneParams, settings: ExtractParams, modality: Modality) -> Path | None:
    """Return the file that describes a backbone; None where only loading tells, or nothing names a cache folder."""
    identity = _identity(spec) if spec.family in backbones.TRAINABLE else None
    if identity is None:
        return None
    with suppress(HeadstartError):
        return cache_folder.folder("backbones") / f"{_key(spec, settings, modality, identity)}.json"
    return None


def _described(
    encoder: "Encoder", spec: BackboneParams, settings: ExtractParams, runtime: RuntimeParams
) -> Description:
    light = None
    if spec.family == "transformers":
        from stages.backbones import light_text  # not at the top: it imports torch

        light = light_text.describe(encoder, spec, settings, runtime)
    facts = {name: getattr(encoder, name) for name in Description.model_fields if name != "light"}
    return Description(**facts, light=light)


def _identity(spec: BackboneParams) -> dict[str, str | None] | None:
    """Return the commit and the digests of the files that decide an encoder; None where only its library knows these.

    Raises:
        HeadstartError: see `hub.resolve`.
    """
    given: dict[str, str | None] = {}
    if spec.weights not in ("pretrained", "random") and Path(spec.weights).is_file():
        given["weights"] = fingerprint.from_file(Path(spec.weights))
    if spec.family == "transformers" or Path(spec.name).is_dir():
        folder, commit = hub.resolve(spec.name, spec.revision)
        files = [path for path in folder.rglob("*") if hub.is_read(path.name) and path.is_file()]
        digests = {path.relative_to(folder).as_posix(): fingerprint.from_file(path) for path in files}
        return {"commit": commit, **digests, **given}
    # The other libraries pin the weights of a name by a hash, but for those that timm looks up on the hub.
    is_pinned = spec.family == "torchvision" or spec.weights != "pretrained" or spec.name.endswith(".pypi")
    return given if is_pinned and "/" not in spec.name else None


def _key(spec: BackboneParams, settings: ExtractParams, modality: Modality, identity: Mapping[str, str | None]) -> str:
    """Hash all that decides a description."""
    return fingerprint.from_parts(
        code=package.digest(),
        libraries=[_version(name) for name in LIBRARIES],
        spec=spec.model_dump(),
        settings=settings.model_dump(include={*ExtractParams.model_fields}),
        modality=modality,
        identity=dict(identity),
    )[:32]


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> Description | None:
    """Read a description; None where there is none, or it is damaged."""
    content = json_file.mapping(path)
    with suppress(HeadstartError, OSError):
        if content.pop("digest", "") == fingerprint.from_parts(**content):
            path.touch()
            return validate(Description, content, file=str(path))
    return None


def _write(path: Path, description: Description) -> None:
    """Write a description with its digest; without a writable folder the network is loaded every time."""
    content = description.model_dump()
    with suppress(OSError):
        with atomic.file(path) as out:
            json_file.write(out, {**content, "digest": fingerprint.from_parts(**content)})
        cache_cleaning.delete("backbones", unused_days=KEEP_DAYS)
