"""Fine-tuning of a model with steps after its pooling: they are trained, saved and loaded."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sentence_transformers.sentence_transformer import modules

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.heads import model_card
from tests.backbones.test_recipe import PROMPTS, declare
from tests.conftest import Once, copy
from tests.projects import UP_TO_HEAD, make_trained, run_stages, set_params, stage

CPU = RuntimeParams(device="cpu")


@pytest.fixture
def declared(once: Once, tiny_encoder: Path, tmp_path: Path) -> Path:
    """A project up to the head, on a model with a Dense layer and a prompt."""

    def make(folder: Path) -> None:
        pooling = modules.Pooling(32, ("mean", "cls"), include_prompt=False)
        prompts = {"prompts": PROMPTS, "default_prompt_name": "query"}
        declare(tiny_encoder, folder, pooling, modules.Dense(64, 16), max_length=64, **prompts)

    model = once("declared", make)
    return copy(once("trained-declared", partial(make_trained, encoder=model)), tmp_path / "project")


@pytest.mark.parametrize("method", ["full", "last_block", "lora"])
def test_evaluate_and_predict_load_what_was_trained(declared: Path, method: str) -> None:
    set_params(declared, finetune__method=method, finetune__epochs=1, evaluate__learning_curve=[])
    stage(declared, "finetune")
    stage(declared, "evaluate")
    stage(declared, "predict", "data/finetuned", "data/reviews.csv", "out.parquet")
    predicted = pq.read_table(declared / "out.parquet").to_pandas()
    test = pq.read_table(declared / "data/prepared/test").to_pandas().set_index("id")
    rows = pq.read_table(declared / "data/evaluation/predictions.parquet").to_pandas()
    rows = rows[rows["model"] == "finetuned"]
    by_text = predicted.set_index("text")["p_good"]
    np.testing.assert_allclose(rows["p_good"], by_text[test.loc[rows["id"], "text"]], atol=1e-6)


def test_fine_tuned_weights_hold_those_of_the_steps(declared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without validation rows the last epoch is kept.
    set_params(declared, prepare__validation=0, finetune__method="full", finetune__epochs=1)
    run_stages(declared, *UP_TO_HEAD, "finetune")
    monkeypatch.chdir(declared)
    card = model_card.read(Path("data/finetuned"))
    assert card
    texts = ["i love this movie", "awful " * 40]

    def vectors(spec: BackboneParams, settings: ExtractParams) -> Any:
        return backbones.load(spec, settings, CPU, modality="text").encode(texts)

    tuned = backbones.load_finetuned(Path("data/finetuned"), card.backbone, card.extract, CPU, "text").encode(texts)
    weights = card.backbone.model_copy(update={"weights": "data/finetuned/model.safetensors"})
    folder = card.backbone.model_copy(update={"name": "data/finetuned"})
    np.testing.assert_array_equal(vectors(weights, card.extract), tuned)
    np.testing.assert_array_equal(vectors(folder, ExtractParams()), tuned)
    assert np.abs(vectors(card.backbone, card.extract) - tuned).max() > 1e-4, "training changed them"
