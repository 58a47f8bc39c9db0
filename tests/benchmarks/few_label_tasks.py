"""Tasks with few labels a class, for benchmarks: rows to draw labelled ones from, and rows to test on.

| task | classes | labels a class |
|---|---|---|
| random-00 to random-19 | 6 intents of BANKING77 at random | 5, 10 |
| confused-0 to confused-9 | 6 intents of BANKING77 that a head on frozen features confuses | 5, 10 |
| question | 6: the texts of BANKING77 by their first word, which may ask how, what, why, where or yes or no | 5, 10 |
| category, sentiment | 8 and 2, of the reviews | 8, 16 |
| sst2 | 2 | 8, 16, 50 |
| ants | 2, images | 5, 10 |

A case is a task and its number of labels, such as random-03-5. The folder of data holds banking77/ and sst2/, each with
train.csv and test.csv (columns text and label), reviews.csv (columns text, category and sentiment) and hymenoptera/
with train/ and val/ (images in folders ants and bees). The reviews have no test rows of their own: all rows that were
not drawn are.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages import backbones, sources
from stages.backbones.encoder import Encoder
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.heads import choosing
from stages.sources import image_folders
from tests.projects import MINILM, REVISION

SUBSETS, CONFUSED, CLASSES = 20, 10, 6
LABELS_PER_CLASS = {
    "random": (5, 10),
    "confused": (5, 10),
    "question": (5, 10),
    "category": (8, 16),
    "sentiment": (8, 16),
}
LABELS_PER_CLASS |= {"sst2": (8, 16, 50), "ants": (5, 10)}
RANDOM_TASKS = ("banking77", "category", "banking77", "sentiment", "sst2", "ants")
RANDOM_LABELS, MAX_CLASSES = (4, 11), 6
QUESTIONS = {
    "how": "how",
    "what": "what what's",
    "why": "why",
    "where": "where when which who",
    "yes or no": "can could is do does are will am",
    "no question": "i my i've i'm the there it please",
}
MODALITIES: dict[str, Modality] = {"ants": "image"}
CONFUSION_ROWS = 30  # rows a class that the frozen head is tried on
MAX_SIDE = 512  # pixels of an image, as prepare.max_side has it
BACKBONES = {
    "text": BackboneParams(family="transformers", name=MINILM, revision=REVISION),
    "image": BackboneParams(family="timm", name="tf_efficientnet_lite0.pypi"),
}
CPU = RuntimeParams(device="cpu", checkpoint_steps=None)


class Case(NamedTuple):
    """Rows to draw labelled ones from, and rows to test on: tables with columns input and label."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    per_class: int
    modality: Modality


class Draw(NamedTuple):
    """Labelled rows and test rows of a case.

    Attributes:
        labels: class names, sorted; `y` and `test_y` are their indices.
    """

    inputs: list[str | bytes]
    y: np.ndarray
    test_inputs: list[str | bytes]
    test_y: np.ndarray
    labels: tuple[str, ...]
    modality: Modality
    seed: int


def cases(data: Path, beginnings: tuple[str, ...], *, test_rows: int | None, cut: bool) -> Iterator[Case]:
    """Yield the cases whose names begin so.

    Args:
        test_rows: larger tests are sampled to so many rows.
        cut: whether to test on the rows to draw from: those that were not drawn.
    """
    for task, train, test in _tasks(data, beginnings):
        modality = MODALITIES.get(task, "text")
        for per_class in LABELS_PER_CLASS[task.split("-")[0]]:
            if (name := f"{task}-{per_class}").startswith(beginnings):
                rows = train if cut else test
                if test_rows and len(rows) > test_rows:
                    rows = rows.sample(test_rows, random_state=0)
                yield Case(name, train, rows, per_class, modality)


def draw(case: Case, seed: int) -> Draw:
    """Draw the labelled rows of a case; test rows with the content of a labelled row are left out."""
    labelled = case.train.groupby("label").sample(case.per_class, random_state=seed).sample(frac=1, random_state=seed)
    test = case.test[~case.test["input"].isin(labelled["input"])]
    labels = tuple(np.unique(labelled["label"]).tolist())
    y, test_y = (np.searchsorted(labels, table["label"]) for table in (labelled, test))
    return Draw(labelled["input"].tolist(), y, test["input"].tolist(), test_y, labels, case.modality, seed)


