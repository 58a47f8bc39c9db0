"""Whatever the parsers are given, they give a result or one sentence."""

import io
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import sources
from stages.common import params
from stages.common.errors import HeadstartError
from stages.comparison import stored
from stages.heads import model_card
from stages.sources.label_values import LabelForm
from stages.sources.values import ValueProblemError
from stages.tables import features, label_texts, shards
from tests.projects import ROOT

EXAMPLES = pytest.mark.parametrize("examples", [40, pytest.param(200, marks=pytest.mark.slow)])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("1e999")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
FORMS = [
    LabelForm("multilabel"),
    LabelForm("multilabel", ";"),
    LabelForm("regression"),
    LabelForm("regression", is_text=True),
    LabelForm("ordinal"),
    LabelForm("ordinal", order=("low", "high")),
]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def often(examples: int) -> Any:
    """Settings of hypothesis that draw the same examples on every run."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


def fails_with_a_sentence(parse: Callable[[], object]) -> None:
    """Call `parse`, which may raise nothing but an error of one sentence."""
    try:
        parse()
    except HeadstartError as error:
        assert str(error) and "\n" not in str(error).strip()


@st.composite
def changed(draw: Draw, content: bytes) -> bytes:
    """Bytes of a file that somebody cut, overwrote or repeated in places."""
    out = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(len(out) - 1, 0)))
        end = start + draw(st.integers(0, 12))
        out[start:end] = draw(st.binary(max_size=12) | st.just(bytes(out[start:end]) * 2))
    return bytes(out)


@st.composite
def edited(draw: Draw, content: Any) -> Any:
    """Settings in which some values, keys or sections are something else."""
    out = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        at = out
        while True:
            key = draw(st.sampled_from(sorted(at)))
            if not isinstance(at[key], dict) or not at[key] or draw(st.integers(0, 3)) == 0:
                break
            at = at[key]
        match draw(st.sampled_from(["value", "value", "value", "key", "none"])):
            case "value":
                at[key] = draw(VALUES)
            case "key":
                at[draw(st.text(max_size=6))] = draw(VALUES)
            case "none":
                del at[key]
        if not out:
            break
    return out


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that all examples of a test write to."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def tables() -> dict[str, bytes]:
    """Tables of each format, as they should be."""
    parquet = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two", 'th"ree'], "label": ["a", "b", "a"]}), parquet)
    return {
        ".csv": b'text,label\none,a\n"t,w""o",b\nthr\xc3\xa9e,a\n',
        ".tsv": b"text\tlabel\none\ta\ntwo\tb\n",
        ".jsonl": b'{"text": "one", "label": "a"}\n{"text": "two\\u00e9", "label": 1}\n',
        ".parquet": parquet.getvalue(),
    }


@pytest.mark.parametrize("suffix", tables())
@pytest.mark.parametrize("modality", ["text", "image"])
@EXAMPLES
def test_tables(folder: Path, suffix: str, modality: params.Modality, examples: int) -> None:
    path = folder / f"rows{suffix}"

    @often(examples)
    @given(st.binary(max_size=200) | changed(tables()[suffix]))
    def parse(content: bytes) -> None:
        path.write_bytes(content)
        fails_with_a_sentence(lambda: list(sources.rows(path, sources.Columns("text", "label"), modality)))

    parse()


@EXAMPLES
def test_settings(folder: Path, examples: int) -> None:
    written = (ROOT / "params.yaml").read_bytes()
    path = folder / "params.yaml"

    @often(examples)
    @given(
        st.binary(max_size=200)
        | changed(written)
        | edited(yaml.safe_load(written)).map(lambda content: yaml.safe_dump(content).encode())
    )
    def parse(content: bytes) -> None:
        path.write_bytes(content)
        fails_with_a_sentence(lambda: params.load(path))

    parse()


@EXAMPLES
def test_model_json(folder: Path, reproduced: Path, examples: int) -> None:
    written = (reproduced / "data/head/model.json").read_bytes()

    @often(examples)
    @given(
        st.binary(max_size=200)
        | changed(written)
        | edited(json.loads(written)).map(lambda content: json.dumps(content).encode())
    )
    def parse(content: bytes) -> None:
        (folder / model_card.FILE).write_bytes(content)
        fails_with_a_sentence(lambda: model_card.read(folder))

    parse()


@EXAMPLES
def test_shards_and_feature_tables(folder: Path, reproduced: Path, examples: int) -> None:
    written = (reproduced / "data/features/test/part-00000.parquet").read_bytes()
    (folder / "test").mkdir(exist_ok=True)

    @often(examples)
    @given(changed(written))
    def parse(content: bytes) -> None:
        (folder / "test/part-00000.parquet").write_bytes(content)
        fails_with_a_sentence(lambda: list(shards.read(folder / "test")))
        fails_with_a_sentence(lambda: features.read(folder, "test"))

    with np.errstate(all="ignore"):
        parse()


@pytest.mark.parametrize("name", ["details.json", "predictions.parquet"])
@EXAMPLES
def test_evaluations(folder: Path, reproduced: Path, name: str, examples: int) -> None:
    files = {path.name: path.read_bytes() for path in (reproduced / "data/evaluation").iterdir() if path.is_file()}

    @often(examples)
    @given(st.binary(max_size=200) | changed(files[name]))
    def parse(content: bytes) -> None:
        for file in ("details.json", "predictions.parquet"):
            (folder / file).write_bytes(content if file == name else files[file])
        fails_with_a_sentence(lambda: stored.from_folder(folder, ROOT / "params.yaml"))
        fails_with_a_sentence(lambda: _details(folder))

    parse()


def _details(folder: Path) -> None:
    """Read the numbers of an evaluation; the gate makes a sentence of those that are missing."""
    with suppress(stored.MissingError):
        stored.read_details(folder)


@EXAMPLES
def test_labels_of_every_task(examples: int) -> None:
    @often(examples)
    @given(VALUES | st.lists(st.text(max_size=5), max_size=3).map(str), st.sampled_from(FORMS))
    def parse(value: Any, form: LabelForm) -> None:
        try:
            text = form.from_value(value)
        except ValueProblemError as error:
            assert len(str(error)) < 300
            return
        if text is None:
            return
        assert text.encode()
        match form.task:
            case "multilabel":
                names = label_texts.names(text)
                assert list(names) == sorted({*names}) and all(name == name.strip() != "" for name in names)
            case "regression":
                assert math.isfinite(label_texts.number(text))
            case _:
                assert form.from_value(text) == text

    parse()
