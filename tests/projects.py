"""Projects to run verbs in: a clone without outputs, its settings, and its stages in this process or another."""

import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.common import cli

ROOT = Path(__file__).parents[1]
NO_HUB = "http://127.0.0.1:9"  # a port that nothing listens on
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
WORDS = ["i", "love", "hate", "this", "product", "is", "terrible", "great", "awful"]  # that the tiny encoder knows
WORDS += ["the", "a", "best", "movie", "bad", "good"]
TFIDF: dict[str, object] = {"backbone__family": "tfidf", "backbone__name": "word", "backbone__revision": None}
# A pipeline on the demo data in seconds, for `set_params`.
QUICK: dict[str, object] = {
    **TFIDF,
    "train_head__C": [1, 10],
    "train_head__folds": 3,
    "evaluate__learning_curve": [],
    "evaluate__bootstrap": 50,
}
RANDOM_SQUEEZENET: dict[str, object] = {  # an image backbone for `set_params` that computes in no time
    "backbone__family": "torchvision",
    "backbone__name": "squeezenet1_1",
    "backbone__revision": None,
    "backbone__weights": "random",
    "extract__image_size": 32,
}
STAGES = {  # the folders under data/ that each reads and, last, the one that it writes
    "prepare": ("prepared",),
    "extract": ("prepared", "features"),
    "train_head": ("features", "head"),
    "finetune": ("prepared", "features", "head", "finetuned"),
    "evaluate": ("prepared", "features", "head", "finetuned", "evaluation"),
}
UP_TO_HEAD = ("prepare", "extract", "train_head")
CLONED = (
    "stages",
    "data/pretrained",
    "data/reviews.csv",
    "data/labels.csv",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "dvc.yaml",
    "params.yaml",
)

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files, or keeps them to administrators")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes such names of files")

Done = subprocess.CompletedProcess[str]
Verb = Callable[..., Done]  # `stage` in a project


