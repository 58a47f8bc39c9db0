"""Short forms of backbones in params.yaml."""

import pytest

from stages.common.backbone_shorthand import shortened, titled
from stages.common.errors import HeadstartError
from stages.common.params import BackboneParams, CompareParams, Params, load
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


CHARACTERS = BackboneParams(family="tfidf", name="char_wb")
MINIMAL = {"prepare": {"data": "d", "input": "text", "label": "label"}}


def backbone_of(value: object) -> object:
    """What the section `backbone` means."""
    return validate(Params, {**MINIMAL, "backbone": value}, file="f").backbone


@pytest.mark.parametrize("one", ["tfidf:word", {"family": "tfidf", "name": "word"}, {"tfidf": "word"}])
def test_the_section_is_one_backbone_or_a_list(one: object) -> None:
    assert backbone_of(one) == backbone_of([one]) == WORD
    assert backbone_of([one, "tfidf:char_wb"]) == (WORD, CHARACTERS)
    assert backbone_of(["tfidf:char_wb", one]) == (CHARACTERS, WORD), "in this order"
    assert backbone_of("tfidf:char_wb + tfidf:word") == (CHARACTERS, WORD), "as tables name it"
    assert validate(CompareParams, {"backbones": [[one, "tfidf:char_wb"], [one]]}, file="f").backbones == (
        (WORD, CHARACTERS),
        WORD,
    )
    tight, spaced = ({"backbones": text} for text in ("tfidf:word+tfidf:char_wb", "tfidf:word + tfidf:char_wb"))
    assert validate(CompareParams, tight, file="f") == validate(CompareParams, spaced, file="f")
    folder = validate(CompareParams, {"backbones": "transformers:data/a+b"}, file="f").backbones
    assert [spec.name for spec in folder] == ["data/a+b"]  # type: ignore[union-attr]
    assert validate(CompareParams, {"backbones": "tfidf:word + tfidf:char_wb"}, file="f").backbones == (
        (WORD, CHARACTERS),
    )


TWO_REVISIONS = ["transformers:a/b@c1", "transformers:a/b@c2"]
TWO_WEIGHTS = [{"family": "timm", "name": "x"}, {"family": "timm", "name": "x", "weights": "random"}]


@pytest.mark.parametrize("several", [TWO_REVISIONS, TWO_WEIGHTS, ["transformers:a/b", "timm:a/b"]])
def test_backbones_of_other_weights_are_others(several: list[object]) -> None:
    assert len(backbone_of(several)) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "f: backbone: is an empty list; name a backbone"),
        (["tfidf:word", {"tfidf": "word"}], "f: backbone: names tfidf:word twice; name it once"),
        (["tfidf:word", "tfidf:word@c1"], "f: backbone: names tfidf:word twice; name it once"),
        ([["tfidf:word", "tfidf:char_wb"], "tfidf:word"], "f: backbone.0: must be family:name, or a mapping"),
        (["tfidf:word", None], "f: backbone.1: must be family:name, or a mapping of family and name"),
        (["tfidf:word", {"family": "timm", "nam": "x"}], "f: backbone.1.nam is not a setting; did you mean backbone.1"),
        (["tfidf:word", {"family": "tim", "name": "x"}], "f: backbone.1.family is 'tim', but must be one of"),
        (["tfidf:word", {"family": "timm"}], "f: backbone.1.name is missing; add it"),
        ({"family": "timm", "nam": "x"}, "f: backbone.nam is not a setting; did you mean backbone.name?"),
        ({"family": "timm", "name": 3}, "f: backbone.name is 3, but must be a valid string"),
        ("tfidf:word + tfidf", "f: backbone.1: names no backbone of family tfidf; write it as tfidf:NAME"),
        ("tfidf:word + tfidf:word", "f: backbone: names tfidf:word twice; name it once"),
        ("tfdf:word", "f: backbone: 'tfdf' is not a family of backbones; did you mean tfidf?"),
    ],
)
def test_what_is_no_section_is_refused_in_one_sentence(value: object, sentence: str) -> None:
    with pytest.raises(HeadstartError) as error:
        backbone_of(value)
    assert str(error.value).startswith(sentence), error.value


def test_a_list_in_a_list_of_the_comparison_is_no_backbone() -> None:
    for value, sentence in (
        ([[]], "f: backbones.0: is an empty list"),
        ([["tfidf:word", ["tfidf:char_wb"]]], "f: backbones.0.1: must be family:name"),
        ({"family": "tim", "name": "x"}, "f: backbones.0.family is 'tim', but must be one of"),
    ):
        with pytest.raises(HeadstartError) as error:
            validate(CompareParams, {"backbones": value}, file="f")
        assert str(error.value).startswith(sentence), error.value


def test_the_shipped_list_is_the_default() -> None:
    assert load(ROOT / "params.yaml").compare == CompareParams()


def test_a_name_shows_weights_of_its_own() -> None:
    own = BackboneParams(family="timm", name="x", weights="data/pretrained/a.safetensors")
    assert shortened(WORD) == "tfidf:word"
    assert shortened(own) == "timm:x (data/pretrained/a.safetensors)"
    assert shortened((own, WORD)) == "timm:x (data/pretrained/a.safetensors) + tfidf:word"
    assert (titled(WORD), titled((own, WORD))) == ("word", shortened((own, WORD)))
