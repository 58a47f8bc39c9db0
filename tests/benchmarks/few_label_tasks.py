"""Tasks of few labels, made from the data at hand: which rows are labelled and which test.

| task | classes |
|---|---|
| random-00 to random-19 | 6 intents of BANKING77 at random |
| confused-0 to confused-9 | 6 intents of BANKING77 that a head on frozen features confuses |
| category, sentiment | 8 and 2, of the reviews |
| sst2 | 2 |
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages.heads import choosing

SUBSETS, CONFUSED, CLASSES = 20, 10, 6
LABELS_PER_CLASS = {"random": (5, 10), "confused": (5, 10), "category": (8, 16), "sentiment": (8, 16)}
LABELS_PER_CLASS["sst2"] = (8, 16, 50)
CONFUSION_ROWS = 30  # rows a class that the frozen head is tried on

Encode = Callable[[list[str]], np.ndarray]  # texts to their vectors, (texts, dim)


class Case(NamedTuple):
    """Rows to draw labelled ones from, and rows to test on: tables with columns text and label."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    per_class: int


class Draw(NamedTuple):
    """Labelled rows and test rows of a case.

    Attributes:
        labels: class names, sorted; `y` and `test_y` are their indices.
    """

    texts: list[str]
    y: np.ndarray
    test_texts: list[str]
    test_y: np.ndarray
    labels: tuple[str, ...]
    seed: int


def cases(data: Path, encode: Encode, test_rows: int | None) -> Iterator[Case]:
    """Yield all cases; tests of more than `test_rows` rows are sampled. `encode` tells which intents are confused."""
    for name, train, all_test in _tasks(data, encode):
        test = all_test.sample(test_rows, random_state=0) if test_rows and len(all_test) > test_rows else all_test
        for per_class in LABELS_PER_CLASS[name.split("-")[0]]:
            yield Case(f"{name}-{per_class}", train, test, per_class)


def _tasks(data: Path, encode: Encode) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    train, test = (pd.read_csv(data / "banking77" / f"{split}.csv") for split in ("train", "test"))
    intents = np.unique(train["label"])
    groups = {f"random-{index:02}": _random(intents, index) for index in range(SUBSETS)}
    groups |= {f"confused-{index}": group for index, group in enumerate(_confused(train, encode))}
    for name, group in groups.items():
        yield name, train[train["label"].isin(group)], test[test["label"].isin(group)]
    reviews = pd.read_csv(data / "reviews.csv")
    for column in ("category", "sentiment"):
        table = reviews.rename(columns={column: "label"})[["text", "label"]]
        yield column, table, table
    yield "sst2", *(pd.read_csv(data / "sst2" / f"{split}.csv") for split in ("train", "test"))


def _random(intents: np.ndarray, seed: int) -> list[str]:
    group: list[str] = np.random.default_rng(seed).choice(intents, CLASSES, replace=False).tolist()
    return group


def _confused(train: pd.DataFrame, encode: Encode) -> list[list[str]]:
    """Return groups of intents, each an intent and those that it is most often confused with, the worst groups first.

    Confusion is the mean out-of-fold probability of the others. An intent is the first of one group only, and no two
    groups are equal.
    """
    sample = train.groupby("label").sample(CONFUSION_ROWS, random_state=0)
    names, y = np.unique(sample["label"], return_inverse=True)
    P = choosing.out_of_fold(encode(sample["text"].tolist()), sample["label"].to_numpy(), 10.0)
    mean = np.stack([P[y == index].mean(axis=0) for index in range(len(names))])
    mean = mean + mean.T
    np.fill_diagonal(mean, 0)
    others = np.argsort(-mean, axis=1)[:, : CLASSES - 1]
    lost = np.take_along_axis(mean, others, axis=1).sum(axis=1)
    groups: list[list[str]] = []
    for index in np.argsort(-lost):
        group = sorted(names[[index, *others[index]]])
        if group not in groups:
            groups.append(group)
    return groups[:CONFUSED]


def draw(case: Case, seed: int) -> Draw:
    """Draw the labelled rows of a case; test rows with the text of a labelled row are left out."""
    labelled = case.train.groupby("label").sample(case.per_class, random_state=seed).sample(frac=1, random_state=seed)
    test = case.test[~case.test["text"].isin(labelled["text"])]
    labels = tuple(np.unique(labelled["label"]).tolist())
    y, test_y = (np.searchsorted(labels, table["label"]) for table in (labelled, test))
    return Draw(labelled["text"].tolist(), y, test["text"].tolist(), test_y, labels, seed)
