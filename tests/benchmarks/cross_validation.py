"""Measure how often intervals of a cross-validation hold the accuracy of the head that is shipped.

    python -m tests.benchmarks.cross_validation DATA VECTORS [DRAWS] [SEED] [CASES ...]

DATA holds sst2/ and banking77/, tables of two columns, text and label. VECTORS is a folder that keeps their vectors by
the packaged MiniLM: the first run makes them. Every draw takes a few rows at random, trains the head on all of them
(`train_head.final: all`) and cross-validates it, as evaluate does; the truth is its accuracy on the other rows.
CASES are names as in `CASES`; all if there are none. The interval without the correction is of as many test rows.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv
from tqdm import tqdm

from stages import backbones
from stages.common.params import BackboneParams, EvaluateParams, ExtractParams, RuntimeParams, TrainHeadParams
from stages.evaluation import cross_validation
from stages.heads import training
from stages.scores import proportions
from stages.tables import features
from tests.benchmarks import arguments
from tests.projects import MINILM, REVISION

MAX_OTHER_ROWS = 5_000  # that give the truth
SETTINGS = TrainHeadParams(final="all")


class Case(NamedTuple):
    """Rows of a few classes: `rows` in all; `shares` of the classes are equal, or fall like 1, 1/2, 1/3, …"""

    table: str
    classes: int
    rows: int
    is_even: bool = True


CASES = {
    "sst2": Case("sst2", 2, 60),
    "sst2-20": Case("sst2", 2, 20),
    "sst2-200": Case("sst2", 2, 200),
    "banking-2": Case("banking77", 2, 60),
    "banking-8": Case("banking77", 8, 60),
    "banking-8-uneven": Case("banking77", 8, 120, is_even=False),
    "banking-77": Case("banking77", 77, 308),
}


def read(path: Path) -> pa.Table:
    """Read a table of texts, which may have lines."""
    return csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))


def training_rows(data: Path, name: str, rows: int) -> np.ndarray:
    """Return which of all `rows`, in the order of `vectors`, are in train.csv: the last ones, by its name."""
    return np.arange(rows)[-read(data / name / "train.csv").num_rows :]


def vectors(data: Path, folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Load or make the vectors, (rows, dim), and labels, (rows,), of a table."""
    path = folder / f"{name}.npz"
    if not path.exists():
        tables = [read(file) for file in sorted((data / name).glob("*.csv"))]
        texts, labels = ([value for table in tables for value in table[k].to_pylist()] for k in (0, 1))
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, X=encoded(texts), y=np.array(labels))
    with np.load(path) as file:
        return file["X"], file["y"]


def encoded(texts: list[str]) -> np.ndarray:
    """Make the vectors of texts by the packaged MiniLM, rounded as extract does: (rows, dim) float32."""
    spec = BackboneParams(family="transformers", name=MINILM, revision=REVISION)
    encoder = backbones.load(spec, ExtractParams(), RuntimeParams(device="cpu"), modality="text")
    return np.asarray(encoder.encode(texts)).astype(np.float16).astype(np.float32)


def draw(y: np.ndarray, case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows to label, two of every class at least, and give the others of the same classes and shares."""
    generator = np.random.default_rng(seed)
    names = generator.permutation(np.unique(y))[: case.classes]
    rows = [generator.permutation(np.flatnonzero(y == name)) for name in names]
    shares = np.ones(case.classes) if case.is_even else 1 / np.arange(1, case.classes + 1)
    if case.table == "sst2":  # as the table has them
        rows = [generator.permutation(len(y))]
        shares = np.ones(1)
    counts = np.maximum(np.round(shares / shares.sum() * case.rows).astype(int), 2 if len(rows) > 1 else 0)
    most = min((len(part) - count) / share for part, count, share in zip(rows, counts, shares, strict=True))
    others = [part[count : count + int(most * share)] for part, count, share in zip(rows, counts, shares, strict=True)]
    labelled = [part[:count] for part, count in zip(rows, counts, strict=True)]
    return np.concatenate(labelled), generator.permutation(np.concatenate(others))[:MAX_OTHER_ROWS]


def table(X: np.ndarray, y: np.ndarray) -> features.Features:
    metadata = features.Metadata(
        backbone=BackboneParams(family="pixels", name="rgb"), extract=ExtractParams(), fingerprint="0" * 64,
        dim=X.shape[1], sparse=False, input="text", modality="text", max_side=None,
    )  # fmt: skip
    ids = np.array([f"{row:032x}" for row in range(len(X))], dtype=object)
    return features.Features(ids, y.astype(object), X, metadata)


def judge(X: np.ndarray, y: np.ndarray, case: Case, seed: int) -> tuple[float, float, tuple[float, float], tuple]:
    """Return the truth, the cross-validated accuracy, and its intervals with and without the correction."""
    rows, others = draw(y, case, seed)
    train = table(X[rows], y[rows])
    none = train.select(np.array([], dtype=int))
    head = training.fit(train, none, SETTINGS).head
    truth = float((np.array(head.labels)[head.scores(X[others]).argmax(axis=1)] == y[others]).mean())
    labelled = features.joined({"train": train, "validation": none})
    division = cross_validation.divide(labelled, EvaluateParams(), SETTINGS.final)
    P = cross_validation.head_probabilities(labelled, division, head.labels, SETTINGS)
    names = labelled.labels[division.judged].astype(str)
    accuracy = float((np.array(head.labels)[P.argmax(axis=2)] == names).mean())
    hits, count = accuracy * len(names), len(names)
    ends = [proportions.spread_interval(hits, count, spread) for spread in (division.spread, 1.0)]
    return truth, accuracy, ends[0], ends[1]


def measure(name: str, X: np.ndarray, y: np.ndarray, draws: int, seed: int) -> Iterator[str]:
    case = CASES[name]
    results = [judge(X, y, case, seed * 10_000 + k) for k in tqdm(range(draws), desc=name, disable=None)]
    truths, accuracies = (np.array([result[k] for result in results]) for k in (0, 1))
    held = [np.mean([low <= result[0] <= high for result in results for low, high in [result[k]]]) for k in (2, 3)]
    width, bias = np.mean([result[2][1] - result[2][0] for result in results]), (accuracies - truths).mean()
    yield (
        f"| {name} | {case.classes} | {case.rows} | {seed} | {truths.mean():.3f} | {bias:+.3f} |"
        f" {width:.2f} | {held[0]:.2f} | {held[1]:.2f} |"
    )


def main() -> None:
    args = arguments.parse(__doc__, data=Path, vectors=Path, draws=100, seed=0, cases=[*CASES])
    print("| case | classes | rows | seed | accuracy | cross-validated - accuracy | width | holds it | uncorrected |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.cases:
        X, y = vectors(args.data, args.vectors, CASES[name].table)
        for line in measure(name, X, y, args.draws, args.seed):
            print(line, flush=True)


if __name__ == "__main__":
    main()
