"""Names of classes in Parquet files of the Hugging Face hub, which store numbers and describe them beside."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Read the hub's description of each column; empty where there is none, or one of another form."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):
        described = {}
    for key in ("info", "features"):
        described = described.get(key) if isinstance(described, dict) else {}
    columns = described if isinstance(described, dict) else {}
    return {name: columns[name] if isinstance(columns.get(name), dict) else {} for name in schema.names}


def put(table: pa.Table, described: dict[str, dict[str, Any]]) -> pa.Table:
    """Replace class numbers by names, and numbers without a name, as the -1 of unlabelled test rows, by null.

    A column may hold lists of class numbers, too.

    Args:
        described: the hub's description of each column; see `features`.
    """
    for index, column in enumerate(table.schema.names):
        numbers, feature = table.column(index), described.get(column, {})
        is_list = pa.types.is_list(numbers.type) or pa.types.is_large_list(numbers.type)
        if is_list and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        names = feature.get("names")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            continue
        if feature.get("_type") != "ClassLabel":
            continue
        if is_list and pa.types.is_integer(numbers.type.value_type):
            table = table.set_column(index, column, _named_lists(numbers, names))
        elif pa.types.is_integer(numbers.type):
            known = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
            labels = pc.take(pa.array(names, pa.string()), pc.if_else(known, numbers, None))
            table = table.set_column(index, column, labels)
    return table


def _named_lists(numbers: pa.ChunkedArray, names: list[str]) -> pa.Array:
    by_number = dict(enumerate(names))
    rows = [None if row is None else list(map(by_number.get, row)) for row in numbers.to_pylist()]
    return pa.array(rows, pa.list_(pa.string()))
