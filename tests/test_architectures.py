"""Every architecture goes through all verbs, or is refused before any work."""

import csv
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from stages import backbones
from stages.common import params
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractSection, FinetuneParams, RuntimeParams
from stages.common.predict_params import PredictParams
from stages.evaluate import evaluate
from stages.extract import extract
from stages.finetune import finetune
from stages.finetuning import classifier, loop
from stages.heads import model_card
from stages.predict import predict
from stages.prepare import prepare
from stages.tables import images, prepared
from stages.train_head import train_head
from tests.backbones import architectures
from tests.finetuning.recipes import pictures
from tests.projects import WORDS

QUICK = ("bert", "roberta", "t5", "gpt2", "vit", "resnet")
METHODS = ("full", "last_block", "lora")
REFUSED = {  # before extract encodes anything
    "dpr": "cannot be used as a text encoder .*last_hidden_state",
    "funnel-base": "cannot be used as a text encoder .*it gives",
    "reformer": "it draws random numbers",
    "perceiver": "takes inputs and not input_ids, so it encodes no texts",
    "whisper-text": "takes input_features and not input_ids, so it encodes no texts",
    "vit-as-text": "takes pixel_values and not input_ids, so it encodes no texts",
    "bert-as-image": "takes input_ids and not pixel_values, so it encodes no images",
    "wav2vec2-as-image": "takes input_values and not pixel_values, so it encodes no images",
    "vit-mae": "draws random numbers",
    "siglip2": "needs pixel_attention_mask, spatial_shapes beside pixel_values, so it does not encode images alone",
}
REFUSED_METHODS = {  # before finetune trains
    "ibert": {"lora": "has no linear layer or convolution"},
    "squeezebert": {"lora": "has no linear layer or convolution"},
    "mobilenet-v1": {"lora": "cannot be trained with finetune.method lora"},
    "mobilenet-v2": {"lora": "cannot be trained with finetune.method lora"},
}
CPU = RuntimeParams(device="cpu", row_cache=False)
HEAD = params.TrainHeadParams(C=(1.0,), folds=2)
SETTINGS = {"text": ExtractSection(max_length=60, normalize=False), "image": ExtractSection(normalize=False)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Raw rows of both modalities: texts of 2 to 50 words, and pictures."""
    folder = tmp_path_factory.mktemp("rows")
    generator = np.random.default_rng(0)
    with (folder / "text.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(48):
            words = generator.choice(WORDS, generator.integers(1, 20) if row % 4 else generator.integers(33, 50))
            writer.writerow([" ".join([*words, "love" if row % 2 else "hate"]), "ab"[row % 2]])
    for row, (picture, label) in enumerate(zip(*pictures(48), strict=True)):
        path = folder / "image" / "ab"[label] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    return {"text": folder / "text.csv", "image": folder / "image"}


@pytest.fixture(scope="module")
def tables(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The prepared tables of both modalities."""
    out = {}
    for modality, path in data.items():
        out[modality] = tmp_path_factory.mktemp("tables") / modality
        prepare(out[modality], params.PrepareParams(data=str(path), input=modality, label="label", test=0.25))
    return out


def names() -> Iterator[Any]:
    for name in (*architectures.TEXTS, *architectures.IMAGES):
        yield pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


@pytest.mark.filterwarnings("ignore")  # of transformers, about configurations as small as these
@pytest.mark.parametrize("name", [*names()])
def test_an_architecture_goes_through_all_verbs(
    name: str, data: dict[str, Path], tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modality = "text" if name in architectures.TEXTS else "image"
    folder, table = architectures.make(tmp_path / "model", name), tables[modality]
    spec = BackboneParams(family="transformers", name=str(folder))
    features, head = tmp_path / "features", tmp_path / "head"

    def run_extract() -> None:
        extract(prepared_folder=table, target=features, spec=spec, settings=SETTINGS[modality], runtime=CPU)

    if name in REFUSED:
        with pytest.raises(HeadstartError, match=REFUSED[name]):
            run_extract()
        assert not features.exists()
        return
    run_extract()
    inputs = prepared.read(table, "test")[modality].to_pylist()
    check_vectors(folder, name, spec, inputs)
    train_head(features_folder=features, target=head, budget=params.BudgetParams(), settings=HEAD)
    for method in METHODS:
        settings = params.Params(
            prepare=params.PrepareParams(data="-", input=modality, label="label"),
            backbone=spec,
            finetune=FinetuneParams(method=method, epochs=1, batch_size=16, learning_rate=1e-3),
            runtime=CPU,
        )
        before = Before(monkeypatch, inputs)

        def run_finetune(settings: params.Params = settings, target: Path = tmp_path / method) -> None:
            finetune(
                prepared_folder=table, features_folder=features, head_folder=head, target=target, settings=settings
            )

        if words := REFUSED_METHODS.get(name, {}).get(method):
            with pytest.raises(HeadstartError, match=words):
                run_finetune()
            assert not before.has_trained and not (tmp_path / method).exists()
            continue
        run_finetune()
        card = model_card.read(tmp_path / method)
        assert card and before.has_trained
        loaded = classifier.load(tmp_path / method, card, CPU)
        np.testing.assert_allclose(loaded.probabilities(inputs), before.probabilities, atol=1e-5)
        out = tmp_path / "predicted.parquet"
        predict(folder=tmp_path / method, new=data[modality], target=out, runtime=CPU)
        assert pq.read_table(out)["predicted"].null_count == 0
    evaluate(
        prepared_folder=table,
        features_folder=features,
        head_folder=head,
        finetuned_folder=tmp_path / "full",
        target=tmp_path / "evaluation",
        budget=params.BudgetParams(),
        settings=params.EvaluateParams(bootstrap=0, learning_curve=()),
        head_settings=HEAD,
        predict_settings=PredictParams(),
        runtime=CPU,
    )


class Before:
    """Whether training began, and the probabilities of the model just before it was written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, inputs: list[Any]) -> None:
        self.has_trained = False
        self.probabilities = np.empty(0)
        train, save = loop.train, classifier.Classifier.save

        def watched_train(*arguments: Any) -> Any:
            self.has_trained = True
            return train(*arguments)

        def watched_save(model: classifier.Classifier, folder: Path, *, method: str) -> None:
            self.probabilities = model.probabilities(inputs)
            save(model, folder, method=method)

        monkeypatch.setattr(loop, "train", watched_train)
        monkeypatch.setattr(classifier.Classifier, "save", watched_save)


def check_vectors(folder: Path, name: str, spec: BackboneParams, inputs: list[Any]) -> None:
    """A vector is that of the model alone, without padding, whatever other rows there are."""
    modality = "text" if name in architectures.TEXTS else "image"
    encoder = backbones.load(spec, SETTINGS[modality], CPU, modality=modality)
    vectors = encoder.encode(inputs)
    scale = np.abs(vectors).max()
    assert np.isfinite(scale) and scale > 1e-6
    np.testing.assert_allclose(
        np.concatenate([encoder.encode([row]) for row in inputs[::-1]])[::-1], vectors, rtol=0, atol=1e-5 * scale
    )
    alone = architectures.plain(folder, name)
    with torch.no_grad():
        wanted = np.stack([alone_vector(encoder, alone, row) for row in inputs])
    cosine = (vectors * wanted).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosine.min() > 0.9999


def alone_vector(encoder: Any, model: Any, row: Any) -> np.ndarray:
    """The mean of the positions of the last layer for one row: (dim,)."""
    if isinstance(row, bytes):
        output = model(encoder.preprocessing(images.decode(row))[None])
        hidden = output.feature_maps[-1] if "feature_maps" in output else output.last_hidden_state
        hidden = hidden.flatten(2).mT if hidden.ndim == 4 else hidden
    else:
        tokens = encoder.tokenizer(row, truncation=True, max_length=60, return_tensors="pt")
        taken = inspect.signature(model.forward).parameters.keys() - {"attention_mask"}
        options = {"use_cache": False} if "use_cache" in taken else {}
        hidden = model(**{key: tensor for key, tensor in tokens.items() if key in taken}, **options).last_hidden_state
    return hidden[0].mean(dim=0).numpy()
