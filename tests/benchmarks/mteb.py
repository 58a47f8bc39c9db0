"""Measure BANKING77 by the protocol of MTEB, as a check that the vectors are the model's own.

    python -m tests.benchmarks.mteb DATA

DATA holds banking77/ with train.csv and test.csv (columns text and label). MTEB (Muennighoff et al. 2023, Massive Text
Embedding Benchmark) draws 8 training rows of every class 10 times, fits scikit-learn's logistic regression with C = 1
and at most 100 iterations on their vectors, and takes the mean test accuracy. Published for all-MiniLM-L6-v2: 80.04.
"""

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tests.benchmarks import arguments, few_label_tasks

DRAWS, PER_CLASS, SEED = 10, 8, 42


def first_rows(y: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the first `PER_CLASS` rows of every class, in the order given."""
    return np.concatenate([order[y[order] == label][:PER_CLASS] for label in np.unique(y)])


def main() -> None:
    args = arguments.parse(__doc__, data=Path)
    train, test = (few_label_tasks.table(args.data / f"banking77/{split}.csv") for split in ("train", "test"))
    encoder = few_label_tasks.encoder("text")
    X, test_X = (encoder.encode(table["input"].tolist()) for table in (train, test))
    y, test_y = (table["label"].to_numpy(str) for table in (train, test))
    order = np.arange(len(y))
    accuracies = []
    for _ in range(DRAWS):
        np.random.RandomState(SEED).shuffle(order)  # MTEB too starts its random numbers anew, and shuffles on
        rows = first_rows(y, order)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head = LogisticRegression(C=1.0, max_iter=100, random_state=SEED).fit(X[rows], y[rows])
        accuracies.append(100 * head.score(test_X, test_y))
    print(f"accuracy {np.mean(accuracies):.2f} ± {np.std(accuracies) / np.sqrt(DRAWS):.2f}, published 80.04")


if __name__ == "__main__":
    main()
