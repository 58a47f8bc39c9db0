"""Verbs in processes whose memory is limited, and which have their libraries already.

A parent imports the libraries of a verb once, and forks for each run:

    python -m tests.hostile.forks MODULE …        reads a run per line, as JSON, and answers with its exit code

The limit counts what the parent imported, as it counts what a process imports by itself.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.projects import ROOT, Done, stage_command

# What verbs import inside functions. Not that of prepare, which hides pandas from pyarrow first.
LATE_IMPORTS = {
    "extract": ("stages.backbones.transformers",),
    "predict": ("stages.heads.persistence", "stages.backbones.tfidf", "sklearn.neighbors"),
}

TIMEOUT_SECONDS = 600  # after which a run is killed


def run(project: Path, verb: str, *arguments: str, memory: int, scratch: Path) -> Done:
    """Do what `python -m stages.VERB` does in the project, but with the code of this clone.

    Args:
        memory: the most bytes of address space.
        scratch: an empty folder, for what the verb prints.
    """
    command, printed = stage_command(verb, *arguments), [str(scratch / name) for name in ("out", "errors")]
    order = {
        "command": command,
        "folder": str(project),
        "environment": dict(os.environ),
        "memory": memory,
        "printed": printed,
    }
    parent = _parent(verb)
    assert parent.stdin and parent.stdout
    print(json.dumps(order), file=parent.stdin, flush=True)
    code = int(parent.stdout.readline())
    out, errors = (Path(path).read_text("utf-8", "replace") for path in printed)
    return subprocess.CompletedProcess(command, code, out, errors)


@cache
def _parent(verb: str) -> subprocess.Popen[str]:
    """Start the parent of all runs of a verb; it ends with this process."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.forks", f"stages.{verb}", *LATE_IMPORTS.get(verb, ())],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "2"},  # each thread takes address space
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(parent.communicate)  # the end of its input ends it
    return parent


def main() -> None:
    """Import the modules that the command line names, and answer until the input ends."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    command: Sequence[str], folder: str, environment: dict[str, str], memory: int, printed: Sequence[str]
) -> None:
    """Let this process be that of a command `python -m stages.VERB …`; it ends with it."""
    import resource
    import signal

    signal.alarm(TIMEOUT_SECONDS)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    sys.modules.pop(module)  # it is run, not imported
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main()
