"""export: the folder computes what predict does, without torch, and what cannot be exported is refused."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stages.common.predict_params import PredictParams
from stages.exporting import checking
from stages.heads import certainty_file
from stages.tables import prepared
from tests.pictures import png
from tests.projects import TFIDF, Verb, contents, keep_rows, run, set_params, stage

FILES = {"README.md", "model.json", "model.onnx", "run.py"}


def predicted(project: Path, model: str, texts: list[str], verb: Verb) -> np.ndarray:
    with (project / "new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    verb("predict", model, "new.csv", "out.csv")
    with (project / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(value) for name, value in row.items() if name.startswith("p_")] for row in rows])


TEXTS = ["i love this movie", "hate", "the best product is the worst, I HATE it " * 9, "unknown words only", "İ ß a b"]


def test_a_text_model_is_exported(trained: Path, verb: Verb) -> None:
    done = verb("export", "data/head", "out")
    files = contents(trained / "out")
    assert files.keys() == {*FILES, "tokenizer.json"}
    assert (
        "export: largest difference from predict on 100 rows: " in done.stdout
        and " ms a row on one core" in done.stdout
    )
    model = checking.load(trained / "out", "model.onnx")
    P = predicted(trained, "data/head", TEXTS, verb)
    # Vectors are rounded to float16; where the last bits of float32 differ, that may go the other way.
    np.testing.assert_allclose(model.probabilities(TEXTS), P, atol=1e-3)
    alone = np.vstack([model.probabilities([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, P, atol=1e-3)
    assert model.probabilities([]).shape == (0, 2)
    for name, content in files.items():
        assert str(trained.parent).encode() not in content and str(Path.cwd()).encode() not in content, name
        assert b"site-packages" not in content and b'.py"' not in content, name
    verb("export", "data/head", "out")
    assert contents(trained / "out") == files
    graph = onnx.load(trained / "out/model.onnx")
    assert [value.name for value in graph.graph.input] == ["input_ids", "token_type_ids", "attention_mask"]


@pytest.fixture
def counted(project: Path) -> Path:
    """A project with a head on words, up to the head."""
    set_params(project, **TFIDF)
    for name in ("prepare", "extract", "train_head"):
        stage(project, name)
    return project


@pytest.mark.parametrize(
    "kind", ["ridge", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("linear_svm", "mlp"))]
)
def test_heads(project: Path, verb: Verb, kind: str) -> None:
    set_params(project, **TFIDF, train_head__kind=kind, train_head__C=[1.0])
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    verb("export", "data/head", "out")
    model = checking.load(project / "out", "model.onnx")
    texts = ["the hotel was clean", "zzz", "sound of these headphones"]
    np.testing.assert_allclose(model.probabilities(texts), predicted(project, "data/head", texts, verb), atol=1e-5)
    held_out = certainty_file.read(project / "data/head").held_out
    assert held_out is not None
    thresholds = json.loads((project / "out/model.json").read_text("utf-8"))["thresholds"]
    assert thresholds.keys() == {"target_accuracy", "coverage", "accepted_from", "in_prediction_set_from"}
    confidence = held_out.limits(PredictParams()).confidence
    assert thresholds["accepted_from"] == (None if np.isinf(confidence) else confidence)


WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "transformers", "sklearn", "scipy", "stages", "onnx", "pyarrow"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
from run import Model
print(Model(sys.argv[1]).probabilities(["the hotel was clean"]).tolist())
"""


def test_the_folder_needs_neither_torch_nor_headstart(counted: Path, tmp_path: Path, verb: Verb) -> None:
    verb("export", "data/head", "out")
    moved = Path(shutil.copytree(counted / "out", tmp_path / "elsewhere" / "a model"))
    done = run(tmp_path, sys.executable, "-c", WITHOUT, str(moved))
    expected = predicted(counted, "data/head", ["the hotel was clean"], verb)
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)
    done = run(tmp_path, sys.executable, str(moved / "run.py"), "the hotel was clean", "a good book")
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["the hotel was clean", "hotels"], ["a good book", "books"]]
    shutil.rmtree(counted / "out")
    shutil.copytree(moved, counted / "out")
    verb("export", "data/head", "out")  # what Python compiled there is no data of anybody
    assert contents(counted / "out").keys() == {*FILES, "vocabulary.json"}


