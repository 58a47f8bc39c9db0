import gzip
import hashlib
import http.server
import inspect
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from stages import fetch as verb
from stages.common.errors import HeadstartError
from stages.fetch import fetch
from tests.conftest import NO_HUB, ROOT

COMMIT = "d" * 40


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@contextmanager
def server(answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """The address of an HTTP server on loopback that answers with (status, headers, body) of a path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            status, headers, body = answer(urllib.parse.unquote(self.path.split("?")[0]))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


def lines_printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, less what it took."""
    return re.sub(r", in [0-9.]+ s, [0-9.]+ GB$", "", capsys.readouterr().out, flags=re.MULTILINE).splitlines()


# digits


def test_digits_are_those_of_scikit_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("digits", tmp_path / "digits")
    files = content(tmp_path / "digits")
    assert len(files) == 1_797 and {name.split("/")[0] for name in files} == set("0123456789")
    # The first digit's first row is 0 0 5 13 9 1 0 0 of 16.
    assert pixels(tmp_path / "digits/0/0000.png").dtype == np.uint8
    assert pixels(tmp_path / "digits/0/0000.png")[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    bundled = load_digits()
    for row in (1, 1_000, 1_796):
        found = pixels(tmp_path / f"digits/{bundled.target[row]}/{row:04d}.png")
        np.testing.assert_allclose(found, bundled.images[row] * 255 / 16, atol=0.5)
    printed = lines_printed(capsys)
    target = tmp_path / "digits"
    assert printed == [
        f"fetch: digits -> {target}: 1,797 images in 10 classes",
        f"next: dvc add {target}",
        f"next: in params.yaml set prepare.data: {target}",
    ]
    fetch("digits", tmp_path / "again")
    assert content(tmp_path / "again") == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "digits"]


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_an_existing_target_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "mine"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("precious")
    else:
        target.symlink_to(tmp_path / "absent")
    with pytest.raises(HeadstartError, match=r"mine exists and is never overwritten; delete it or name another folder"):
        fetch("digits", target)
    assert list(tmp_path.iterdir()) == [target]
    assert kind != "file" or target.read_text() == "precious"


def test_a_target_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_: Path) -> str:
        (tmp_path / "digits").write_text("precious")
        return "done"

    monkeypatch.setattr(verb, "_digits", slow)
    with pytest.raises(HeadstartError, match="exists and is never overwritten"):
        fetch("digits", tmp_path / "digits")
    assert (tmp_path / "digits").read_text() == "precious" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["digit", "imdb", "hf:", "torchvision:", "https://example.org/data.zip"])
def test_unknown_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HeadstartError, match=r"must be digits, hf:OWNER/NAME or torchvision:NAME"):
        fetch(name, tmp_path / "target")
    assert not list(tmp_path.iterdir())


# The Hugging Face hub

FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    "tags": [{"dtype": "string", "_type": "Value"}],
}


def shard(texts: list[str], labels: list[int], features: dict[str, object] | None = None) -> bytes:
    columns = {"id": [f"row {text}" for text in texts], "text": texts, "label": pa.array(labels, pa.int64())}
    table = pa.table({**columns, "tags": pa.array([["a"] for _ in texts], pa.list_(pa.string()))})
    note = {"info": {"features": FEATURES if features is None else features}}
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(note)}), out, row_group_size=2)
    return out.getvalue()


