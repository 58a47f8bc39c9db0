"""The import closure of a stage's script: the files of this project that running it can import or read."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def closure(verb: str) -> frozenset[str]:
    """Paths, relative to the project, of the script and all it imports, inside functions too."""
    files: set[str] = set()
    waiting = [f"stages.{verb}"]
    while waiting:
        path = _path(waiting.pop())
        if path is None or path in files:
            continue
        files.add(path)
        if path.endswith("__init__.py"):  # files of a package beside its modules, such as a template, but no README
            files_beside = (file for file in (ROOT / path).parent.iterdir() if file.is_file())
            beside = [file for file in files_beside if file.suffix not in (".py", ".md")]
            files |= {str(file.relative_to(ROOT)) for file in beside}
        waiting += _imports(path)
        # Importing a module runs the packages above it.
        waiting += [".".join(Path(path).parts[:depth]) for depth in range(1, len(Path(path).parts))]
    return frozenset(files)


@cache
def _imports(path: str) -> tuple[str, ...]:
    """The modules that a file imports, or may import: a name from a package can be one."""
    modules: list[str] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(modules)


def _path(module: str) -> str | None:
    base = module.replace(".", "/")
    for candidate in (f"{base}.py", f"{base}/__init__.py"):
        if base.split("/")[0] == "stages" and (ROOT / candidate).is_file():
            return candidate
    return None
