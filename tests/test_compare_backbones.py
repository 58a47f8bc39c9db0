"""A comparison of backbones reads training rows only, computes nothing twice, and always writes the same bytes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from PIL import Image

from stages import compare_backbones
from stages.backbones.encoder import Encoder
from stages.tables import shards
from tests.projects import Verb, contents, set_params

BOARD = "data/leaderboard"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def texts(trained: Path, verb: Verb, tiny_encoder: Path) -> Path:
    """A project with 160 prepared texts in two classes, which lists two backbones that work and one that does not."""
    names = [f"transformers:{tiny_encoder}", "tfidf:word", "transformers: data/nowhere", "pixels:rgb"]
    set_params(trained, compare__backbones=names)
    return trained


def board(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / BOARD / "leaderboard.json").read_text("utf-8"))
    return content


def test_the_best_and_the_cheapest_within_noise_are_named(texts: Path, verb: Verb, tiny_encoder: Path) -> None:
    done = verb("compare_backbones")
    content = board(texts)
    words, encoder = content["backbones"]
    assert words["backbone"] == "tfidf:word" and words["accuracy"] == 1 and words["is_best"] and words["is_cheapest"]
    assert encoder["backbone"] == f"transformers:{tiny_encoder}" and not encoder["is_best"]
    assert encoder["behind_best"] == pytest.approx(1 - encoder["accuracy"], abs=1e-6)
    assert encoder["dimensions"] == 32 and encoder["megabytes"] > 0.01
    for entry in content["backbones"]:
        assert entry["accuracy_ci95"]["low"] <= entry["accuracy"] <= entry["accuracy_ci95"]["high"]
        assert entry["rows_per_second"] > 0
    (failure,) = content["failed"]
    assert failure["backbone"] == "transformers:data/nowhere" and "data/nowhere" in failure["reason"]
    assert "best and cheapest within noise of the best: tfidf:word" in done.stdout
    assert "failed: " in done.stdout and "pixels" not in done.stdout, "the rows are texts"
    page = (texts / BOARD / "leaderboard.md").read_text("utf-8")
    assert page.startswith("# Backbones") and "| tfidf:word | 1.000 (" in page


def test_nothing_is_computed_twice_and_no_row_of_the_test_is_read(
    texts: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb("compare_backbones")
    before = contents(texts / BOARD)
    monkeypatch.setattr(Encoder, "stream", lambda *_: pytest.fail("a vector was computed"))
    for split in ("validation", "test"):
        shutil.rmtree(texts / "data/prepared" / split)
    verb("compare_backbones")
    assert contents(texts / BOARD) == before


def test_extract_takes_the_vectors_of_the_comparison(texts: Path, verb: Verb) -> None:
    verb("compare_backbones")
    rows = board(texts)["training_rows"]
    assert f"160 rows ({rows} from the cache)" in verb("extract").stdout


def test_images_from_weights_of_a_file_and_pixels(tmp_path: Path, project: Path, verb: Verb) -> None:
    for row in range(24):
        path = project / f"data/pictures/{'dark' if row % 2 else 'light'}/{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24, 24), 30).point([row % 2 * 90 + value // 3 for value in range(256)]).save(path)
    set_params(project, prepare__data="data/pictures", runtime__device="cpu", extract__image_size=32)
    squeezenet = {"family": "torchvision", "name": "squeezenet1_1", "weights": "random"}
    set_params(project, compare__backbones=["tfidf:word", {"pixels": "rgb"}, squeezenet])
    verb("prepare")
    verb("compare_backbones")
    content = board(project)
    names = {entry["backbone"]: entry for entry in content["backbones"]}
    assert names.keys() == {"pixels:rgb", "torchvision:squeezenet1_1 (random)"} and content["modality"] == "image"
    assert names["pixels:rgb"]["dimensions"] == 3 * 32 * 32 and names["pixels:rgb"]["megabytes"] == 0
    assert names["torchvision:squeezenet1_1 (random)"]["megabytes"] > 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"compare__backbones": ["pixels:rgb"]},
            "compare.backbones lists no backbone for texts; add one, such as tfidf:word",
        ),
        ({"compare__backbones": ["tfidf:bytes"]}, "no backbone of compare.backbones works (tfidf:bytes: backbone.name"),
        ({"budget__per_class": 1}, "data/prepared/train has fewer than two classes of two training rows"),
    ],
)
def test_nothing_to_compare_is_one_sentence(texts: Path, verb: Verb, changes: dict[str, object], sentence: str) -> None:
    set_params(texts, **changes)
    done = verb("compare_backbones", check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {sentence}"), done.stderr
    assert done.stderr.count("\n") == 1 and not (texts / BOARD).exists()


def test_only_an_earlier_leaderboard_is_replaced(texts: Path, verb: Verb) -> None:
    set_params(texts, compare__backbones=["tfidf:word"])
    (texts / BOARD).mkdir()
    (texts / BOARD / "notes.txt").write_text("mine", "utf-8")
    done = verb("compare_backbones", check=False)
    assert done.returncode == 1 and "compare_backbones did not write" in done.stderr
    assert (texts / BOARD / "notes.txt").read_text("utf-8") == "mine"


def test_backbones_that_are_joined_are_one_line(texts: Path, verb: Verb, tiny_encoder: Path) -> None:
    tiny = f"transformers:{tiny_encoder}"
    listed = [tiny, "tfidf:word", [tiny, "tfidf:word"], ["tfidf:word", "pixels:rgb"], ["pixels:rgb", "timm:x"]]
    set_params(texts, compare__backbones=listed)
    verb("compare_backbones")
    entries = {entry["backbone"]: entry for entry in board(texts)["backbones"]}
    both, alone = entries[f"{tiny} + tfidf:word"], [entries[tiny], entries["tfidf:word"]]
    assert len(entries) == 3 and both["accuracy"] == 1
    for cost in ("dimensions", "megabytes"):
        assert both[cost] == pytest.approx(sum(entry[cost] for entry in alone), abs=0.002)
    assert [section["family"] for section in both["settings"]] == ["transformers", "tfidf"]
    (failure,) = board(texts)["failed"]
    assert failure["backbone"] == "tfidf:word + pixels:rgb" and "does not encode text" in failure["reason"]


def test_many_rows_are_a_sample_and_a_class_of_one_row_is_left_out(
    texts: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_params(texts, compare__backbones=["tfidf:word"], prepare__validation=0)
    with (texts / "data/reviews.csv").open("a", encoding="utf-8") as file:
        file.write("the only one of its kind,alone\n")
    verb("prepare")
    verb("compare_backbones")
    rows = shards.count(texts / "data/prepared/train")
    assert board(texts)["training_rows"] == rows - 1 and board(texts)["classes"] == 2
    monkeypatch.setattr(compare_backbones, "MAX_COMPARED_ROWS", 60)
    verb("compare_backbones")
    assert board(texts)["training_rows"] == 40, "20 of each of two classes, and none of the class of one row"


def test_the_backbone_of_the_pipeline_needs_no_revision_twice(texts: Path, verb: Verb) -> None:
    own = {"backbone__family": "tfidf", "backbone__name": "word", "backbone__revision": "abc"}
    set_params(texts, compare__backbones=["tfidf:word", "tfidf:char_wb"], **own)
    verb("compare_backbones")
    revisions = {entry["backbone"]: entry["settings"]["revision"] for entry in board(texts)["backbones"]}
    assert revisions == {"tfidf:word": "abc", "tfidf:char_wb": None}
    set_params(texts, compare__backbones=[["tfidf:char_wb", "tfidf:word"]])
    verb("compare_backbones")
    (both,) = board(texts)["backbones"]
    assert [section["revision"] for section in both["settings"]] == [None, "abc"]


def test_dvc_shows_the_plot_and_reruns_nothing(texts: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    set_params(texts, compare__backbones=["tfidf:word"])
    verb("compare_backbones")
    monkeypatch.chdir(texts)
    with Repo() as repo:
        definitions = repo.plots.show()["workspace"]["definitions"]["data"]
        assert {stage.path_in_repo for stage in repo.index.stages} == {"dvc.yaml"}
    (plot,) = definitions[f"{BOARD}/dvc.yaml"]["data"].values()
    assert plot["y"] == {f"{BOARD}/accuracy.json": "backbone"} and plot["x"] == "accuracy"