def image_shard(split: str, label: str = "fine") -> bytes:
    pictures = [{"bytes": split.encode() + bytes([row]), "path": f"{row}.png"} for row in range(3)]
    image = pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    features = {"img": {"_type": "Image"}, "fine": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
    table = pa.table({"name": ["x", "y", "z"], "img": image, label: pa.array([2, 0, 1], pa.int64())})
    out = io.BytesIO()
    note = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": note}), out)
    return out.getvalue()


REVIEWS = {
    "en/train/0001.parquet": shard(["d"], [1]),
    "en/train/0000.parquet": shard(["a", "b", "c"], [0, 1, 0]),
    "en/val/0000.parquet": shard([], []),
    "en/test/0000.parquet": shard(["e", "f"], [-1, 1]),
    "en/unsupervised/0000.parquet": shard(["g"], [-1]),
    "en/dev/0000.parquet": shard(["h"], [0]),
    "de/partial-train/0000.parquet": shard(["x"], [1]),
    ".gitattributes": b"",
}
HUB: dict[str, dict[str, bytes]] = {
    "me/reviews": REVIEWS,
    "me/pictures": {
        "default/train/0000.parquet": image_shard("train"),
        "default/test/0000.parquet": image_shard("test"),
        "alpha/train/0000.parquet": image_shard("alpha"),
    },
    "me/plain": {"only/train/0000.parquet": shard(["a"], [7], features={})},
    "me/benchmark": {
        "only/train/0000.parquet": shard(["a"], [0]),
        "only/test/0000.parquet": shard(["b", "c"], [-1, -1]),
    },
    "me/nolabel": {
        "only/train/0000.parquet": image_shard("train", label="rating"),
        "only/test/0000.parquet": image_shard("test", label="rating"),
    },
    "me/testonly": {"only/test/0000.parquet": shard(["a"], [0])},
    "me/mixed": {
        "only/train/0000.parquet": shard(["a"], [0]),
        "only/train/0001.parquet": image_shard("train"),
    },
    "me/damaged": {"only/train/0000.parquet": b"PAR1 but not really"},
    "me/empty": {"README.md": b""},
    "me/locked": {"only/train/0000.parquet": b"secret"},
}


def hub(path: str) -> tuple[int, dict[str, str], bytes]:
    """The three calls that bringing a data set makes, and the hub's ways to refuse."""
    for name, files in HUB.items():
        if path == f"/api/datasets/{name}/revision/refs/convert/parquet":
            return 200, {"Content-Type": "application/json"}, json.dumps({"id": name, "sha": COMMIT}).encode()
        if path == f"/api/datasets/{name}/tree/{COMMIT}":
            tree = [{"type": "file", "path": path, "size": len(body), "oid": path} for path, body in files.items()]
            folders = [{"type": "directory", "path": "en", "oid": "en"}]
            return 200, {"Content-Type": "application/json"}, json.dumps([*folders, *tree]).encode()
        prefix = f"/datasets/{name}/resolve/{COMMIT}/"
        if path.startswith(prefix) and name == "me/locked":
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if path.startswith(prefix):
            body = files[path.removeprefix(prefix)]
            return 200, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}, body
    if "/me/unconverted/" in path:
        return 404, {"X-Error-Code": "RevisionNotFound"}, b""
    return 401, {"X-Error-Code": "RepoNotFound"}, b""


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
    assert sorted(content(target)) == ["test.parquet", "train.parquet", "validation.parquet"]
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
    found = verb._columns(schema.with_metadata({"huggingface": json.dumps(note)}))
    assert found == {"input": guess[0], "label": guess[1]}


def test_shards_are_joined_in_the_types_of_the_first_and_removed(tmp_path: Path) -> None:
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    pq.write_table(pa.table({"text": pa.array(["a"], pa.string())}), paths[0])
    pq.write_table(pa.table({"text": pa.array(["b"], pa.large_string())}), paths[1])
    assert verb._join(paths, tmp_path / "joined.parquet", source="this") == 2
    assert pq.read_table(tmp_path / "joined.parquet")["text"].to_pylist() == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joined.parquet"]


@pytest.mark.usefixtures("fake_hub")
def test_a_split_without_labels_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("hf:me/benchmark", tmp_path / "benchmark")
    assert sorted(content(tmp_path / "benchmark")) == ["train.parquet"]
    assert (
        "1 train rows of configuration only, commit ddddddd; test (without labels) left out" in capsys.readouterr().out
    )


