"""Data sets of the Hugging Face hub."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.datasets import CHECK_NETWORK
from stages.datasets import hub as datasets_hub
from stages.fetch import fetch
from tests.datasets.fake_hub import COMMIT, REVIEWS, hub
from tests.datasets.sources import lines_printed
from tests.http_servers import server
from tests.projects import NO_HUB, ROOT, contents


@pytest.fixture(scope="module")
def hub_address() -> Iterator[str]:
    with server(hub) as address:
        yield address


@pytest.fixture
def fake_hub(hub_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub_address)
    template = hub_address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.usefixtures("fake_hub")
def test_a_data_set_of_the_hub_becomes_tables_with_class_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "reviews"
    fetch("hf:me/reviews:en", target)
    assert sorted(contents(target)) == ["test.parquet", "train.parquet", "validation.parquet"]
    train = pq.read_table(target / "train.parquet")
    assert train.column_names == ["id", "text", "label", "tags"]
    assert train["text"].to_pylist() == ["a", "b", "c", "d"], "shards in order"
    assert train["label"].to_pylist() == ["neg", "pos", "neg", "pos"]
    assert train["tags"].to_pylist() == [["a"]] * 4
    assert pq.ParquetFile(target / "train.parquet").num_row_groups == 3, "row groups are passed on one by one"
    assert pq.read_table(target / "test.parquet")["label"].to_pylist() == [None, "pos"], "-1 is no class"
    assert pq.read_table(target / "validation.parquet")["text"].to_pylist() == ["h"], "dev before val, by name"
    printed = lines_printed(capsys)
    assert printed == [
        f"fetch: hf:me/reviews:en -> {target}: 4 train, 1 validation, 2 test rows of configuration en,"
        f" commit {COMMIT[:7]}; unsupervised, val left out",
        f"next: dvc add {target}",
        f"next: in params.yaml set prepare.data: {target}, prepare.input: text, prepare.label: label",
    ]
    assert list(tmp_path.iterdir()) == [target], "and the downloads are gone"


@pytest.mark.usefixtures("fake_hub")
def test_images_of_the_hub_stay_as_they_are_and_default_is_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("hf:me/pictures", tmp_path / "pictures")
    for split in ("train", "test"):
        table = pq.read_table(tmp_path / f"pictures/{split}.parquet")
        assert table["img"].to_pylist()[1] == {"bytes": split.encode() + b"\1", "path": "1.png"}
        assert table["fine"].to_pylist() == ["c", "a", "b"]
    assert "prepare.input: img, prepare.label: fine\n" in capsys.readouterr().out


@pytest.mark.usefixtures("fake_hub")
def test_numbers_without_names_stay_and_an_empty_split_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("hf:me/plain", tmp_path / "plain")
    assert pq.read_table(tmp_path / "plain/train.parquet")["label"].to_pylist() == [7]
    monkeypatch.delitem(REVIEWS, "en/dev/0000.parquet")
    fetch("hf:me/reviews:en", tmp_path / "reviews")
    empty = pq.read_table(tmp_path / "reviews/validation.parquet")
    assert empty.num_rows == 0 and empty.schema.field("label").type == pa.string()


@pytest.mark.parametrize(
    ("columns", "features", "guess"),
    [
        ({"title": str, "text": str, "label": int}, {}, ("text", "label")),
        ({"label": str, "body": str}, {}, ("body", "label")),
        ({"text": int, "body": str, "kind": int}, {"kind": "ClassLabel"}, ("body", "kind")),
        ({"title": str, "photo": bytes, "class": str}, {"photo": "Image"}, ("photo", "class")),
        ({"sound": bytes, "mood": int}, {"sound": "Audio"}, ("COLUMN (one of sound, mood)",) * 2),
    ],
)
def test_the_columns_are_guessed(columns: dict[str, type], features: dict[str, str], guess: tuple[str, str]) -> None:
    types = {str: pa.string(), int: pa.int64(), bytes: pa.binary()}
    note = {"info": {"features": {name: {"_type": kind} for name, kind in features.items()}}}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    guessed = datasets_hub.likely_columns(schema.with_metadata({"huggingface": json.dumps(note)}))
    assert guessed == {"input": guess[0], "label": guess[1]}


def test_shards_are_joined_in_the_types_of_the_first_and_removed(tmp_path: Path) -> None:
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    pq.write_table(pa.table({"text": pa.array(["a"], pa.string())}), paths[0])
    pq.write_table(pa.table({"text": pa.array(["b"], pa.large_string())}), paths[1])
    assert datasets_hub._join(paths, tmp_path / "joined.parquet", title="this") == 2
    assert pq.read_table(tmp_path / "joined.parquet")["text"].to_pylist() == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joined.parquet"]


@pytest.mark.usefixtures("fake_hub")
def test_a_split_without_labels_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("hf:me/benchmark", tmp_path / "benchmark")
    assert sorted(contents(tmp_path / "benchmark")) == ["train.parquet"]
    assert (
        "1 train rows of configuration only, commit ddddddd; test (without labels) left out" in capsys.readouterr().out
    )


@pytest.mark.usefixtures("fake_hub")
def test_a_label_that_cannot_be_guessed_is_left_to_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("hf:me/nolabel", tmp_path / "target")
    assert sorted(contents(tmp_path / "target")) == ["test.parquet", "train.parquet"]
    assert "prepare.input: img, prepare.label: COLUMN (one of name, img, rating)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("fake_hub")
def test_a_part_of_a_split_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("hf:me/reviews:de", tmp_path / "reviews")
    assert "1 train (a part only) rows of configuration de" in capsys.readouterr().out


@pytest.mark.usefixtures("fake_hub")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("me/reviews", r"several configurations \(de, en\); name one, as hf:me/reviews:de"),
        ("me/reviews:fr", r"no configuration fr; use one of de, en"),
        ("me/testonly", r"no train split in only, only test"),
        ("me/mixed", r"the train split of me/mixed cannot be joined \("),
        ("me/damaged", r"the train split of me/damaged cannot be joined \("),
        ("me/empty", r"Parquet copy of me/empty is empty"),
        ("me/unconverted", r"no Parquet copy of me/unconverted; download a table from http.*/datasets/me/unconverted"),
        ("me/unknown", r"no public data set me/unknown; correct the name, or log in"),
        ("me/locked", r"me/locked is gated; accept its terms at http.*/datasets/me/locked"),
        ("no/such/name", r"'no/such/name' cannot be a name on the hub; use hf:OWNER/NAME"),
    ],
)
def test_a_data_set_that_the_hub_cannot_give_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(HeadstartError, match=message) as error:
        fetch(f"hf:{name}", tmp_path / "target")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_command_ends_with_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages.fetch", "hf:me/reviews", str(tmp_path / "new/reviews")]
    environment = {**os.environ, "HF_ENDPOINT": NO_HUB, "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, check=False, cwd=ROOT, text=True, capture_output=True, env=environment)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"error: me/reviews cannot be fetched from the hub at {NO_HUB} (")
    assert done.stderr.endswith(f"; {CHECK_NETWORK}\n") and done.stderr.count("\n") == 1
    assert not list((tmp_path / "new").iterdir())