def make_project(folder: Path, root: Path = ROOT) -> Path:
    """Copy what the clone `root` holds, without outputs, and make it a Git and DVC repository of its own."""
    folder.mkdir(parents=True)
    for name in CLONED:
        source, target = root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    one_pack = ("-c", "core.bigFileThreshold=1")  # a file per object takes longer to copy than all that tests change
    git(folder, "init", "-q", "--template=")
    git(folder, *one_pack, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


def git(folder: Path, *command: str) -> str:
    """Run git in a folder as somebody; gives what it printed."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True).stdout


def set_params(project: Path, **changes: object) -> None:
    """Set `section__key=value` in the project's params.yaml."""
    content = _params(project)
    for name, value in changes.items():
        section, key = name.split("__")
        content[section][key] = value
    _write_params(project, content)


def use_backbones(project: Path, *backbones: object) -> None:
    """Let the section `backbone` of the project's params.yaml be this list."""
    _write_params(project, _params(project) | {"backbone": list(backbones)})


def _params(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load((project / "params.yaml").read_text("utf-8"), yaml.CSafeLoader)
    return content


def _write_params(project: Path, content: dict[str, Any]) -> None:
    text = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False)
    (project / "params.yaml").write_text(text, "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stage(project: Path, name: str, *arguments: str, check: bool = True) -> Done:
    """Do what `python -m stages.NAME` does in the project, but in this process, which has its libraries already.

    Args:
        arguments: of the command line; the usual folders if there are none.
        check: whether an exit code other than 0 is an error.
    """
    out, errors = io.StringIO(), io.StringIO()
    module = importlib.import_module(f"stages.{name}")
    command = [f"stages/{name}.py", *(arguments or _folders(name))]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.chdir(project)
        patch.setattr(sys, "argv", command)
        try:
            code = cli.outcome(module.main)
        except SystemExit as end:  # of argparse
            code = end.code if isinstance(end.code, int) else 0
    done = subprocess.CompletedProcess(command, code, out.getvalue(), errors.getvalue())
    assert not check or code == 0, done.stdout + done.stderr
    return done


def run_stages(project: Path, *names: str) -> Path:
    """Run these stages in this process, or all five; gives the project."""
    for name in names or STAGES:
        stage(project, name)
    return project


def stage_process(project: Path, name: str, *arguments: str, check: bool = True, memory: int | None = None) -> Done:
    """Run `python -m stages.NAME` as `stage` does, but as a process of its own."""
    return run(project, *stage_command(name, *arguments), check=check, memory=memory)


def stage_command(name: str, *arguments: str) -> list[str]:
    """The command line of a stage, with the usual folders unless others are given."""
    return [sys.executable, "-m", f"stages.{name}", *(arguments or _folders(name))]


def _folders(name: str) -> tuple[str, ...]:
    return tuple(f"data/{folder}" for folder in STAGES.get(name, ()))


def run(project: Path, *command: str, check: bool = True, memory: int | None = None) -> Done:
    """Run a command of this environment in the project, with at most `memory` bytes of address space."""
    process = start(project, *command, memory=memory)
    out, errors = process.communicate()
    assert not check or process.returncode == 0, out + errors
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def start(project: Path, *command: str, memory: int | None = None) -> subprocess.Popen[str]:
    """Start a command as `run` does."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if memory:
        if not shutil.which("prlimit"):
            pytest.skip("prlimit, which limits memory, is not installed (it comes with Linux)")
        command = ("prlimit", f"--as={memory}", *command)
        environment["OPENBLAS_NUM_THREADS"] = "2"  # each thread takes address space
    return subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def relabel_validation(project: Path, change: Callable[[str], str]) -> None:
    """Change the labels of the validation rows in the tables of prepare and extract."""
    import pyarrow.parquet as pq

    for folder in ("prepared", "features"):
        for path in (project / "data" / folder / "validation").glob("*.parquet"):
            rows = pq.read_table(path)
            index = rows.schema.get_field_index("label")
            labels = [change(label) for label in rows["label"].to_pylist()]
            pq.write_table(rows.set_column(index, rows.schema.field(index), [labels]), path)


def keep_rows(project: Path, count: int) -> None:
    """Leave only the first rows in the demo table, for tests in which a few of each class do."""
    path = project / "data/reviews.csv"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: count + 1]), "utf-8", newline="\n")


def ran(done: Done) -> list[str]:
    """The stages that DVC ran, from what it printed."""
    return re.findall(r"Running stage '(\w+)'", done.stdout)


def make_trained(folder: Path, encoder: Path) -> Path:
    """A project on a tiny encoder, up to the head; two classes that one word tells apart."""
    import numpy as np

    project = make_project(folder)
    words = ["i", "this", "product", "is", "the", "a", "movie"]
    generator = np.random.default_rng(0)
    lines = ["text,category"]
    for n in range(160):
        text = " ".join(generator.choice(words, 20)) + f" {'love' if n % 2 else 'hate'} {n}"
        lines.append(f"{text},{'good' if n % 2 else 'bad'}")
    (project / "data/reviews.csv").write_text("\n".join(lines) + "\n", "utf-8")
    set_params(
        project,
        backbone__name=str(encoder),
        backbone__revision=None,
        extract__max_length=32,
        runtime__device="cpu",
        finetune__epochs=3,
        finetune__learning_rate=3e-4,
        evaluate__learning_curve=[2, 10],
        evaluate__repeats=2,
        evaluate__bootstrap=50,
    )
    return run_stages(project, *UP_TO_HEAD)


def make_tiny_encoder(folder: Path, *, seed: int = 7, words: Sequence[str] = WORDS, **config: int) -> Path:
    """A BERT of two layers with random weights that knows `words`, saved as save_pretrained does.

    Args:
        config: other sizes, as in BertConfig.
    """
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = {token: index for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True)
    tokenizer.model_max_length = 64
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes | config)).save_pretrained(folder)
    return folder