@pytest.mark.usefixtures("fake_hub")
def test_a_label_that_cannot_be_guessed_is_left_to_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("hf:me/nolabel", tmp_path / "target")
    assert sorted(content(tmp_path / "target")) == ["test.parquet", "train.parquet"]
    assert "prepare.input: img, prepare.label: COLUMN (one of name, img, rating)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("fake_hub")
def test_a_part_of_a_split_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        ("me/unknown", r"no data set me/unknown, or none that is public; correct it, or log in"),
        ("me/locked", r"me/locked is gated; accept its terms at http.*/datasets/me/locked"),
        ("no/such/name", r"'no/such/name' cannot be a name on the hub; use hf:OWNER/NAME"),
    ],
)
def test_what_the_hub_cannot_give_is_told_in_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(HeadstartError, match=message) as error:
        fetch(f"hf:{name}", tmp_path / "target")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_command_ends_with_one_sentence_within_seconds(tmp_path: Path) -> None:
    start = time.perf_counter()
    command = [sys.executable, "-m", "stages.fetch", "hf:me/reviews", str(tmp_path / "new/reviews")]
    environment = {**os.environ, "HF_ENDPOINT": NO_HUB, "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, check=False, cwd=ROOT, text=True, capture_output=True, env=environment)
    assert time.perf_counter() - start < 20
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"error: me/reviews cannot be brought from the hub at {NO_HUB} (")
    assert done.stderr.endswith(f"; {verb.ELSEWHERE}\n") and done.stderr.count("\n") == 1
    assert not list((tmp_path / "new").iterdir())


# torchvision


def idx(array: np.ndarray) -> bytes:
    """The format of MNIST's files: two zeros, unsigned bytes, dimensions, lengths, values."""
    lengths = np.array(array.shape, ">u4").tobytes()
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + lengths + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def fashion(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, np.ndarray]]:
    """A FashionMNIST of five images, whose download goes to loopback."""
    drawn = np.random.default_rng(3)
    arrays = {
        "train-images-idx3-ubyte": drawn.integers(0, 256, (3, 28, 28)),
        "train-labels-idx1-ubyte": np.array([0, 9, 0]),
        "t10k-images-idx3-ubyte": drawn.integers(0, 256, (2, 28, 28)),
        "t10k-labels-idx1-ubyte": np.array([5, 0]),
    }
    files = {f"/{name}.gz": idx(array) for name, array in arrays.items()}
    digests = [(name[1:], hashlib.md5(body).hexdigest()) for name, body in files.items()]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", digests)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server(lambda path: (200, {}, files[path])) as address:
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [f"{address}/"])
        yield arrays


