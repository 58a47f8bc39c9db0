"""A hub that lists without end, names files elsewhere, or describes its data sets in other forms."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common import hub_client
from stages.common.errors import HeadstartError
from stages.datasets import hub as datasets_hub
from stages.fetch import fetch
from tests.datasets.fake_hub import COMMIT, shard
from tests.http_servers import Answer, server
from tests.projects import contents

Hub = Callable[[Callable[[str], Any]], None]


class Raw(bytes):
    """An answer that is not made of JSON."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Sets what the hub lists: a function from its address to entries, or to (entries, address of the next page)."""
    listing: list[Callable[[str], Any]] = []
    addresses: list[str] = []

    def answer(path: str) -> Answer:
        kind = {"Content-Type": "application/json"}
        if path.endswith("/revision/refs/convert/parquet"):
            return 200, kind, json.dumps({"id": "me/data", "sha": COMMIT}).encode()
        if "/tree/" in path:
            entries, following = listing[0](addresses[0] + path)
            links = {"Link": f'<{following}>; rel="next"'} if following else {}
            return 200, {**kind, **links}, entries if isinstance(entries, Raw) else json.dumps(entries).encode()
        return 200, {"ETag": '"x"', "X-Repo-Commit": COMMIT}, shard(["a"], [0])

    with server(answer) as address:
        addresses.append(address)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield listing.append


def file(path: Any) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": 1, "oid": "x"}


LISTINGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "files without end": (lambda at: ([file(f"a/train/{n}.parquet") for n in range(50)], at), "more than 5 pages"),
    "pages without files": (lambda at: ([], at), "its list of files has more than 5 pages"),
    "a page without end": (lambda at: ([file("a" * 10_000)] * 20, None), "its answer is longer than 100,000 bytes"),
    "pages of another server": (
        lambda at: ([], "http://127.0.0.1:9/next"),
        "goes on at http://127.0.0.1:9/next, another",
    ),
    "files that are lists": (lambda at: ([file(["a", "train", "0.parquet"])], None), "is empty"),
    "entries that are text": (lambda at: (["a/train/0.parquet"], None), "cannot be fetched from the hub"),
    "no list": (lambda at: ({"error": "none"}, None), "cannot be fetched from the hub"),
    "a number": (lambda at: (1, None), "cannot be fetched from the hub"),
    "ten thousand brackets": (lambda at: (Raw(b"[" * 9999), None), "cannot be fetched from the hub"),
    "files elsewhere": (
        lambda at: ([file("../train/0.parquet"), file("a/..\\train/0.parquet"), file("a/train/../0.parquet")], None),
        "is empty",
    ),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_a_list_of_files_that_is_none_is_one_sentence(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    listing, words = LISTINGS[case]
    monkeypatch.setattr(hub_client, "MAX_PAGES", 5)
    monkeypatch.setattr(hub_client, "MAX_PAGE_BYTES", 100_000)
    hub(listing)
    with pytest.raises(HeadstartError, match=words) as error:
        fetch("hf:me/data", tmp_path / "target")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_list_that_ends_is_read(hub: Hub, tmp_path: Path) -> None:
    hub(lambda at: ([file("default/train/0000.parquet")], None))
    fetch("hf:me/data", tmp_path / "target")
    assert sorted(contents(tmp_path / "target")) == ["train.parquet"]


@pytest.mark.parametrize(
    "note",
    [
        b"[]",
        b"no JSON",
        b"[" * 9999,
        b"null",
        b'{"info": []}',
        b'{"info": {"features": ["label"]}}',
        b'{"info": {"features": {"label": [{"_type": "ClassLabel"}]}}}',
        b'{"info": {"features": {"label": {"_type": ["ClassLabel"], "names": ["a"]}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": {"0": "a"}}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": [["a"], 1]}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": "ab"}}}}',
    ],
)
def test_a_description_of_another_form_counts_as_none(tmp_path: Path, note: bytes) -> None:
    table = pa.table({"text": ["a", "b"], "label": pa.array([0, 1], pa.int64())})
    path = tmp_path / "0.parquet"
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": note}), out)
    path.write_bytes(out.getvalue())
    assert datasets_hub._join([path], tmp_path / "joined.parquet", title="this") == 2
    joined = pq.read_table(tmp_path / "joined.parquet")
    assert joined["label"].to_pylist() == [0, 1]
    assert datasets_hub.likely_columns(joined.schema) == {"input": "text", "label": "label"}
    assert not datasets_hub._has_no_labels(tmp_path / "joined.parquet")
