"""Check the JSON files of a model folder before a library reads them: they may name neither code nor other files.

The libraries close the ways in which a configuration can run code one by one (CVE-2026-4372, CVE-2026-5241,
CVE-2026-9856), and pyproject.toml requires versions in which these are closed. This check refuses such files in every
version.
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any

from stages.backbones import fingerprint
from stages.common.errors import HeadstartError, one_line
from stages.common.section import SHORT_REPR

ADAPTER_FILE = "adapter_config.json"
INDEX_FILE = "model.safetensors.index.json"
# Files beside the weights that a tokenizer or a configuration may be read from.
SETTINGS_PATTERNS = ("*.json", "*.txt", "*.model", "*.spm", "*.codes", "*.tokenizer", "*.tiktoken")
# Files that the tokenizers of transformers write.
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model"),
    *("tokenizer.model", "bpe.codes", "sentencepiece.model", "spm_char.model", "source.spm", "target.spm"),
    *("vocab-src.json", "vocab-tgt.json", "target_vocab.json", "entity_vocab.json", "dict.txt", "emoji.json"),
    *("byte_maps.json", "normalizer.json", "word_pronunciation.json", "word_shape.json", "prophetnet.tokenizer"),
)
# Of the settings, files that decide no vector (chat, generation, the list of weight files, the history of training),
# and those of which `recipe` tells what they decide.
NOT_DECISIVE = re.compile(
    r"(chat_template|generation_config|trainer_state|(all|train|eval)_results|.*\.index"
    r"|modules|config_sentence_transformers|sentence_.*_config|recipe)\.json"
)
# Keys that differ between copies of one model, or are for chats.
NOT_DECISIVE_KEYS = ("transformers_version", "_name_or_path", "name_or_path", "chat_template")
# Keys that make transformers or peft import code, or read weights from elsewhere.
CODE_KEYS = ("trust_remote_code", "auto_map", "auto_mapping", "megatron_config", "use_kernels", "kernel_config")
OTHER_FILE_KEYS = ("transformers_weights",)
# Keys that choose an implementation of a layer: one of transformers by a plain name, or code on the hub by a path.
IMPLEMENTATION_KEY = re.compile(r"_?(attn|experts)_implementation(_internal)?")
BUILT_IN = re.compile(r"(paged\|)?(eager|sdpa|flex_attention|batched_mm|grouped_mm)")


def check(folder: Path) -> None:
    """Refuse a model folder whose configuration names code, weights elsewhere, or files outside of the folder.

    Raises:
        HeadstartError: a configuration does so, or is not JSON.
    """
    for path in sorted(folder.iterdir()):
        # Whatever the case: some file systems open Config.json as config.json.
        name = path.name.lower()
        if name == ADAPTER_FILE:
            raise HeadstartError(
                f"{path} is an adapter, but backbone.name must be a whole model; merge the adapter into its model with"
                " peft's merge_and_unload, and save that"
            )
        if name.endswith(".json") and "config" in name and path.is_file():
            check_config(path, read_json(path))
        if name == INDEX_FILE:
            _check_index(path, read_json(path))


def read_json(path: Path) -> Any:
    """Read a JSON file of a model.

    Raises:
        HeadstartError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HeadstartError(
            f"{path} cannot be loaded as JSON ({one_line(error)}); copy or download the model again"
        ) from None


def decisive(folder: Path) -> dict[str, str]:
    """Return the content of every file, by name, that may decide the tokens of a text.

    All files are taken that a loader can read beside the weights, since tokenizers read vocabularies under many names:
    one file too many computes vectors again, one too few keeps vectors that are wrong.
    """
    return {
        path.name: canonical(path) if path.suffix == ".json" else fingerprint.from_file(path)
        for path in sorted(folder.iterdir())
        if any(fnmatchcase(path.name, pattern) for pattern in SETTINGS_PATTERNS)
        and not NOT_DECISIVE.fullmatch(path.name)
        and path.is_file()
    }


def canonical(path: Path) -> str:
    """Return a JSON file's content without layout, version and name, which differ between copies of one model."""
    content = read_json(path)
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key not in NOT_DECISIVE_KEYS}
    return json.dumps(content, sort_keys=True)


def check_config(path: Path, content: Any) -> None:
    """Refuse the `content` of the configuration `path` if a key at any depth names code or other files.

    Keys that are null, false or empty name nothing.
    """
    for key, value in _items(content):
        if key in CODE_KEYS and value:
            raise _refused(path, key, value, "lets a model run code of its own")
        if key == "megatron_core" and value not in (None, "megatron.core"):
            raise _refused(path, key, value, "names a Python module to import")
        if IMPLEMENTATION_KEY.fullmatch(key) and not _is_built_in(value):
            raise _refused(path, key, value, "names code that transformers would download")
        if key in OTHER_FILE_KEYS and value:
            raise _refused(path, key, value, "names another file of weights than the model's own")
        if key == "chat_template" and (name := _unsafe_template_name(value)):
            raise _refused(path, f"{key} name", name, "is written to a file of that name when the model is saved")


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a JSON value at any depth."""
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from value.items()
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _is_built_in(value: Any) -> bool:
    """Tell whether an implementation, or every one in a mapping from parts of the model, is part of transformers."""
    values = value.values() if isinstance(value, dict) else [value]
    return all(item is None or (isinstance(item, str) and BUILT_IN.fullmatch(item)) for item in values)


def _unsafe_template_name(value: Any) -> str | None:
    """Find the name of a chat template that is no plain file name; templates are a list with names, or a mapping."""
    names = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        names = [item.get("name", "") for item in value if isinstance(item, dict)]
    return next((str(name) for name in names if re.search(r"[/\\:\0]|^\.", str(name))), None)


def _check_index(path: Path, content: Any) -> None:
    """Refuse an index of weights that names files outside of its folder: they would be read, but not fingerprinted."""
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise HeadstartError(f"{path} cannot be loaded, since it has no weight_map; copy or download the model again")
    for file in weights.values():
        if not isinstance(file, str) or PurePath(file).name != file or "\\" in file:
            raise _refused(path, "weight_map", file, "names weights outside of the model's folder")


def _refused(path: Path, key: str, value: Any, reason: str) -> HeadstartError:
    return HeadstartError(
        f"{path} sets {key} to {SHORT_REPR.repr(value)}, which {reason}, so it is refused; use another model, or delete"
        f" {key} if the model works without it"
    )