def random_draw(data: Path, seed: int, *, test_rows: int) -> tuple[str, Draw]:
    """Return the name and the rows of a small task at random: 2 to 6 classes of one data set, 4 to 10 labels each.

    The data sets take turns. Test rows are those of the test file, of the reviews those that were not drawn.

    Args:
        test_rows: larger tests are sampled to so many rows.
    """
    generator = np.random.default_rng(seed)
    name = RANDOM_TASKS[seed % len(RANDOM_TASKS)]
    train, test = _splits(data, name)
    names = generator.permutation(np.unique(train["label"]))
    labels = sorted(names[: generator.integers(2, min(MAX_CLASSES, len(names)) + 1)].tolist())
    parts = [
        train[train["label"] == label].sample(generator.integers(*RANDOM_LABELS), random_state=generator)
        for label in labels
    ]
    labelled = pd.concat(parts)
    test = test[test["label"].isin(labels) & ~test["input"].isin(labelled["input"])]
    test = test.sample(min(test_rows, len(test)), random_state=generator)
    y, test_y = (np.searchsorted(labels, table["label"]) for table in (labelled, test))
    modality = MODALITIES.get(name, "text")
    return name, Draw(labelled["input"].tolist(), y, test["input"].tolist(), test_y, tuple(labels), modality, seed)


def backbone_settings(modality: Modality) -> dict[str, str | None]:
    """Return the backbone of a modality as params.yaml names it."""
    return BACKBONES[modality].model_dump(include={"family", "name", "revision"})


def encoder(modality: Modality) -> Encoder:
    """Load the packaged MiniLM, or the packaged EfficientNet-Lite0 for images."""
    return backbones.load_encoder(BACKBONES[modality], ExtractParams(), CPU, modality)


def _tasks(data: Path, beginnings: tuple[str, ...]) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Yield names, training rows and test rows; those of families that no beginning asks for are not read."""

    def is_wanted(family: str) -> bool:
        return any(family.startswith(text) or text.startswith(family) for text in beginnings)

    if is_wanted("random") or is_wanted("confused"):
        train, test = _splits(data, "banking77")
        intents = np.unique(train["label"])
        groups = {f"random-{index:02}": _random(intents, index) for index in range(SUBSETS)}
        if is_wanted("confused"):
            groups |= {f"confused-{index}": group for index, group in enumerate(_confused(train))}
        for name, group in groups.items():
            yield name, train[train["label"].isin(group)], test[test["label"].isin(group)]
    for name in filter(is_wanted, ("question", "category", "sentiment", "sst2", "ants")):
        yield name, *_splits(data, name)


def _splits(data: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the training and the test rows of a data set; those of the reviews are the same."""
    if name in ("category", "sentiment"):
        rows = table(data / "reviews.csv", name)
        return rows, rows
    if name == "ants":
        return _photos(data / "hymenoptera/train"), _photos(data / "hymenoptera/val")
    folder = data / ("banking77" if name == "question" else name)
    train, test = table(folder / "train.csv"), table(folder / "test.csv")
    return (_by_question(train), _by_question(test)) if name == "question" else (train, test)


def _by_question(texts: pd.DataFrame) -> pd.DataFrame:
    """Replace the labels of texts by the kind of question that their first word asks; other texts are left out."""
    kinds = {word: kind for kind, words in QUESTIONS.items() for word in words.split()}
    first = texts["input"].str.lower().str.split().str[0].str.strip("?,.!")
    return texts.assign(label=first.map(kinds)).dropna()


@cache
def table(path: Path, label: str = "label") -> pd.DataFrame:
    """Read a table of texts: columns input and label."""
    return pd.read_csv(path).rename(columns={"text": "input", label: "label"})[["input", "label"]]


@cache
def _photos(folder: Path) -> pd.DataFrame:
    rows = [sources.ready(sources.check(row), max_side=MAX_SIDE) for row in image_folders.rows(folder, labelled=True)]
    columns = ("input", "label")
    return pd.DataFrame([(row.content, row.label) for row in rows if not row.problem], columns=columns)


def _random(intents: np.ndarray, seed: int) -> list[str]:
    group: list[str] = np.random.default_rng(seed).choice(intents, CLASSES, replace=False).tolist()
    return group


def _confused(train: pd.DataFrame) -> list[list[str]]:
    """Return groups of intents, each an intent and those that it is most often confused with, the worst groups first.

    Confusion is the mean out-of-fold probability of the others. An intent is the first of one group only, and no two
    groups are equal.
    """
    sample = train.groupby("label").sample(CONFUSION_ROWS, random_state=0)
    names, y = np.unique(sample["label"], return_inverse=True)
    P = choosing.out_of_fold(encoder("text").encode(sample["input"].tolist()), sample["label"].to_numpy(), 10.0)
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
