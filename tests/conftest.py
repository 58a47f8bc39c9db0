"""A small project to run stages in, and a tiny encoder that needs no download."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NO_HUB = "http://127.0.0.1:9"  # a port that nothing listens on
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
WORDS = ["i", "love", "hate", "this", "product", "is", "terrible", "great", "awful"]  # that the tiny encoder knows
WORDS += ["the", "a", "best", "movie", "bad", "good"]
QUICK: dict[str, object] = {  # a pipeline on the demo data in seconds, for `set_params`
    "backbone__family": "tfidf",
    "backbone__name": "word",
    "backbone__revision": None,
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


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or fills the row cache of the user who runs it."""
    os.environ["HEADSTART_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that is marked `alone`, since it measures time, runs while no other process of pytest-xdist tests."""
    if not hasattr(request.config, "workerinput"):
        yield
        return
    shared = tmp_path_factory.getbasetemp().parent
    alone = request.node.get_closest_marker("alone")
    with (shared / "door").open("w") as door, (shared / "room").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)  # whoever waits for the room keeps others from entering it
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test depends on what a hub cache on this machine holds, or reaches the internet."""
    monkeypatch.setenv("HF_ENDPOINT", NO_HUB)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NO_HUB)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def make_project(folder: Path) -> Path:
    """Copy what a clone holds, without outputs, and make it a Git and DVC repository of its own."""
    folder.mkdir(parents=True)
    for name in (
        "stages",
        "data/pretrained",
        ".dvc/config",
        ".dvc/.gitignore",
        ".dvcignore",
        ".gitignore",
        "dvc.yaml",
        "params.yaml",
    ):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / "data/reviews.csv", folder / "data/reviews.csv")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


def git(folder: Path, *command: str) -> str:
    """Run git as somebody in a folder; what it printed."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


def set_params(project: Path, **changes: object) -> None:
    """Set `section__key=value` in the project's params.yaml."""
    path = project / "params.yaml"
    content = yaml.safe_load(path.read_text())
    for name, value in changes.items():
        section, key = name.split("__")
        content[section][key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def run(
    project: Path, *command: str, check: bool = True, memory: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in the project, with at most `memory` bytes of address space."""
    process = start(project, *command, memory=memory)
    out, errors = process.communicate()
    assert not check or process.returncode == 0, out + errors
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def start(project: Path, *command: str, memory: int | None = None) -> subprocess.Popen[str]:
    """Start a command as `run` does."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_ENDPOINT": NO_HUB,
    }
    if memory:
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


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


STAGES = {
    "prepare": ("prepared",),
    "extract": ("prepared", "features"),
    "train_head": ("features", "head"),
    "finetune": ("prepared", "features", "head", "finetuned"),
    "evaluate": ("prepared", "features", "head", "finetuned", "evaluation"),
}


def stage(
    project: Path, name: str, *arguments: str, check: bool = True, memory: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m stages.NAME`, with the usual paths unless others are given."""
    given = arguments or [f"data/{path}" for path in STAGES[name]]
    return run(project, sys.executable, "-m", f"stages.{name}", *given, check=check, memory=memory)


def make_evaluated(folder: Path) -> Path:
    """A project of `make_project` in which every stage ran, with the settings `QUICK`."""
    project = make_project(folder)
    set_params(project, **QUICK)
    for name in STAGES:
        stage(project, name)
    return project


@pytest.fixture
def verb(project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`stage` in the project."""
    return partial(stage, project)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of a few pages, or one that cannot be written."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run([*as_root, "umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, saved as save_pretrained does."""
    return make_tiny_encoder(tmp_path_factory.mktemp("tiny"))


def make_tiny_encoder(folder: Path, *, seed: int = 7, words: Sequence[str] = WORDS, **config: int) -> Path:
    """Write what `tiny_encoder` is, or one that knows other words, or with other sizes, as in BertConfig."""
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
