"""export --sentence-transformers: that library computes the model's vectors from the exported folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from stages.common.errors import HeadstartError
from stages.common.params import RuntimeParams
from stages.exporting import sentence_transformers
from stages.finetuning import trained_model
from stages.heads import model_card
from tests.backbones.test_recipe import ALL, declare, ours
from tests.projects import Verb, contents, set_params, stage

PROMPTS = {"query": "the best "}
STEPS = (modules.Dense(64, 16), modules.LayerNorm(16), modules.Dense(16, 8, use_residual=True), modules.Normalize())


def theirs(folder: Path, texts: list[str]) -> np.ndarray:
    X: np.ndarray = SentenceTransformer(str(folder), device="cpu").encode(texts, show_progress_bar=False)
    return X


@pytest.mark.parametrize(
    ("pooling", "steps", "options"),
    [
        (modules.Pooling(32, "mean"), (), {}),
        (modules.Pooling(32, "cls"), (modules.Normalize(),), {"lowercase": True}),
        (modules.Pooling(32, "mean", include_prompt=False), (), {"prompts": PROMPTS, "default_prompt_name": "query"}),
        (modules.Pooling(32, ("cls", "mean")), STEPS, {}),
    ],
)
def test_vectors_are_the_same(tiny_encoder: Path, tmp_path: Path, pooling: Any, steps: Any, options: Any) -> None:
    encoder = ours(declare(tiny_encoder, tmp_path / "model", pooling, *steps, **options))
    (tmp_path / "out").mkdir()
    sentence_transformers.write(tmp_path / "out", encoder, "tiny")
    sentence_transformers.check(tmp_path / "out", encoder, ALL, RuntimeParams(device="cpu"))
    np.testing.assert_allclose(theirs(tmp_path / "out", ALL), encoder.encode(ALL), atol=1e-5)


def test_what_it_has_no_form_for_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"extract.combine is pair"):
        sentence_transformers.write(tmp_path, ours(tiny_encoder, combine="pair"), "tiny")
    cut = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "mean"), truncate_dim=8)
    with pytest.raises(HeadstartError, match="first dimensions"):
        sentence_transformers.write(tmp_path, ours(cut), "tiny")


def test_files_that_give_other_vectors_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    sentence_transformers.write(tmp_path / "out", ours(tiny_encoder), "tiny")
    with pytest.raises(HeadstartError, match=r"differ by .* so nothing is written"):
        sentence_transformers.check(
            tmp_path / "out", ours(tiny_encoder, pooling="cls"), ALL, RuntimeParams(device="cpu")
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_fine_tuned_model_is_one_of_sentence_transformers(
    trained: Path, tiny_encoder: Path, verb: Verb, method: str
) -> None:
    set_params(trained, finetune__method=method, finetune__epochs=1)
    verb("finetune")
    verb("export", "data/finetuned", "out", "--sentence-transformers")
    card = model_card.read_trained(trained / "data/finetuned")
    model = trained_model.load(trained / "data/finetuned", card, RuntimeParams(device="cpu"))
    np.testing.assert_allclose(theirs(trained / "out", ALL), model.vectors(ALL), atol=1e-5)
    files = contents(trained / "out")
    assert "SentenceTransformer(FOLDER)" in files["README.md"].decode() and "recipe.json" not in files
    assert not [name for name in files if Path(name).suffix in (".pkl", ".bin", ".py") and name != "run.py"]
    paths = (tiny_encoder.parent, trained, Path.cwd())
    assert not [name for name, content in files.items() if any(str(path).encode() in content for path in paths)]
    verb("export", "data/finetuned", "out")  # replaces what it wrote
    assert "modules.json" not in contents(trained / "out")


@pytest.mark.slow
def test_words_have_no_such_form(finished: Path) -> None:
    done = stage(finished, "export", "data/head", "out", "--sentence-transformers", check=False)
    assert done.returncode == 1 and "no transformer for texts" in done.stderr
