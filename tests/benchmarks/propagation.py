"""Measure what `train_head.unlabelled: propagate` gains where most rows have no label.

    python -m tests.benchmarks.propagation DATA VECTORS [SEEDS] [CASES ...]

DATA holds sst2/ and banking77/, tables of two columns, text and label. VECTORS is a folder that keeps their vectors by
the packaged MiniLM: the first run makes them. A case is a data set and its labels a class; they are drawn among the
rows of train.csv, whose other rows lose their labels. Accuracy is on the rows that are not in train.csv. Seconds are of
the processor, of the head on labels alone and of learning from the others.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from stages.common.params import TrainHeadParams
from stages.heads import choosing, propagation
from stages.heads.head import Head
from tests.benchmarks import arguments
from tests.benchmarks.cross_validation import training_rows, vectors
from tests.evaluation.feature_tables import table

CASES = ["banking77-10", "banking77-30", "sst2-16", "sst2-50"]
SETTINGS = TrainHeadParams()


def measure(data: Path, folder: Path, case: str, seed: int) -> None:
    """Print a line of the table."""
    name, _, per_class = case.partition("-")
    X, labels = vectors(data, folder, name)
    rows = table(X, labels.astype(str).tolist())
    pool = training_rows(data, name, len(labels))
    order = np.random.default_rng(seed).permutation(pool)
    chosen = np.concatenate([order[labels[order] == label][: int(per_class)] for label in np.unique(labels)])
    judged, others = np.setdiff1d(np.arange(len(labels)), pool), np.setdiff1d(pool, chosen)
    train, unlabelled = rows.select(chosen), replace(rows.select(others), labels=np.full(len(others), None))

    def accuracy(head: Head) -> float:
        return float((np.array(head.labels)[head.scores(X[judged]).argmax(axis=1)] == rows.labels[judged]).mean())

    start = time.process_time()
    plain = choosing.fit(train.X, train.labels, SETTINGS)
    middle = time.process_time()
    (head, _), trial = propagation.fit(train, unlabelled, plain, SETTINGS)
    end = time.process_time()
    assert trial is not None
    out_of_fold = f"{trial.log_loss_without:.3f} -> {trial.log_loss:.3f}"
    print(
        f"| {case} | {seed} | {accuracy(plain[0]):.4f} | {accuracy(head):.4f} | {out_of_fold} |"
        f" {'yes' if trial.is_used else 'no'} | {middle - start:.1f} | {end - middle:.1f} |",
        flush=True,
    )


def main() -> None:
    args = arguments.parse(__doc__, data=Path, vectors=Path, seeds=3, cases=CASES)
    print(
        "| case | seed | labels alone | with unlabelled rows | log loss out of fold | used | seconds | more seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in args.cases:
        for seed in range(args.seeds):
            measure(args.data, args.vectors, case, seed)


if __name__ == "__main__":
    main()
