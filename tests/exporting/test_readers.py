"""The readers of run.py make of texts and pictures what the pipeline makes."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.feature_extraction.text import CountVectorizer

from stages import backbones
from stages.backbones import tfidf, timm
from stages.backbones.text import TextEncoder
from stages.backbones.timm_models import Config, TimmModel
from stages.backbones.torchvision import Preset
from stages.backbones.transformers import Processor
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.exporting import inputs, read_pictures, read_terms, read_tokens, runner_file
from stages.tables import images
from tests.backbones.architectures import crop, processor

TEXTS = [
    "",
    "a",
    "I love this  product",
    "ÄÖ ß İ 'quoted' x-y 12 3",
    "one\ttwo\n three",
    "naïve " * 9,
    "the best movie",
]
TEXT = BackboneParams(family="transformers", name="a", weights="pretrained", revision=None)


def encoder(folder: Path, **settings: Any) -> TextEncoder:
    spec = TEXT.model_copy(update={"name": str(folder)})
    loaded = backbones.load_encoder(spec, ExtractParams(**settings), RuntimeParams(device="cpu"), "text")
    assert isinstance(loaded, TextEncoder)
    return loaded


def exported(folder: Path, backbone: Any, spec: BackboneParams) -> Any:
    """Write what a reader needs, as JSON has it; give how it reads."""
    described = inputs.from_backbone(backbone, spec, None)
    described.write(folder)
    return json.loads(json.dumps(described.reading))


@pytest.mark.parametrize("analyzer", ["word", "char_wb"])
def test_terms_are_those_of_scikit_learn(tmp_path: Path, analyzer: str) -> None:
    vectorizer = CountVectorizer(analyzer=analyzer, ngram_range=tfidf.NGRAMS[analyzer]).fit(TEXTS[2:])
    (tmp_path / inputs.VOCABULARY).write_text(json.dumps(vectorizer.get_feature_names_out().tolist()), "utf-8")
    reader = read_terms.Reader(tmp_path, {"analyzer": analyzer})
    counts = reader.batch(reader.rows(TEXTS))["counts"]
    np.testing.assert_array_equal(counts, vectorizer.transform(TEXTS).toarray())


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_length": 4}, {"prompt": "the best "}, {"max_length": 9, "prompt": "the best "}],
    ids=["plain", "cut", "prompt", "both"],
)
@pytest.mark.parametrize("side", ["right", "left"])
def test_tokens_are_those_of_the_encoder(tmp_path: Path, tiny_encoder: Path, side: str, settings: Any) -> None:
    model = encoder(tiny_encoder, **settings)
    model.tokenizer.truncation_side = side
    model.frame = windows_frame(model)
    reader = read_tokens.Reader(tmp_path, exported(tmp_path, model, TEXT))
    check_tokens(model, reader, TEXTS)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("length", ["auto", 8, 9])
def test_tokens_of_pairs_are_those_of_the_encoder(
    tmp_path: Path, tiny_encoder: Path, side: str, length: str | int
) -> None:
    model = encoder(tiny_encoder, combine="pair", max_length=length)
    if side == "left":
        from stages.backbones import windows

        model.tokenizer.truncation_side = side
        model._pair_frame = windows.pair_frame(model.tokenizer, model.recipe, "")
    reader = read_tokens.Reader(tmp_path, exported(tmp_path, model, TEXT))
    pairs = [(one, other) for one in TEXTS[1:] for other in TEXTS[1:] if "\t" not in one]
    check_tokens(model, reader, pairs)
    assert reader.rows(["a\tb c"]) == reader.rows([("a", "b c")])


def windows_frame(model: TextEncoder) -> Any:
    from stages.backbones import windows

    return windows.frame(model.tokenizer, model.recipe)


def check_tokens(model: TextEncoder, reader: read_tokens.Reader, texts: list[Any]) -> None:
    expected = model.training_batch(model.training_rows(texts))
    batch = reader.batch(reader.rows(texts))
    assert list(batch) == ["input_ids", "token_type_ids", "attention_mask"]
    for name, values in batch.items():
        np.testing.assert_array_equal(values, expected[name].numpy(), err_msg=name)


def test_tokens_that_the_model_does_not_know_are_unknown_ones(tmp_path: Path, tiny_encoder: Path) -> None:
    how = exported(tmp_path, encoder(tiny_encoder), TEXT) | {"vocabulary": 6, "unknown": 1}
    reader = read_tokens.Reader(tmp_path, how)
    assert [token for token, _ in reader.rows(["i love the"])[0]] == [2, 5, 1, 1, 3]
    reader.tokenizer.post_processor = None
    assert reader.rows([""]) == [[(1, 0)]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: setattr(model, "tokenizer", SimpleNamespace(is_fast=False)), "written in Python"),
        (lambda model: setattr(model, "recipe", model.recipe.model_copy(update={"long": "chunks"})), "chunks"),
        (
            lambda model: setattr(model, "recipe", model.recipe.model_copy(update={"combine": "pair", "prompt": "a"})),
            "have a prompt",
        ),
    ],
    ids=["slow", "chunks", "prompt"],
)
def test_what_the_runner_cannot_read_is_refused(
    tiny_encoder: Path, change: Callable[[TextEncoder], None], reason: str
) -> None:
    model = encoder(tiny_encoder)
    change(model)
    with pytest.raises(HeadstartError, match=reason):
        inputs.from_backbone(model, TEXT, None)


def picture(mode: str, size: tuple[int, int], kind: str = "PNG", **options: Any) -> bytes:
    generator = np.random.default_rng(sum(size))
    shape = (size[1], size[0], 4)
    noise = Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8), "RGBA")
    if mode == "I;16":
        noise = Image.fromarray(generator.integers(0, 2**16, shape[:2], dtype=np.uint16))
    out = io.BytesIO()
    (noise if mode == "I;16" else noise.convert(mode)).save(out, kind, **options)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    return picture("RGB", (40, 30), "JPEG", exif=exif.tobytes(), quality=95)


PICTURES = {
    **{mode: picture(mode, (50, 40)) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")},
    "CMYK": picture("CMYK", (50, 40), "JPEG"),
    "turned": turned(),
    **{f"{width} x {height}": picture("RGB", (width, height)) for width, height in ((20, 30), (33, 500), (32, 32))},
}


def timm_transform(**changes: Any) -> Any:
    return timm.Transform(TimmModel("", Config(input_size=(3, 32, 32), **changes)), "a model")


def preset(**changes: Any) -> Preset:
    values = {"crop_size": 32, "resize_size": 36, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}
    return Preset(**{**values, "interpolation": "bilinear", "antialias": True, **changes})


# Preprocessing, its family, and by how many of 255 levels its pixels may differ from those of Pillow.
CASES: dict[str, tuple[Callable[[], Any], str, float]] = {
    "torchvision": (preset, "torchvision", 0.01),
    "torchvision bicubic": (partial(preset, interpolation="bicubic", resize_size=33), "torchvision", 0.01),
    "timm": (partial(timm_transform, crop_pct=0.9), "timm", 0.01),
    "timm squash": (partial(timm_transform, crop_pct=0.9, crop_mode="squash", interpolation="bilinear"), "timm", 0.01),
    "timm, larger crop": (partial(timm_transform, crop_pct=1.2), "timm", 0.01),
    "ViT": (lambda: Processor(processor("ViT"), "a model"), "transformers", 2.01),
    "ConvNext": (
        lambda: Processor(processor("ConvNext", size={"shortest_edge": 32}, crop_pct=0.875), "a model"),
        "transformers",
        2.01,
    ),
    "ConvNext, large": (
        lambda: Processor(processor("ConvNext", size={"shortest_edge": 384}), "a model"),
        "transformers",
        2.01,
    ),
    "CLIP": (lambda: Processor(crop("CLIP"), "a model"), "transformers", 2.01),
}


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_those_of_the_backbone(tmp_path: Path, case: str) -> None:
    make, family, levels = CASES[case]
    preprocessing = make()
    backbone = SimpleNamespace(preprocessing=preprocessing)
    how = exported(tmp_path, backbone, BackboneParams(family=family, name="a", weights="random", revision=None))
    reader = read_pictures.Reader(tmp_path, how)
    for name, content in PICTURES.items():
        expected = preprocessing(images.decode_prepared(content)).numpy().transpose(1, 2, 0)
        expected = (expected * np.array(how["std"]) + np.array(how["mean"])) / how["scale"]
        np.testing.assert_allclose(reader.pixels(content), expected, atol=levels, err_msg=name)


def test_large_pictures_are_shrunk_as_prepare_does(tmp_path: Path) -> None:
    how = inputs._torchvision(preset().values, 64)
    content = picture("RGB", (300, 200))
    reader = read_pictures.Reader(tmp_path, how)
    np.testing.assert_array_equal(reader.pixels(content), reader.pixels(images.pack(content, 64)))
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for given in (path, str(path), content):
        np.testing.assert_array_equal(reader.batch(reader.rows([given]))["pixels"][0], reader.pixels(content))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: inputs._timm(Config(crop_mode="border"), "a model", None), "a border around"),
        (lambda: inputs._processor({"do_resize": False}, "a model", None), "does not resize"),
        (
            lambda: inputs._processor({"do_resize": True, "size": {"shortest_edge": 8}}, "a model", None),
            "does not crop",
        ),
    ],
    ids=["border", "no size", "no crop"],
)
def test_other_preprocessing_is_refused(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(HeadstartError, match=reason):
        make()


@pytest.mark.parametrize("kind", runner_file.READERS)
def test_run_py_is_short_and_stands_alone(tmp_path: Path, kind: str) -> None:
    runner_file.write(tmp_path, kind)
    source = (tmp_path / runner_file.FILE).read_text("utf-8")
    assert len(source.splitlines()) <= 60 and "stages" not in source
    compile(source, "run.py", "exec")
