"""The server under load: rows a second against predict's on the same rows, seconds of requests, errors and memory.

    python -m tests.benchmarks.serving MODEL TABLE [SECONDS] [CLIENTS] [ROWS] [TURNS]

MODEL reads texts, such as data/head; TABLE has its columns, such as data/reviews.csv. ROWS are those of a request. Both
compute every vector: the row cache is an empty folder. They take turns, so that a busy machine is as busy for both.
Answers are compared with predict's.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from stages import sources
from stages.common.params import RuntimeParams
from stages.finetuning.trained_model import TrainedModel
from stages.heads import model_card
from stages.heads.model_card import ModelCard
from stages.prediction import classified_rows
from stages.tables import prepared
from tests.benchmarks import arguments


@dataclass
class Load:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)  # of requests
    errors: list[str] = field(default_factory=list)
    largest_difference: float = 0.0  # of a probability, from predict's


class Predict:
    """What predict does with rows, without loading the model."""

    def __init__(self, folder: Path, card: ModelCard) -> None:
        self._card = card
        self._model: TrainedModel = classified_rows.load(folder, card, RuntimeParams())

    def __call__(self, rows: Sequence[sources.Row]) -> np.ndarray:
        """Return the probabilities of rows: (rows, labels)."""
        size = prepared.WINDOW_ROWS["text"]
        parts = [
            classified_rows.classify(
                [classified_rows.ready(row, self._card) for row in rows[start : start + size]],
                self._card,
                lambda: self._model,
                explain=False,
            ).outputs
            for start in range(0, len(rows), size)
        ]
        return np.concatenate(parts)


@contextmanager
def served(folder: Path) -> "Iterator[tuple[int, psutil.Process]]":
    """Serve the model in a process of its own; gives the port and the process."""
    command = [sys.executable, "-m", "stages.serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = next(match[1] for line in process.stdout if (match := re.search(r"http://\S+:(\d+)/", line)))
        try:
            yield int(port), psutil.Process(process.pid)
        finally:
            process.terminate()


def put_under_load(
    port: int,
    inputs: Sequence[Any],
    P: np.ndarray,
    labels: Sequence[str],
    *,
    clients: int,
    rows: int,
    seconds: float,
    load: Load,
) -> float:
    """Let clients ask for `rows` rows at a time; gives the rows a second that were answered."""
    answered, end, started = [0] * clients, time.perf_counter() + seconds, time.perf_counter()

    def ask(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        position = client * rows
        while time.perf_counter() < end:
            chosen = [(position + number) % len(inputs) for number in range(rows)]
            position += clients * rows
            begun = time.perf_counter()
            try:
                body = json.dumps({"inputs": [inputs[row] for row in chosen]})
                connection.request("POST", "/predict", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                predictions = json.loads(content)["predictions"]
            except Exception as error:
                load.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
                continue
            load.seconds.append(time.perf_counter() - begun)
            answered[client] += len(predictions)
            for row, prediction in zip(chosen, predictions, strict=True):
                if not prediction["rejected"]:
                    shares = [prediction["probabilities"][label] for label in labels]
                    load.largest_difference = max(load.largest_difference, float(np.abs(P[row] - shares).max()))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / (time.perf_counter() - started)


def main() -> None:
    args = arguments.parse(__doc__, model=Path, table=Path, seconds=60.0, clients=64, rows=16, turns=3)
    card = model_card.read_trained(args.model)
    columns = sources.Columns(card.input, keep_all=True)
    rows = list(sources.rows(args.table, columns, "text", sources.Reading(card.encoding, card.sheet)))
    inputs = [{name: (row.record or {})[name] for name in columns.inputs()} for row in rows]
    speeds: dict[str, list[float]] = {"predict": [], "serve": []}
    load = Load()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HEADSTART_CACHE"] = cache
        predict = Predict(args.model, card)
        P = predict(rows)  # and loads the network
        with served(args.model) as (port, process):
            options = {"clients": args.clients, "rows": args.rows, "load": load}
            put_under_load(port, inputs, P, card.labels, **options, seconds=min(5.0, args.seconds))
            memory = [process.memory_info().rss]
            load.seconds.clear()
            for _ in range(args.turns):
                started = time.perf_counter()
                predict(rows)
                speeds["predict"].append(len(rows) / (time.perf_counter() - started))
                speed = put_under_load(port, inputs, P, card.labels, **options, seconds=args.seconds / args.turns)
                speeds["serve"].append(speed)
                memory.append(process.memory_info().rss)
    mean = {name: float(np.mean(values)) for name, values in speeds.items()}
    p50, p99 = np.percentile(load.seconds, [50, 99])
    print(
        f"{args.clients} clients, {args.rows} rows a request, {len(load.seconds):,} requests, {len(load.errors)} errors"
    )
    print(f"p50 {p50:.3f} s, p99 {p99:.3f} s; largest difference from predict {load.largest_difference:.1e}")
    print(f"rows a second: {mean['serve']:.0f}, predict {mean['predict']:.0f}: {mean['serve'] / mean['predict']:.2f} x")
    print(f"memory: {', '.join(f'{size / 1e9:.2f}' for size in memory)} GB, after 5 s and after every turn")
    for error in sorted(set(load.errors))[:5]:
        print(f"error: {error}")


if __name__ == "__main__":
    main()
