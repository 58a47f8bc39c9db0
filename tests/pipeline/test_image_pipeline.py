"""The stages and predict on images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common.params import RuntimeParams
from stages.finetuning import classifier as classifiers
from stages.heads import linear_layer, loading, model_card
from stages.tables import features
from tests.backbones.image_backbones import make_vision_encoder
from tests.conftest import Once, copy
from tests.dvc_here import dvc
from tests.pictures import png
from tests.projects import (
    RANDOM_SQUEEZENET,
    UP_TO_HEAD,
    Verb,
    contents,
    make_project,
    run_stages,
    set_params,
    stage,
)

CPU = RuntimeParams(device="cpu")


def make_digits(folder: Path) -> None:
    """A project on a hundred zeros and ones, for a tiny backbone."""
    project = make_project(folder)
    stage(project, "fetch", "digits", "data/digits")
    for path in (project / "data/digits").iterdir():
        for picture in sorted(path.iterdir())[50 if path.name in "01" else 0 :]:
            picture.unlink()
        if path.name not in "01":
            path.rmdir()
    set_params(
        project,
        prepare__data="data/digits",
        extract__dtype="float32",
        runtime__device="cpu",
        budget__per_class=20,
        finetune__epochs=2,
        finetune__horizontal_flip=False,
        evaluate__learning_curve=[],
        evaluate__bootstrap=50,
        evaluate__explain=2,
        **RANDOM_SQUEEZENET,
    )


@pytest.fixture
def project(tmp_path: Path, once: Once) -> Path:
    return copy(once("digits", make_digits), tmp_path / "project")


@pytest.fixture
def digits(project: Path) -> Path:
    """A project on zeros and ones, which `verb` runs in."""
    return project


def use(project: Path, folder: Path) -> None:
    """Take a backbone of transformers instead."""
    set_params(project, backbone__family="transformers", backbone__name=str(folder), backbone__weights="pretrained")


PREPROCESSING = {
    "resnet18": "preprocessing.json",
    "vit": "preprocessor_config.json",
    "test_efficientnet": "config.json",
}


@pytest.mark.parametrize("name", PREPROCESSING)
def test_step_0_equals_the_head_and_fine_tuning_is_repeatable(
    digits: Path, verb: Verb, tmp_path: Path, name: str
) -> None:
    if name == "vit":
        use(digits, make_vision_encoder(tmp_path / name, name))
    else:
        family = "timm" if name == "test_efficientnet" else "torchvision"
        set_params(digits, backbone__family=family, backbone__name=name)
    run_stages(digits, *UP_TO_HEAD)
    head = digits / "data/head"
    described = model_card.read(head)
    layer = linear_layer.read(head)
    assert described and layer and described.modality == "image"
    test = features.read(digits / "data/features", "test")
    photos = pq.read_table(digits / "data/prepared/test")["image"].to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(digits)
        classifier = classifiers.pretrained(described, CPU)
        classifier.start_from(*layer)
        start = classifier.probabilities(photos)
    np.testing.assert_allclose(start, loading.load(head, described, test.X.shape[1])(test.X), atol=1e-3)

    set_params(digits, finetune__method="full")
    verb("finetune")
    files = contents(digits / "data/finetuned")
    assert {"model.safetensors", "linear.safetensors", "model.json", PREPROCESSING[name]} <= files.keys()
    training = json.loads(files["model.json"])["training"]
    assert training["start"]["log_loss"] != training["epochs"][-1]["log_loss"]
    verb("finetune")
    assert files == contents(digits / "data/finetuned")

    verb("evaluate")
    rows = pq.read_table(digits / "data/evaluation/predictions.parquet").to_pylist()
    verb("predict", "data/finetuned", "data/digits", "out.parquet")
    predicted = {row["source"]: row["p_1"] for row in pq.read_table(digits / "out.parquet").to_pylist()}
    sources = {row["id"]: row["source"] for row in pq.read_table(digits / "data/prepared/test").to_pylist()}
    tuned = [row for row in rows if row["model"] == "finetuned"]
    assert len(tuned) == len(sources) > 0
    for row in tuned:
        assert predicted[sources[row["id"]]] == pytest.approx(row["p_1"], abs=1e-5)


def test_predict_takes_a_folder_or_a_table_and_lists_what_it_cannot_read(digits: Path, verb: Verb) -> None:
    run_stages(digits, *UP_TO_HEAD)
    new = digits / "new"
    new.mkdir()
    for label in "01":
        shutil.copy(digits / f"data/digits/{label}/{'0000' if label == '0' else '0001'}.png", new / f"{label}.png")
    (new / "broken.png").write_bytes(png(1)[:60])
    (digits / "params.yaml").unlink()
    done = verb("predict", "data/head", "new", "out.parquet")
    assert "2 rows predicted, 1 rejected" in done.stdout
    rows = {row["source"]: row for row in pq.read_table(digits / "out.parquet").to_pylist()}
    assert rows.keys() == {"0.png", "1.png", "broken.png"}
    assert [rows[f"{label}.png"]["predicted"] for label in "01"] == ["0", "1"]
    assert rows["broken.png"]["predicted"] is None and "cannot be decoded" in rows["broken.png"]["rejected"]
    (new / "list.csv").write_text("image\n1.png\n0.png\n", "utf-8")
    verb("predict", "data/head", "new/list.csv", "table.parquet")
    table = pq.read_table(digits / "table.parquet").to_pylist()
    assert [(row["source"], row["image"], row["predicted"]) for row in table] == [
        ("list.csv:2", "1.png", "1"),
        ("list.csv:3", "0.png", "0"),
    ]
    (digits / "empty").mkdir()
    assert "empty holds no table named train" in verb("predict", "data/head", "empty", "o.parquet", check=False).stderr


def test_predict_reads_pictures_and_skips_files_as_prepare_did(digits: Path, verb: Verb) -> None:
    set_params(digits, prepare__max_pixels=5_000)
    run_stages(digits, *UP_TO_HEAD)
    new = digits / "new"
    new.mkdir()
    shutil.copy(digits / "data/digits/1/0001.png", new / "one.jpg")
    shutil.copy(digits / "data/digits/1/0001.png", new / "one")
    (new / "large.png").write_bytes(png(1, (80, 80)))
    (new / "Thumbs.db").write_bytes(b"clutter")
    printed = verb("predict", "data/head", "new", "out.parquet").stdout
    assert "predict: 1 file or folder is no row and was skipped: Thumbs.db\n" in printed
    assert "1 image is of another format than the name says, and read as what it is, such as one.jpg (PNG)\n" in printed
    rows = {row["source"]: row for row in pq.read_table(digits / "out.parquet").to_pylist()}
    assert rows.keys() == {"one.jpg", "one", "large.png"}
    assert rows["one"]["predicted"] == rows["one.jpg"]["predicted"] == "1"
    assert "has 80 x 80 pixels, more than the 5,000 that the model's data was allowed" in rows["large.png"]["rejected"]


def test_predict_shrinks_as_prepare_did(digits: Path, verb: Verb) -> None:
    """A large photo gets the same probabilities from predict as from the pipeline."""
    for label in "01":
        for path in sorted((digits / "data/digits" / label).iterdir())[:30]:
            path.write_bytes(png(int(path.stem), (90, 70)))
    set_params(digits, prepare__max_side=40)
    run_stages(digits)
    verb("predict", "data/head", "data/digits", "out.parquet")
    predicted = {row["source"]: row["p_1"] for row in pq.read_table(digits / "out.parquet").to_pylist()}
    rows = pq.read_table(digits / "data/evaluation/predictions.parquet").to_pylist()
    sources = {row["id"]: row["source"] for row in pq.read_table(digits / "data/prepared/test").to_pylist()}
    for row in rows:
        if row["model"] != "head":
            continue
        assert predicted[sources[row["id"]]] == pytest.approx(row["p_1"], abs=2e-3)  # features are stored in float16


@pytest.mark.slow
def test_a_fine_tuned_backbone_is_the_start_of_the_next_task(digits: Path, verb: Verb) -> None:
    """Chain transfer: and the pipeline sees when the weights behind the name change."""
    # Without validation rows the last epoch is kept; the weights that training started from never are.
    set_params(digits, finetune__method="full", prepare__validation=0)
    dvc(digits, "repro")
    before = json.loads((digits / "data/head/model.json").read_text("utf-8"))["fingerprint"]
    target = digits / "data/pretrained/zero-one.safetensors"
    shutil.copy(digits / "data/finetuned/model.safetensors", target)
    set_params(digits, backbone__weights="data/pretrained/zero-one.safetensors", finetune__method="none")
    dvc(digits, "repro")
    first = json.loads((digits / "data/head/model.json").read_text("utf-8"))["fingerprint"]
    assert first != before
    assert "didn't change, skipping" in dvc(digits, "repro", "extract").stdout
    shutil.copy(target, target.with_name("x.safetensors"))
    assert "didn't change, skipping" not in dvc(digits, "repro", "extract").stdout.replace(
        "Stage 'prepare' didn't change, skipping", ""
    )
