"""Read the recipe that a model declares in the files of sentence-transformers.

modules.json lists its modules: the transformer, the pooling and the steps after it, each with a folder. The files are
read as data: no class that they name is imported.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import Field

from stages.backbones import model_files
from stages.backbones.recipe import EXPORTED, Dense, File, LayerNorm, Mode, Normalize, Recipe, Step, Truncate
from stages.common import json_file
from stages.common.errors import HeadstartError, listed
from stages.common.section import Model, validate
from stages.common.setting_types import Count

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"

# Older files have a switch for every mode. The vectors of several modes are joined in this order.
SWITCHES: dict[str, Mode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class _Module(File):
    type: str
    path: str


class _Transformer(File):
    max_seq_length: Count | None = None
    do_lower_case: bool = False


class _Pooling(File):
    pooling_mode: tuple[Mode, ...] = Field(min_length=1)
    include_prompt: bool = True


class _Prompts(File):
    prompts: dict[str, str | None] = Field(default_factory=dict)
    default_prompt_name: str | None = None
    truncate_dim: Count | None = None


def read(folder: Path) -> tuple[Path, Recipe]:
    """Read what the model in `folder` declares.

    Returns:
        The folder of the transformer and its tokenizer, and what is declared.

    Raises:
        HeadstartError: a file is damaged, or lists a module that is not supported.
    """
    if (folder / EXPORTED).is_file():
        return folder, _read(folder / EXPORTED, Recipe)
    prompts = _read(folder / PROMPTS, _Prompts)
    texts = {name: text or "" for name, text in prompts.prompts.items()}
    recipe = Recipe(prompts=texts, prompt=texts.get(prompts.default_prompt_name or "", ""))
    if not (folder / MODULES).is_file():
        return folder, recipe
    modules = list(_modules(folder))
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"]:
        raise _unsupported(folder, next((kind for kind in kinds if kind != "Transformer"), "no Pooling"))
    body = folder / modules[0][1]
    transformer = _read(next(iter(sorted(body.glob("sentence_*_config.json"))), body / "-"), _Transformer)
    pooling = _pooling(folder / modules[1][1] / "config.json")
    steps: list[Step] = [step for kind, path in modules[2:] if (step := _step(folder, kind, path))]
    if prompts.truncate_dim:
        steps += [Truncate(dimension=prompts.truncate_dim), *(step for step in steps[-1:] if step.kind == "Normalize")]
    return body, recipe.model_copy(
        update={
            "pooling": pooling.pooling_mode,
            "include_prompt": pooling.include_prompt,
            "max_length": transformer.max_seq_length,
            "lowercase": transformer.do_lower_case,
            "steps": tuple(steps),
        }
    )


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the class names and folders of modules.json; other code than sentence-transformers' is refused."""
    path = folder / MODULES
    content = model_files.read_json(path)
    for entry in content if isinstance(content, list) else [content]:
        module = validate(_Module, entry, file=str(path))
        if (
            PurePosixPath(module.path).is_absolute()
            or not re.fullmatch(r"[\w.\-/]*", module.path)
            or ".." in module.path
        ):
            raise HeadstartError(
                f"{path} names {module.path!r}, which is no folder in that of the model; use another model"
            )
        if not module.type.startswith("sentence_transformers."):
            raise _unsupported(folder, module.type)
        yield module.type.rpartition(".")[2], module.path


def _pooling(path: Path) -> _Pooling:
    content = model_files.read_json(path)
    if isinstance(content, dict) and "pooling_mode" not in content:
        content["pooling_mode"] = [mode for key, mode in SWITCHES.items() if content.get(key)] or ["mean"]
    elif isinstance(content, dict) and isinstance(content["pooling_mode"], str):
        content["pooling_mode"] = [content["pooling_mode"]]
    return validate(_Pooling, content, file=str(path))


def _step(folder: Path, kind: str, path: str) -> Dense | LayerNorm | Normalize | None:
    """Read a module after the pooling; None for dropout, which does nothing outside of training."""
    file = folder / path / "config.json"
    match kind:
        case "Dense":
            content = json_file.mapping(file)
            if isinstance(activation := content.get("activation_function"), str):
                content["activation_function"] = activation.rpartition(".")[2]
            return validate(Dense, {**content, "kind": kind, "path": path}, file=str(file))
        case "LayerNorm":
            return validate(LayerNorm, {**json_file.mapping(file), "kind": kind, "path": path}, file=str(file))
        case "Normalize":
            return validate(Normalize, {**json_file.mapping(file), "kind": kind}, file=str(file))
        case "Dropout":
            return None
    raise _unsupported(folder, kind)


def _read(path: Path, model: type[Model]) -> Model:
    """Read a file of settings, all of which have defaults; the defaults where it is missing."""
    return validate(model, model_files.read_json(path) if path.is_file() else {}, file=str(path))


def _unsupported(folder: Path, kind: str) -> HeadstartError:
    supported = listed(["Dense", "LayerNorm", "Dropout", "Normalize"], limit=5)
    return HeadstartError(
        f"{folder / MODULES} lists {kind}, which is not supported; use a model of a Transformer, Pooling and then"
        f" {supported}, or delete {MODULES} to use the transformer alone"
    )
