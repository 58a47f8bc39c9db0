"""How many rows a second a backbone encodes, measured on a small sample and remembered in the cache folder.

A comparison of backbones whose vectors are all in the row cache computes none, but still tells their speed; and since a
speed is measured once, a second comparison writes the same bytes.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from stages.backbones import Backbone, combined
from stages.common import atomic, cache_cleaning, cache_folder, json_file, threads
from stages.tables import prepared

MAX_SAMPLE_ROWS = 64
MAX_WARM_UP_ROWS = 8  # the first rows prepare the network
KEEP_SPEEDS_DAYS = 90  # since a speed was measured


def rows_per_second(backbone: Backbone, inputs: Sequence[Any]) -> float:
    """Return the rows per second of a backbone on this machine, without the row cache, at two digits.

    Args:
        inputs: (rows,) texts or encoded images, at least one; the first `MAX_SAMPLE_ROWS` are encoded, unless the
            speed on them is remembered.
    """
    sample = inputs[:MAX_SAMPLE_ROWS]
    path = cache_folder.folder("speeds") / f"{_key(backbone, sample)}.json"
    remembered = json_file.mapping(path).get("rows_per_second")
    if isinstance(remembered, int | float) and remembered > 0:
        return float(remembered)
    backbone.encode(sample[:MAX_WARM_UP_ROWS])
    start = time.perf_counter()
    backbone.encode(sample)
    speed = float(f"{len(sample) / max(time.perf_counter() - start, 1e-9):.2g}")
    with suppress(OSError):  # without a writable folder it is measured every time
        with atomic.file(path) as out:
            json_file.write(out, {"rows_per_second": speed})
        cache_cleaning.delete("speeds", unused_days=KEEP_SPEEDS_DAYS)
    return speed


def _key(backbone: Backbone, sample: Sequence[Any]) -> str:
    """Hash what a speed depends on: backbone, device, cores and rows."""
    devices = " ".join(str(getattr(member, "device_type", None)) for member in combined.members(backbone))
    decisive = [backbone.fingerprint, devices, threads.cores(), [prepared.content_id(row) for row in sample]]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:32]
