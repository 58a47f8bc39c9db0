"""Tables of texts that prepare reads."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stages.common.prepare_params import PrepareParams
from stages.tables import prepared

ROWS = [{"text": f"text number {n}", "label": "ab"[n % 2]} for n in range(200)]


def settings(data: Path, **changes: Any) -> PrepareParams:
    return PrepareParams(**{"data": str(data), "input": "text", "label": "label", **changes})


def csv_of(rows: list[dict[str, str]], path: Path) -> Path:
    header = list(rows[0])
    lines = [",".join(header), *(",".join(f'"{row[name]}"' for name in header) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def split_ids(folder: Path) -> dict[str, list[str]]:
    return {split: prepared.read(folder, split)["id"].to_pylist() for split in prepared.SPLITS}


def rejected(folder: Path) -> list[tuple[str, str]]:
    return [(row["source"], row["reason"]) for row in pq.read_table(folder / "rejected.parquet").to_pylist()]