@pytest.mark.slow
def test_smaller_files(counted: Path, verb: Verb) -> None:
    sizes, texts = {}, ["the hotel was clean", "sound of these headphones"]
    expected = predicted(counted, "data/head", texts, verb)
    for name, tolerance in (("float32", 1e-5), ("float16", 1e-3), ("int8", 0.02)):
        done = verb("export", "data/head", "out", *([] if name == "float32" else [f"--{name}"]))
        assert contents(counted / "out").keys() == {*FILES, "vocabulary.json"}
        assert ("int8 is as good: of 168 test rows" in done.stdout) == (name == "int8") and not done.stderr
        model = checking.load(counted / "out", "model.onnx")
        np.testing.assert_allclose(model.probabilities(texts), expected, atol=tolerance)
        sizes[name] = (counted / "out/model.onnx").stat().st_size
        assert (name in (counted / "out/README.md").read_text("utf-8")) == (name != "float32")
    assert sizes["float16"] < 0.6 * sizes["float32"] and sizes["int8"] < 0.4 * sizes["float32"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_fine_tuned_model(trained: Path, verb: Verb, method: str) -> None:
    set_params(trained, finetune__method=method, finetune__epochs=1)
    verb("finetune")
    verb("export", "data/finetuned", "out")
    model = checking.load(trained / "out", "model.onnx")
    P = predicted(trained, "data/finetuned", TEXTS, verb)
    np.testing.assert_allclose(model.probabilities(TEXTS), P, atol=1e-4)
    assert f"fine-tuned ({method})" in (trained / "out/README.md").read_text("utf-8")


@pytest.mark.slow
def test_minilm(project: Path, verb: Verb) -> None:
    keep_rows(project, 200)
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    verb("export", "data/head", "out")
    assert "name the licence apache-2.0" in (project / "out/README.md").read_text("utf-8")
    texts = ["the hotel was clean", "sound of these headphones " * 60, "zzz"]
    model = checking.load(project / "out", "model.onnx")
    np.testing.assert_allclose(model.probabilities(texts), predicted(project, "data/head", texts, verb), atol=1e-4)


@pytest.mark.slow
def test_a_head_of_two_layers_on_vectors_of_float32(trained: Path, verb: Verb) -> None:
    set_params(trained, train_head__kind="mlp", train_head__C=[1.0], extract__dtype="float32")
    for name in ("extract", "train_head"):
        verb(name)
    verb("export", "data/head", "out")
    model = checking.load(trained / "out", "model.onnx")
    np.testing.assert_allclose(model.probabilities(TEXTS), predicted(trained, "data/head", TEXTS, verb), atol=1e-4)


@pytest.mark.slow
def test_efficientnet(project: Path, verb: Verb) -> None:
    for label in ("one", "two"):
        (project / "data/pictures" / label).mkdir(parents=True)
        for number in range(30):
            content = png(number + 100 * (label == "two"), (40 + number, 60))
            (project / "data/pictures" / label / f"{number}.png").write_bytes(content)
    set_params(
        project,
        prepare__data="data/pictures",
        backbone__family="timm",
        backbone__name="tf_efficientnet_lite0.pypi",
        backbone__revision=None,
        extract__image_size=64,
    )
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    verb("export", "data/head", "out")
    verb("predict", "data/head", "data/pictures", "out.csv")
    with (project / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    P = [[float(value) for name, value in row.items() if name.startswith("p_")] for row in rows]
    model = checking.load(project / "out", "model.onnx")
    paths = [project / "data/pictures" / row["image"] for row in rows]
    np.testing.assert_allclose(model.probabilities(paths), P, atol=1e-4)


def test_the_readme_quotes_the_evaluation_of_this_model_only(finished: Path) -> None:
    stage(finished, "export", "data/head", "out")
    text = (finished / "out/README.md").read_text("utf-8")
    details = json.loads((finished / "data/evaluation/details.json").read_text("utf-8"))
    ends = details["head_ci95"]["accuracy"]
    assert f"| accuracy | {details['head']['accuracy']:.3f} ({ends['low']:.3f} to {ends['high']:.3f}) |" in text
    assert f"{details['test_rows']} test rows" in text
    set_params(finished, train_head__C=[0.001])
    stage(finished, "train_head")
    stage(finished, "export", "data/head", "out")
    assert "No evaluation of this very model" in (finished / "out/README.md").read_text("utf-8")


def test_mistakes_end_with_one_sentence(counted: Path, verb: Verb) -> None:
    (counted / "other").mkdir()
    (counted / "other/mine.txt").write_text("mine", "utf-8")
    for split in prepared.SPLITS:
        info = prepared.TableInfo(input="image", modality="image", max_side=None)
        with prepared.writer(counted / "data/pictures" / split, info):
            pass
    card = counted / "data/head/model.json"
    content = json.loads(card.read_text("utf-8"))
    two = [content["backbone"], content["backbone"] | {"name": "char_wb"}]
    cases: list[tuple[list[str], dict[str, Any], str]] = [
        (["data/head", "other"], {}, "other is not replaced, as export did not write"),
        (["data/head", "data/head/out"], {}, "lies in the input data/head"),
        (["data/nothing", "out"], {}, "data/nothing/model.json does not exist"),
        (["data/head", "out", "--int8", "--float16"], {}, "two ways to make the file smaller"),
        (["data/head", "out", "--prepared", "data/none"], {}, "data/none"),
        (["data/head", "out"], {"backbone": two}, "has 2 backbones, but a graph holds one"),
        (["data/head", "out", "--prepared", "data/pictures"], {}, "data/pictures holds no texts to check"),
    ]
    for arguments, changes, expected in cases:
        card.write_text(json.dumps(content | changes), "utf-8")
        done = verb("export", *arguments, check=False)
        assert done.returncode == 1 and expected in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert not (counted / "out").exists()
    assert (counted / "other/mine.txt").read_text("utf-8") == "mine"


def test_a_head_of_neighbours_is_refused(counted: Path, verb: Verb) -> None:
    set_params(counted, train_head__kind="knn")
    verb("train_head")
    done = verb("export", "data/head", "out", check=False)
    assert done.returncode == 1 and "holds a k-NN head" in done.stderr and not (counted / "out").exists()


def test_an_export_that_computes_something_else_is_not_written(
    counted: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "MAX_DIFFERENCE", -1.0)
    done = verb("export", "data/head", "out", check=False)
    assert done.returncode == 1 and "differ by " in done.stderr and "from those of predict" in done.stderr
    assert not (counted / "out").exists() and not list(counted.glob(".out*"))
