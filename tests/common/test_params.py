from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from stages.common import params
from stages.common.errors import HeadstartError
from tests.projects import ROOT

DEFAULT = (ROOT / "params.yaml").read_text("utf-8")


def load(tmp_path: Path, **changes: object) -> params.Params:
    content = yaml.safe_load(DEFAULT)
    for name, value in changes.items():
        section, key = name.split("__")
        content[section][key] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return params.load(path)


def test_the_shipped_file_holds_every_setting_and_a_comment_on_each() -> None:
    loaded = params.load(ROOT / "params.yaml")
    raw = yaml.safe_load(DEFAULT)
    assert {section: set(keys) for section, keys in raw.items()} == {
        section: set(keys) for section, keys in loaded.model_dump().items()
    }
    for line in DEFAULT.splitlines():
        if line.startswith("  ") and not line.startswith("  - "):
            assert "# " in line, f"no comment: {line}"


@pytest.mark.parametrize("value", ["on", "no", "y", "1:30", "012", "2024-01-01", 'the "quoted": # one', "=", "~x"])
def test_a_text_that_dvc_writes_is_that_text(tmp_path: Path, value: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULT, "utf-8")
    with modify_yaml(path) as content:
        content["prepare"]["label"] = value
    assert params.load(path).prepare.label == value


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    assert load(tmp_path, finetune__learning_rate="1e-3").finetune.learning_rate == 0.001


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extract__poolin": "mean"}, ["extract.poolin is not a setting", "did you mean extract.pooling?"]),
        ({"extract__pooling": "men"}, ["extract.pooling is 'men'", "'mean', 'cls' or 'max'"]),
        ({"backbone__family": "bert"}, ["backbone.family is 'bert'", "'tfidf'"]),
        ({"prepare__test": 1.5}, ["prepare.test is 1.5", "less than 1"]),
        ({"prepare__test": "half"}, ["prepare.test is 'half'", "must be a valid number"]),
        ({"prepare__test": 0.6, "prepare__validation": 0.5}, ["no training rows"]),
        ({"prepare__input": []}, ["prepare.input: must be the name of a column, or a list of names"]),
        ({"prepare__input": ["a", 1]}, ["prepare.input: must be the name of a column, or a list of names"]),
        ({"prepare__input": ["a", "b", "a"]}, ["prepare.input: names a column twice (a, b, a); name it once"]),
        ({"prepare__encoding": "utf9"}, ["prepare.encoding: utf9 is not the name of a text encoding"]),
        ({"prepare__encoding": "hex"}, ["prepare.encoding: hex is not the name of a text encoding"]),
        ({"prepare__label": []}, ["prepare.label: must be the name of a column, or a list of names"]),
        ({"prepare__task": "regresion"}, ["prepare.task is 'regresion'", "'auto', 'single', 'multilabel'"]),
        ({"prepare__task": "single", "prepare__order": [1, 2]}, ["task is single, but order is set", "task ordinal"]),
        ({"prepare__task": "ordinal", "prepare__label": ["a", "b"]}, ["task is ordinal, but label names several"]),
        ({"prepare__task": "single", "prepare__label_separator": ";"}, ["but label_separator is ';', which is for"]),
        ({"prepare__order": [1, 2], "prepare__label_separator": ";"}, ["label_separator is ';', but order is set"]),
        ({"prepare__label": ["a", "b"], "prepare__label_separator": ";"}, ["label names several columns, but label_"]),
        ({"prepare__label_separator": ""}, ["prepare.label_separator", "at least 1"]),
        ({"prepare__order": ["low"]}, ["prepare.order: must be a list of at least two classes, from low to high"]),
        ({"prepare__order": "low, high"}, ["prepare.order: must be a list of at least two classes, from low to high"]),
        ({"prepare__order": [False, True]}, ["prepare.order: holds False", "write quotes around a word"]),
        ({"prepare__order": ["low", " low"]}, ["prepare.order: names a class twice (low, low); name it once"]),
        ({"train_head__folds": 2.5}, ["train_head.folds is 2.5", "integer"]),
        ({"train_head__folds": True}, ["train_head.folds is True"]),
        ({"train_head__C": []}, ["train_head.C is []", "at least 1"]),
        ({"train_head__C": [1, -1]}, ["train_head.C.1 is -1", "greater than 0"]),
        ({"train_head__kind": "knn", "train_head__class_weight": "balanced"}, ["knn cannot do"]),
        ({"budget__per_class": 0}, ["budget.per_class is 0"]),
        ({"gate__metrics": {"log_loss": {"higher_is_better": True}}}, ["but a lower log_loss is better; leave"]),
        ({"gate__metrics": {"accuracy": {"higher_is_better": False}}}, ["but a higher accuracy is better; leave"]),
        ({"runtime__device": "gpu"}, ["runtime.device is 'gpu'", "'cuda:N'"]),
        ({"evaluate__bootstrap": float("inf")}, ["evaluate.bootstrap is inf"]),
    ],
)
def test_bad_values_are_refused_in_one_sentence(tmp_path: Path, change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(HeadstartError) as error:
        load(tmp_path, **change)
    for word in [*words, "params.yaml"]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", "not valid YAML"),
        (b"a: 1\na: 2", "line 2: found duplicate key"),
        (b"a: !!bool 3", "not valid YAML"),
        (b"a: " + b"[" * 30_000 + b"]" * 30_000, "not valid YAML"),
        (b"prepare: {data: x, input: t, label: l, 1: 2}\nbackbone: {family: tfidf, name: word}", "prepare.1 is not a"),
        (b"\xff\xfe", "not UTF-8"),
        (b"- 1", "must be a mapping"),
        (b"", "is empty"),
        (b"prepare: {data: x, input: t, label: l}\nbackbone: 3", "backbone is 3"),
        (b"prepare: {input: t, label: l}\nbackbone: {family: tfidf, name: word}", "prepare.data is missing"),
        (b"prepare: {data: x, input: t, label: l}\nbackbone: {family: tfidf, name: word}\nextra: 1", "extra is not a"),
        (b"prepare: !!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(HeadstartError, match=words):
        params.load(path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="--params"):
        params.load(tmp_path / "params.yaml")


def test_the_order_of_classes_may_be_numbers(tmp_path: Path) -> None:
    assert load(tmp_path, prepare__order=[1, 2.0, 2.5, " best "]).prepare.order == ("1", "2", "2.5", "best")
