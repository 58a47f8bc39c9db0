"""A Hugging Face hub on loopback: its data sets, the three calls of a download, and its ways to refuse."""

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

COMMIT = "d" * 40


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
