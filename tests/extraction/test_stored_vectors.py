"""Vectors outside of a feature table, by the row cache of extract."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.backbones import deferred, light_text
from stages.backbones.encoder import Encoder
from stages.common.params import RuntimeParams
from stages.extraction import rows
from stages.heads import model_card
from stages.tables import features, prepared
from tests.projects import run, run_stages, set_params, stage

CPU = RuntimeParams(device="cpu")
NO_CACHE = RuntimeParams(device="cpu", row_cache=False)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The inputs of which networks compute vectors from now on."""
    inputs: list[Any] = []
    real = Encoder.stream

    def stream(encoder: Encoder, given: Sequence[Any]) -> Any:
        if given is not light_text.TEXTS:  # by which `describe` measures a network
            inputs.extend(given)
        return real(encoder, given)

    monkeypatch.setattr(Encoder, "stream", stream)
    return inputs


def vectors(project: Path, texts: Sequence[str], runtime: RuntimeParams, get: Any = rows.stored_vectors) -> np.ndarray:
    card = model_card.read_head(project / "data/head")
    backbone = deferred.load(card.backbone, card.extract, runtime, modality="text")
    return np.asarray(get(backbone, card.backbone, runtime, texts))


def test_they_are_those_of_the_feature_table_with_and_without_the_cache(
    trained: Path, encoded: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = prepared.read(trained / "data/prepared", "test")["text"].to_pylist()
    table = features.read(trained / "data/features", "test").X
    assert np.array_equal(vectors(trained, texts, NO_CACHE), table) and len(encoded) == len(texts)
    assert np.array_equal(vectors(trained, texts, CPU), table)
    computed = len(encoded)
    assert np.array_equal(vectors(trained, [texts[3], "new", texts[0]], CPU)[[2, 0]], table[[0, 3]])
    assert encoded[computed:] == ["new"]
    (tmp_path / "file").write_text("no folder", "utf-8")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    assert np.array_equal(vectors(trained, texts, CPU), table), "a cache folder that cannot be used is done without"


def test_looking_them_up_stores_nothing(trained: Path, encoded: list[Any], store: Path) -> None:
    texts = prepared.read(trained / "data/prepared", "test")["text"].to_pylist()
    table = features.read(trained / "data/features", "test").X
    shutil.rmtree(store, ignore_errors=True)
    assert np.array_equal(vectors(trained, texts, CPU, rows.known_vectors), table) and not store.exists()
    vectors(trained, texts[:3], CPU)
    computed = len(encoded)
    for _ in range(2):
        assert np.array_equal(vectors(trained, texts[:5], CPU, rows.known_vectors), table[:5])
    assert encoded[computed:] == texts[3:5] * 2


@pytest.mark.slow
def test_predict_of_known_texts_equals_evaluate_and_loads_no_network(trained: Path) -> None:
    set_params(trained, evaluate__learning_curve=[], evaluate__bootstrap=50)
    run_stages(trained, "extract", "finetune", "evaluate")
    test = prepared.read(trained / "data/prepared", "test").to_pandas()
    test[["text", "label"]].to_csv(trained / "new.csv", index=False)
    arguments = ("data/head", "new.csv", "out.parquet")
    stage(trained, "predict", *arguments)  # describes the backbone
    code = f"import sys; sys.argv[1:] = {arguments}; from stages import predict; predict.main(); "
    heavy = "torch", "transformers", "pandas", "sklearn", "scipy.optimize"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    assert run(trained, sys.executable, "-c", code).stdout.endswith("[]\n")
    predicted = pq.read_table(trained / "out.parquet").to_pandas()
    evaluated = pq.read_table(trained / "data/evaluation/predictions.parquet").to_pandas()
    evaluated = evaluated[evaluated["model"] == "head"].set_index("id").loc[test["id"]]
    columns = [name for name in predicted if name.startswith("p_")]
    assert columns and (predicted[columns].to_numpy() == evaluated[columns].to_numpy()).all()


def test_another_head_with_the_same_mistakes_computes_no_vector(trained: Path, encoded: list[Any]) -> None:
    table = trained / "data/reviews.csv"
    lines = table.read_text("utf-8").splitlines()
    for row in range(1, 40, 4):  # wrong labels
        text, label = lines[row].split(",")
        lines[row] = f"{text},{'good' if label == 'bad' else 'bad'}"
    table.write_text("\n".join(lines) + "\n", "utf-8")
    set_params(trained, evaluate__learning_curve=[], evaluate__bootstrap=50, train_head__C=[1.0])
    run_stages(trained)
    explained = (trained / "data/evaluation/explanations.parquet").read_bytes()
    computed = len(encoded)
    set_params(trained, train_head__C=[1.01])
    run_stages(trained, "train_head", "finetune", "evaluate")
    assert (trained / "data/evaluation/explanations.parquet").read_bytes() != explained
    assert len(encoded) == computed > 0
