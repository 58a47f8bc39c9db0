"""Short forms of backbones in params.yaml."""

import pytest

from stages.common.backbone_shorthand import shortened
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, CompareParams, load
from stages.common.section import validate
from tests.projects import ROOT

WORD = BackboneParams(family="tfidf", name="word")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("tfidf:word", WORD),
        ({"tfidf": "word"}, WORD),
        ("tfidf: word", WORD),
        ({"family": "tfidf", "name": "word"}, WORD),
        ("transformers:a/b@c1", BackboneParams(family="transformers", name="a/b", revision="c1")),
        ({"timm": "hf.co/x:y@c1"}, BackboneParams(family="timm", name="hf.co/x:y", revision="c1")),
        ("transformers:C:\\models\\mine", BackboneParams(family="transformers", name="C:\\models\\mine")),
    ],
)
def test_forms_of_a_backbone(value: object, wanted: BackboneParams) -> None:
    assert validate(CompareParams, {"backbones": [value]}, file="f").backbones == (wanted,)
    assert validate(CompareParams, {"backbones": value}, file="f").backbones == (wanted,), "one needs no list"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("tfdf:word", "backbones.0: 'tfdf' is not a family of backbones; did you mean tfidf?"),
        ({"bert": "word"}, "'bert' is not a family of backbones; known: transformers, torchvision"),
        ("tfidf", "names no backbone of family tfidf; write it as tfidf:NAME"),
        (3, "backbones.0: must be family:name, or a mapping of family and name as in the section backbone"),
        (None, "must be family:name"),
        ({"family": "timm", "nam": "x"}, "backbones.0.nam is not a setting; did you mean backbones.0.name?"),
        ({"family": "timm", "revision": "x"}, "backbones.0.name is missing; add it"),
        ({"family": "tim", "name": "x"}, "backbones.0.family is 'tim', but must be one of"),
    ],
)
def test_what_is_no_backbone_is_refused_in_one_sentence(value: object, sentence: str) -> None:
    with pytest.raises(HeadstartError) as error:
        validate(CompareParams, {"backbones": [value]}, file="f")
    assert sentence in str(error.value)


def test_the_shipped_list_is_the_default() -> None:
    assert load(ROOT / "params.yaml").compare == CompareParams()


def test_a_name_shows_weights_of_its_own() -> None:
    assert shortened("tfidf", "word", "pretrained") == "tfidf:word"
    assert shortened("timm", "x", "data/pretrained/a.safetensors") == "timm:x (data/pretrained/a.safetensors)"
