"""Vision encoders of transformers."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from stages import backbones
from stages.common.errors import HeadstartError
from stages.tables import images
from tests.backbones.image_backbones import CPU, PHOTOS, VISION, load, settings, spec


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("name", VISION)
def test_vision_encoders_of_transformers(vision: dict[str, Path], name: str, pooling: str) -> None:
    chosen = functools.partial(load, spec(str(vision[name]), family="transformers", weights="pretrained"), runtime=CPU)
    if pooling == "cls" and name in ("siglip", "convnext", "resnet"):
        with pytest.raises(HeadstartError, match="has no class token; use mean or max"):
            chosen(settings(image_size=None, pooling=pooling))
        return
    encoder = chosen(settings(image_size=None, pooling=pooling))
    vectors = encoder.encode(PHOTOS)
    model = transformers.AutoModel.from_pretrained(vision[name]).eval()
    model = getattr(model, "vision_model", model)
    processor = transformers.AutoImageProcessor.from_pretrained(vision[name])
    with torch.inference_mode():
        pixels = processor([images.decode(photo) for photo in PHOTOS], return_tensors="pt")["pixel_values"]
        hidden = model(pixels).last_hidden_state
    if hidden.ndim == 4:
        hidden = hidden.flatten(2).mT
    wanted = {"mean": hidden.mean(1), "cls": hidden[:, 0], "max": hidden.amax(1)}[pooling].numpy()
    assert encoder.dim == wanted.shape[1]
    np.testing.assert_allclose(vectors, wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(vectors, chosen(settings(image_size=None, pooling=pooling)).encode(PHOTOS))


@pytest.mark.parametrize("name", ["vit", "clip", "resnet"])
def test_another_image_size(vision: dict[str, Path], name: str) -> None:
    chosen = spec(str(vision[name]), family="transformers", weights="pretrained")
    small, large = (load(chosen, settings(image_size=size), CPU) for size in (32, 64))
    assert (small.preprocessing.size, large.preprocessing.size) == (32, 64)
    assert small.fingerprint != large.fingerprint
    assert np.abs(small.encode(PHOTOS) - large.encode(PHOTOS)).max() > 1e-3


def test_a_text_model_cannot_encode_images_and_the_other_way_round(
    vision: dict[str, Path], tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HeadstartError, match="takes input_ids and not pixel_values, so it encodes no images"):
        load(spec(str(tiny_encoder), family="transformers", weights="pretrained"), settings(), CPU)
    with pytest.raises(HeadstartError, match="vit"):
        backbones.load(
            spec(str(vision["vit"]), family="transformers", weights="pretrained"), settings(), CPU, modality="text"
        )
    shutil.copytree(vision["vit"], tmp_path / "odd")
    path = tmp_path / "odd/preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "do_resize": False}), "utf-8")
    with pytest.raises(HeadstartError, match="keeps the shape of images"):
        load(spec(str(tmp_path / "odd"), family="transformers", weights="pretrained"), settings(image_size=None), CPU)
