"""An exported folder runs in a virtual environment of what its README names, so of neither torch nor Headstart.

The packages come from the index that pip is set up for; where it gives none, the tests are skipped.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.exporting import checking
from tests.exporting import graphs
from tests.pictures import png
from tests.projects import ROOT, Verb

PACKAGES = ("onnxruntime", "numpy", "tokenizers", "pillow")
LOAD = """
import json, sys, time
start = time.perf_counter()
from run import Model
model = Model()
seconds = time.perf_counter() - start
print(json.dumps([seconds, model.probabilities(sys.argv[1:]).tolist()]))
"""


def run(python: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a virtual environment with the packages of the README of every exported folder."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    constraints = ROOT / ".ci/constraints.txt"
    install = run(python, folder, "-m", "pip", "install", "-q", "-c", str(constraints), *PACKAGES)
    if install.returncode:
        pytest.skip(f"pip cannot install {', '.join(PACKAGES)} here: {install.stderr.strip()[-200:]}")
    return python


@pytest.mark.slow
def test_a_text_model_loads_and_classifies(trained: Path, verb: Verb, python: Path) -> None:
    texts = ["i love this movie", "i hate this product"]
    verb("export", "data/head", "out")
    expected = checking.load(trained / "out", "model.onnx").probabilities(texts)
    done = run(python, trained / "out", "-c", LOAD, *texts)
    assert not done.returncode, done.stderr
    seconds, P = json.loads(done.stdout)
    print(f"imports and loading took {seconds:.2f} s")
    np.testing.assert_allclose(P, expected, atol=1e-5)
    lines = run(python, trained, "out/run.py", *texts).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == texts


@pytest.mark.slow
def test_a_picture_model_loads_and_classifies(tmp_path: Path, python: Path) -> None:
    spec = BackboneParams(family="pixels", name="rgb", revision=None)
    backbone = backbones.load(spec, ExtractParams(), RuntimeParams(device="cpu"), modality="image")
    by_run, _ = graphs.both(tmp_path / "out", backbone, spec, [png(1, (50, 40))])
    (tmp_path / "out/picture.png").write_bytes(png(1, (50, 40)))
    done = run(python, tmp_path / "out", "-c", LOAD, "picture.png")
    assert not done.returncode, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout)[1], by_run, atol=1e-5)


@pytest.mark.slow
def test_the_environment_has_no_other_library(python: Path, tmp_path: Path) -> None:
    for name in ("torch", "transformers", "sklearn", "scipy", "stages", "onnx", "pyarrow", "pandas"):
        assert run(python, tmp_path, "-c", f"import {name}").returncode, name
