"""Heads that somebody tampered with."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.conftest import copy
from tests.hostile.harm import Harm, cut, edit, endless_header
from tests.hostile.verbs import Way, refused, ways
from tests.projects import set_params, stage


@pytest.fixture(scope="module")
def heads(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a logistic head in data/head, and one that is not linear in data/knn."""
    project = copy(reproduced, tmp_path_factory.mktemp("heads") / "project")
    set_params(project, train_head__kind="knn")
    stage(project, "train_head", "data/features", "data/knn")
    (project / "new.csv").write_text("text\nbuy this\n", "utf-8")
    return project


def tampered(folder: Path, **changes: Any) -> None:
    edit(folder / "model.json", **changes)


def described_as(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.json").write_text(text, "utf-8")


def backbone(folder: Path, **changes: Any) -> None:
    given = json.loads((folder / "model.json").read_text("utf-8"))
    tampered(folder, backbone={**given["backbone"], **changes})


def archive(folder: Path, harm: Callable[[dict[str, Any]], object], **more: bytes) -> None:
    """head.skops with another schema, and with other files in it."""
    out = io.BytesIO()
    path = folder / "head.skops"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                harm(schema)
                content = json.dumps(schema).encode()
            target.writestr(name, more.get(Path(name).suffix[1:], content))
    path.write_bytes(out.getvalue())


def bomb_of_zeros(folder: Path) -> None:
    """An array of 80 GB, as numpy's header says it, in a few MB."""
    array = io.BytesIO()
    np.save(array, np.zeros(1))
    content = array.getvalue().replace(b"(1,)", b"(10000000000,)").replace(b"             \n", b"   \n", 1)
    archive(folder, lambda schema: None, npy=content + bytes(2**28))


def layer(folder: Path, weight: np.ndarray, bias: np.ndarray) -> None:
    safetensors.numpy.save_file({"weight": weight, "bias": bias}, folder / "linear.safetensors")


def object_array(folder: Path) -> None:
    """A .npy that is a pickle."""
    out = io.BytesIO()
    np.save(out, np.array([Harm()], dtype=object), allow_pickle=True)
    archive(folder, lambda schema: None, npy=out.getvalue())


TAMPERED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "model.json that is a list": ("head", described_as("[]"), "must be a mapping"),
    "model.json of brackets": ("head", described_as("[" * 100_000), "cannot be read"),
    "model.json of bytes": ("head", lambda at: (at / "model.json").write_bytes(b"\xff\xfe\0"), "cannot be read"),
    "model.json with a number of a million digits": ("head", described_as("1" * 10**6), "cannot be read"),
    "a setting that there is not": ("head", lambda at: tampered(at, harm=1), "harm is not a setting"),
    "a temperature of zero": ("head", lambda at: tampered(at, temperature=0), "temperature is 0"),
    "a temperature that is no number": ("knn", lambda at: tampered(at, temperature=float("nan")), "temperature is nan"),
    "no labels": ("head", lambda at: tampered(at, labels=[]), "labels"),
    "a label too few": ("head", lambda at: tampered(at, labels=["a", "b"]), "copy the model's whole folder again"),
    "a label too few of a head that is not linear": (
        "knn",
        lambda at: tampered(at, labels=["a", "b"]),
        "train it again",
    ),
    "another fingerprint": ("head", lambda at: tampered(at, fingerprint="0" * 64), "train it again"),
    "a family that there is not": ("head", lambda at: backbone(at, family="harm"), "must be one of"),
    "another backbone": ("head", lambda at: backbone(at, name="char_wb"), "train it again"),
    "a layer that was cut": ("head", lambda at: cut(at / "linear.safetensors"), "cannot be read"),
    "held-out rows that were cut": ("head", lambda at: cut(at / "certainty.safetensors"), "cannot be read"),
    "held-out rows whose header is endless": (
        "head",
        lambda at: endless_header(at / "certainty.safetensors"),
        "cannot be read",
    ),
    "a layer whose header is endless": ("head", lambda at: endless_header(at / "linear.safetensors"), "cannot be read"),
    "a layer of another shape": ("head", lambda at: layer(at, np.zeros((2, 3)), np.zeros(2)), "is a layer of (2, 3)"),
    "an archive that runs a command": (
        "knn",
        lambda at: archive(at, lambda schema: schema.update(__module__="os", __class__="system")),
        "os.system",
    ),
    "an archive with a function": (
        "knn",
        lambda at: archive(at, lambda schema: schema.update(__loader__="FunctionNode")),
        "data/knn/head.skops",
    ),
    "an archive with arrays that are pickles": ("knn", object_array, "data/knn/head.skops"),
    "an archive of zeros": ("knn", bomb_of_zeros, "data/knn/head.skops"),
    "an archive that is a pickle": (
        "knn",
        lambda at: (at / "head.skops").write_bytes(pickle.dumps(Harm())),
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("case", "way"), ways(TAMPERED, slow=["an archive of zeros"]))
def test_heads_that_are_refused(heads: Path, case: str, way: Way) -> None:
    name, harm, words = TAMPERED[case]
    kept = heads / f"{name}-as-it-was"
    shutil.copytree(heads / "data" / name, kept)
    try:
        harm(heads / "data" / name)
        refused(way(heads, "predict", f"data/{name}", "new.csv", "out.parquet"), words)
        assert not (heads / "harmed").exists() and not (heads / "out.parquet").exists()
    finally:
        shutil.rmtree(heads / "data" / name)
        kept.rename(heads / "data" / name)
        for left in ("harmed", "out.parquet"):
            (heads / left).unlink(missing_ok=True)


def test_a_stale_head_is_refused_with_the_stage_to_rerun(heads: Path) -> None:
    set_params(heads, extract__normalize=False)
    stage(heads, "extract", "data/prepared", "data/other")
    done = stage(
        heads, "evaluate", "data/prepared", "data/other", "data/head", "data/finetuned", "data/new", check=False
    )
    refused(
        done, "data/head was trained on features of another backbone than data/other holds; run `dvc repro train_head`"
    )
