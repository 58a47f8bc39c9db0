"""The recipe that a model declares in the files of sentence-transformers, with that library as the oracle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from torch import nn

from stages.backbones.text import TextEncoder
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams
from stages.common.params import ExtractParams as Settings
from tests.backbones.text_backbones import CPU, TEXTS, load

ALL = [*TEXTS, "Love THIS", "movie", " ".join(["good bad the movie is a"] * 30)]  # the last one is cut
PROMPTS = {"query": "i love ", "passage": "the product is "}


def declare(encoder: Path, folder: Path, pooling: modules.Pooling, *steps: Any, **options: Any) -> Path:
    """Save a sentence-transformers model; `options` of the model, and `lowercase`, `max_length`."""
    lowercase, max_length = options.pop("lowercase", False), options.pop("max_length", 20)
    body = modules.Transformer(str(encoder), max_seq_length=max_length, do_lower_case=lowercase)
    SentenceTransformer(modules=[body, pooling, *steps], device="cpu", **options).save(str(folder))
    return folder


def ours(folder: Path, **settings: Any) -> TextEncoder:
    encoder = load(BackboneParams(family="transformers", name=str(folder)), Settings(**settings), CPU)
    assert isinstance(encoder, TextEncoder)
    return encoder


def assert_same(X: np.ndarray, Y: np.ndarray) -> None:
    cosine = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    assert X.shape == Y.shape and cosine.min() > 0.999999, cosine


def both(folder: Path, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    theirs = SentenceTransformer(str(folder), device="cpu").encode(ALL, show_progress_bar=False)
    return ours(folder, **settings).encode(ALL), theirs


MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.mark.parametrize("mode", [*MODES, ("cls", "mean"), ("lasttoken", "max", "weightedmean")])
def test_every_pooling_and_several_at_once(tiny_encoder: Path, tmp_path: Path, mode: Any) -> None:
    X, Y = both(declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, mode)))
    assert_same(X, Y)
    np.testing.assert_allclose(X, Y, atol=1e-5), "without a Normalize, the lengths are kept"


def test_switches_of_older_files(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, ("cls", "max")))
    config = folder / "1_Pooling/config.json"
    switches = {"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    config.write_text(json.dumps({"word_embedding_dimension": 32, **switches}), "utf-8")
    assert_same(*both(folder))
    assert ours(folder).dim == 64


STEPS: dict[str, list[nn.Module]] = {
    "Dense": [modules.Dense(32, 8)],
    "a wider Dense, then Normalize": [
        modules.Dense(32, 48, bias=False, activation_function=nn.Identity()),
        modules.Normalize(),
    ],
    "two Dense and a LayerNorm": [
        modules.Dense(32, 16, activation_function=nn.GELU()),
        modules.LayerNorm(16),
        modules.Dense(16, 12),
    ],
    "a residual": [modules.Dense(32, 32, use_residual=True), modules.Dense(32, 8, use_residual=True)],
    "Normalize first": [modules.Normalize(), modules.Dropout(0.5), modules.Dense(32, 8, activation_function=nn.SiLU())],
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_after_the_pooling(tiny_encoder: Path, tmp_path: Path, name: str) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "mean"), *STEPS[name])
    X, Y = both(folder)
    assert_same(X, Y)
    np.testing.assert_allclose(X, Y, atol=1e-5)
    assert np.linalg.norm(ours(folder, normalize=True).encode(ALL), axis=1) == pytest.approx(1, abs=1e-5)
    one_by_one = np.concatenate([ours(folder).encode([text]) for text in ALL])
    np.testing.assert_array_equal(X, one_by_one)  # a row's vector does not depend on the rows beside it


@pytest.mark.parametrize(
    "options", [{"prompts": PROMPTS, "default_prompt_name": "query"}, {"truncate_dim": 10}, {"lowercase": True}]
)
def test_prompts_dimensions_and_lower_case(tiny_encoder: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "mean"), modules.Normalize(), **options)
    assert_same(*both(folder))


def test_a_prompt_by_name_as_text_or_none(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = declare(
        tiny_encoder,
        tmp_path / "model",
        modules.Pooling(32, "mean", include_prompt=False),
        prompts=PROMPTS,
        default_prompt_name="query",
    )
    theirs = SentenceTransformer(str(folder), device="cpu")
    for prompt, text in [(None, PROMPTS["query"]), ("passage", PROMPTS["passage"]), ("a great ", "a great "), ("", "")]:
        X = ours(folder, prompt=prompt).encode(ALL)
        assert_same(X, theirs.encode(ALL, prompt=text, show_progress_bar=False))
    prints = {ours(folder, prompt=prompt).fingerprint for prompt in (None, "passage", "a great ", "")}
    assert len(prints) == 4
    with pytest.raises(HeadstartError, match=r"max_length is 4, but extract\.prompt and special tokens take"):
        ours(folder, max_length=4)


def test_settings_go_before_what_is_declared(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "cls"), modules.Normalize())
    assert ours(folder).recipe_sentence == "pooling cls, max_length 20, normalize true, no prompt"
    changed = ours(folder, pooling="mean", max_length=12, normalize=False)
    assert changed.recipe_sentence == "pooling mean, max_length 12, normalize false, no prompt"
    same = ours(folder, pooling="cls", max_length=20, normalize=True)
    assert same.fingerprint == ours(folder).fingerprint != changed.fingerprint, "auto and its values are the same"


def test_where_nothing_is_declared(tiny_encoder: Path) -> None:
    assert ours(tiny_encoder).recipe_sentence == "pooling mean, max_length 64, normalize true, no prompt"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_every_part_of_the_recipe_is_in_the_fingerprint(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "mean"), modules.Dense(32, 8))
    prints = [ours(folder).fingerprint]
    for file, change in [
        ("1_Pooling/config.json", {"pooling_mode": ["cls"]}),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.ReLU"}),
        ("sentence_bert_config.json", {"max_seq_length": 9}),
        ("config_sentence_transformers.json", {"prompts": {"x": "i "}, "default_prompt_name": "x"}),
    ]:
        edit(folder / file, **change)
        prints.append(ours(folder).fingerprint)
    weights = folder / "2_Dense/model.safetensors"
    state = {key: tensor + 1 for key, tensor in safetensors.torch.load_file(weights).items()}
    safetensors.torch.save_file(state, weights)
    prints.append(ours(folder).fingerprint)
    assert len(set(prints)) == 6
    edit(folder / "config_sentence_transformers.json", similarity_fn_name="dot")
    assert ours(folder).fingerprint == prints[-1], "decides no vector"


def pickled(folder: Path) -> None:
    (folder / "2_Dense/model.safetensors").rename(folder / "2_Dense/pytorch_model.bin")


def replaced(old: str, new: str) -> Any:
    def change(folder: Path) -> None:
        path = folder / "modules.json"
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pickled, "2_Dense holds no .*safetensors; Headstart reads no pickled weights"),
        (replaced("modules.dense.Dense", "modules.cnn.CNN"), "modules.json lists CNN, which is not supported"),
        (replaced("sentence_transformers.base.modules.dense.Dense", "harm.Dense"), "lists harm.Dense, which is not"),
        (replaced("2_Dense", "../2_Dense"), "names '../2_Dense', which is no folder"),
        (replaced("2_Dense", "/etc"), "names '/etc', which is no folder"),
        (
            lambda at: edit(at / "2_Dense/config.json", activation_function="os.system"),
            "activation_function is 'system'",
        ),
        (lambda at: edit(at / "2_Dense/config.json", out_features=9), r"steps\.0\.linear\.weight of \(8, 32\), but"),
        (lambda at: edit(at / "1_Pooling/config.json", pooling_mode=["cls", "max"]), "of 64 .* Dense takes 32"),
        (lambda at: edit(at / "1_Pooling/config.json", pooling_mode="sum"), "pooling_mode.* is 'sum'"),
        (lambda at: (at / "1_Pooling/config.json").unlink(), "1_Pooling.config.json cannot be loaded"),
        (lambda at: (at / "modules.json").write_text("3", "utf-8"), "modules.json is 3, but must be"),
        (lambda at: (at / "modules.json").write_text("[]", "utf-8"), "modules.json lists no"),
    ],
)
def test_what_is_not_supported_is_refused_in_one_sentence(
    tiny_encoder: Path, tmp_path: Path, change: Any, words: str
) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "mean"), modules.Dense(32, 8))
    change(folder)
    with pytest.raises(HeadstartError, match=words) as error:
        ours(folder)
    assert "\n" not in str(error.value)


def test_old_models_have_the_transformer_in_a_folder(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "cls"), modules.Dense(32, 8))
    wanted = ours(folder).encode(ALL)
    (folder / "0_Transformer").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        if path.name not in ("modules.json", "config_sentence_transformers.json"):
            path.rename(folder / "0_Transformer" / path.name)
    replaced('"path": ""', '"path": "0_Transformer"')(folder)
    np.testing.assert_array_equal(ours(folder).encode(ALL), wanted)


def test_random_weights_are_those_of_the_steps_too(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = declare(tiny_encoder, tmp_path / "model", modules.Pooling(32, "cls"), modules.Dense(32, 8))
    spec = BackboneParams(family="transformers", name=str(folder), weights="random")
    first, second = (load(spec, Settings(), CPU) for _ in range(2))
    np.testing.assert_array_equal(first.encode(TEXTS), second.encode(TEXTS))
    assert first.dim == 8 and not torch.equal(first.steps[0].linear.weight, ours(folder).steps[0].linear.weight)  # type: ignore[attr-defined]
