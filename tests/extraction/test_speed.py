"""A backbone's speed is measured once and remembered."""

import json
from pathlib import Path

import pytest

from stages import backbones
from stages.backbones import Backbone
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from stages.extraction import speed

TEXTS = [f"a text of words {number}" for number in range(100)]


@pytest.fixture
def words() -> Backbone:
    spec = BackboneParams(family="tfidf", name="word")
    return backbones.load(spec, ExtractParams(), RuntimeParams(), modality="text", training_texts=lambda: TEXTS)


def test_a_speed_is_measured_once_for_every_sample(words: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    real = words.encode
    monkeypatch.setattr(words, "encode", lambda inputs: (encoded.append(len(inputs)), real(inputs))[1])
    first = speed.rows_per_second(words, TEXTS)
    assert first > 0 and encoded == [speed.MAX_WARM_UP_ROWS, speed.MAX_SAMPLE_ROWS]
    assert speed.rows_per_second(words, TEXTS) == first and len(encoded) == 2
    speed.rows_per_second(words, TEXTS[1:2])
    assert encoded[2:] == [1, 1], "other rows have another speed"


@pytest.mark.parametrize("content", ["", "[", '{"rows_per_second": -1}', '{"rows_per_second": "fast"}', "{}"])
def test_a_damaged_file_is_measured_again(words: Backbone, store: Path, content: str) -> None:
    speed.rows_per_second(words, TEXTS)
    (path,) = (store.parent / "speeds").iterdir()
    path.write_text(content, "utf-8")
    assert speed.rows_per_second(words, TEXTS) == json.loads(path.read_text("utf-8"))["rows_per_second"] > 0
