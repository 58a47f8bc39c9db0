"""What every test gets: caches of its own, no network, and projects that are made once for all tests."""

import contextlib
import gc
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from stages.common import heap
from tests.dvc_here import make_reproduced
from tests.projects import NO_HUB, Verb, make_project, make_tiny_encoder, make_trained, stage

Once = Callable[[str, Callable[[Path], object]], Path]

CACHES = {  # names of folders by the variables that set them
    "HEADSTART_CACHE": "headstart",
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "XDG_CACHE_HOME": "xdg",
    "XDG_CONFIG_HOME": "xdg-config",
    "DVC_SITE_CACHE_DIR": "dvc",
    "DVC_GLOBAL_CONFIG_DIR": "dvc-global",
    "DVC_SYSTEM_CONFIG_DIR": "dvc-system",
    "HYPOTHESIS_STORAGE_DIRECTORY": "hypothesis",
}


def pytest_configure(config: pytest.Config) -> None:
    """Set, before a library reads it, what keeps tests off the user's caches and settings, and off the network."""
    caches = Path(tempfile.mkdtemp(prefix="headstart-tests-"))
    config.add_cleanup(partial(shutil.rmtree, caches, ignore_errors=True))
    config.add_cleanup(_remove_empty_folders)
    os.environ |= {variable: str(caches / name) for variable, name in CACHES.items()}
    _let_dvc_ask_for_no_update(caches / CACHES["DVC_GLOBAL_CONFIG_DIR"])
    os.environ |= {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HF_ENDPOINT": NO_HUB}
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        # Processes that test side by side share the cores.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def _let_dvc_ask_for_no_update(config_folder: Path) -> None:
    """Keep each `dvc` command from starting one more process, which asks the internet for the newest version."""
    config_folder.mkdir()
    (config_folder / "config").write_text("[core]\n    check_update = false\n", "utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that at the end no core waits for one."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts and item.path.name != "test_architectures.py")


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later search for garbage: a million objects take a second."""
    gc.collect()
    gc.freeze()


def _remove_empty_folders() -> None:
    """Remove the folders that pytest and torch make beside other temporary files, unless they hold something."""
    for name in ("pytest-of-", "torchinductor_"):
        with contextlib.suppress(OSError):
            Path(tempfile.gettempdir(), f"{name}{getpass.getuser()}").rmdir()


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test depends on what a hub cache on this machine holds, or reaches the internet."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NO_HUB)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(autouse=True, scope="module")
def _memory_is_given_back() -> Iterator[None]:
    """Let a process of pytest not grow with the networks of all test files that it runs."""
    yield
    gc.collect()
    heap.give_back()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, make)` gives a folder that `make(folder)` filled, once for all processes of this run of pytest."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = base / "once" / name, base / "once" / f"{name}.whole"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                whole.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def tiny_encoder(once: Once) -> Path:
    """A BERT of two layers with random weights. Not to be changed."""
    return once("tiny-encoder", make_tiny_encoder)


@pytest.fixture(scope="session")
def reproduced(once: Once) -> Path:
    """A project in which `dvc repro` ran, with the settings `QUICK`. Not to be changed."""
    return once("reproduced", make_reproduced)


@pytest.fixture
def project(tmp_path: Path, once: Once) -> Path:
    """A project without outputs."""
    return copy(once("project", make_project), tmp_path / "project")


@pytest.fixture
def trained(tmp_path: Path, once: Once, tiny_encoder: Path) -> Path:
    """A project on the tiny encoder, up to the head."""
    return copy(once("trained", partial(make_trained, encoder=tiny_encoder)), tmp_path / "project")


@pytest.fixture
def finished(tmp_path: Path, reproduced: Path) -> Path:
    """A project in which every stage ran, with the settings `QUICK`."""
    return copy(reproduced, tmp_path / "project")


def copy(project: Path, folder: Path) -> Path:
    """Copy a project, to be changed: all but its code and Git's objects, which are links, to be replaced only.

    To make hundreds of files takes longer than most tests.
    """
    fixed = (f"{project / 'stages'}{os.sep}", f"{project / '.git/objects'}{os.sep}")

    def copy_file(source: str, target: str) -> object:
        return os.link(source, target) if source.startswith(fixed) else shutil.copy2(source, target)

    return Path(shutil.copytree(project, folder, symlinks=True, copy_function=copy_file))


@pytest.fixture
def verb(request: pytest.FixtureRequest) -> Verb:
    """`stage` in the project of this test."""
    name = "trained" if "trained" in request.fixturenames else "project"
    return partial(stage, request.getfixturevalue(name))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of a few pages, or one that cannot be written; skips a test that may not."""
    as_root = ["sudo", "-n"] if shutil.which("sudo") else []
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = [*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root can mount a file system (by sudo without a password)")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run([*as_root, "umount", "--lazy", str(folder)], check=True)  # a failed writer may hold a file