def test_images_of_torchvision_are_sorted_into_split_and_class(
    tmp_path: Path, fashion: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "fashion"
    fetch("torchvision:FashionMNIST", target)
    wanted = {
        "train/T-shirt_top/00000.png": fashion["train-images-idx3-ubyte"][0],
        "train/Ankle boot/00001.png": fashion["train-images-idx3-ubyte"][1],
        "train/T-shirt_top/00002.png": fashion["train-images-idx3-ubyte"][2],
        "test/Sandal/00000.png": fashion["t10k-images-idx3-ubyte"][0],
        "test/T-shirt_top/00001.png": fashion["t10k-images-idx3-ubyte"][1],
    }
    assert set(content(target)) == set(wanted)
    for name, image in wanted.items():
        np.testing.assert_array_equal(pixels(target / name), image)
    assert list(tmp_path.iterdir()) == [target], "and the downloads are gone"
    printed = lines_printed(capsys)
    assert printed[0] == f"fetch: torchvision:FashionMNIST -> {target}: 3 train, 2 test images in 3 classes"
    assert printed[1:] == [f"next: dvc add {target}", f"next: in params.yaml set prepare.data: {target}"]


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [("MNIST", "mirrors", [f"{NO_HUB}/mnist/"]), ("SEMEION", "url", f"{NO_HUB}/semeion.data")],
)
def test_a_download_that_fails_leaves_nothing_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, value: object
) -> None:
    monkeypatch.setattr(getattr(torchvision.datasets, name), attribute, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    start = time.perf_counter()
    message = rf"{name} from .*{NO_HUB}/{name.lower()}.*refused.*check the network, or run this on a machine"
    with pytest.raises(HeadstartError, match=message) as error:
        fetch(f"torchvision:{name}", tmp_path / "target")
    assert time.perf_counter() - start < 20
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["torchvision:SEMEION", "hf:me/reviews"])
def test_a_source_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    over = threading.Event()

    def silent(_: str) -> tuple[int, dict[str, str], bytes]:
        over.wait(30)
        return 200, {}, b""

    monkeypatch.setattr(verb, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    start = time.perf_counter()
    with server(silent) as address:
        monkeypatch.setattr(torchvision.datasets.SEMEION, "url", f"{address}/semeion.data")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        with pytest.raises(HeadstartError, match=rf"{address}.*timed out.*; check the network"):
            fetch(name, tmp_path / "target")
        over.set()
    assert time.perf_counter() - start < 10
    assert socket.getdefaulttimeout() is None, "for other connections"


class Splits:
    """A data set of torchvision as it can be called: two pictures in the splits that `known` lists."""

    known: tuple[str, ...] = ("trainval", "val", "test")
    classes: tuple[object, ...] = (("tench", "Tinca tinca"), "../up", "...", "twin/a", "twin_a")

    def __init__(self, root: str, split: str, download: bool = False) -> None:
        assert download and Path(root).is_dir()
        if split not in self.known:
            raise ValueError(f"Unknown value '{split}' for argument split. Valid values are {self.known}.")

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        return Image.new("CMYK", (2, 2), (0, 255, 255, 0)), row


def test_splits_are_tried_by_their_names_and_classes_made_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", Splits)
    fetch("torchvision:OxfordIIITPet", tmp_path / "pets")
    folders = ["tench", "_up", "_2", "twin_a_3", "twin_a_4"]
    wanted = {
        f"{split}/{name}/{row:05d}.png" for split in ("train", "validation", "test") for row, name in enumerate(folders)
    }
    assert set(content(tmp_path / "pets")) == wanted
    assert pixels(tmp_path / "pets/train/tench/00000.png")[0, 0].tolist() == [255, 0, 0], "CMYK becomes RGB"


def test_a_data_set_without_splits_and_names_gets_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def __init__(self, root: str, download: bool = False) -> None:
            pass

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> tuple[Image.Image, np.int64]:
            return Image.new("L", (2, 2), row), np.int64(10 - row)

    monkeypatch.setattr(torchvision.datasets, "SEMEION", Plain)
    fetch("torchvision:SEMEION", tmp_path / "plain")
    assert set(content(tmp_path / "plain")) == {"10/00000.png", "9/00001.png"}


@pytest.mark.parametrize(
    ("name", "near"), [("cifar10", "CIFAR10"), ("FashonMNIST", "FashionMNIST"), ("CocoDetection", None), ("os", None)]
)
def test_unknown_names_of_torchvision_are_refused_with_what_is_near(
    tmp_path: Path, name: str, near: str | None
) -> None:
    with pytest.raises(HeadstartError, match=rf"torchvision:{name} is none that .*: CIFAR10, .*, USPS") as error:
        fetch(f"torchvision:{name}", tmp_path / "target")
    assert str(error.value).endswith(f"; did you mean {near}?" if near else "USPS")
    assert not list(tmp_path.iterdir())


def test_what_is_offered_is_in_torchvision_and_can_be_asked_for() -> None:
    for name in verb.TORCHVISION:
        dataset = getattr(torchvision.datasets, name)
        needed = [
            each.name
            for each in inspect.signature(dataset).parameters.values()
            if each.default is each.empty and each.kind is not each.VAR_KEYWORD
        ]
        assert needed == ["root"], name
        assert "download" in inspect.signature(dataset.__init__).parameters or name == "QMNIST"
