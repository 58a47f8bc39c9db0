"""Compare the preset few_labels with SetFit and with the frozen head on the same few rows: accuracy and CPU seconds.

    pip install setfit==1.2.0
    python -m tests.benchmarks.setfit DATA [--cases CASE …] [--draws N] [--methods METHOD …] [--rows N] [--out FILE]

DATA holds banking77/ with train.csv and test.csv, sst2/ with train.csv and test.csv (columns text and label), and
reviews.csv (columns text, category and sentiment). A case is a task and its number of labels a class; `--cases` takes
any beginnings of names, such as `random-03`, `confused` or `sst2-8`. Every draw takes other labelled rows, and the
test rows are those of the test file (`--rows`: a sample of so many); the reviews' are all rows that were not drawn.

| task | classes |
|---|---|
| random-00 to random-19 | 6 intents of BANKING77 at random |
| confused-0 to confused-9 | 6 intents of BANKING77 that a head on frozen features confuses |
| category, sentiment | 8 and 2, of the reviews |
| sst2 | 2 |

All methods start from the packaged MiniLM (Tunstall et al. 2022, Efficient Few-Shot Learning Without Prompts, with the
defaults of SetFit 1.2: one epoch over all pairs, positive ones drawn as often as negative ones). Seconds are those of
training, without loading and predicting, and of the processor: time on the wall grows with the work beside it.
Prints a line a run, then a table: accuracy of each method, the difference of few_labels to SetFit with the standard
error over draws and test rows, and their seconds. `--out` appends the runs to a JSON Lines file and skips those that
it has.
"""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stages import backbones
from stages.backbones import hub
from stages.common.params import BackboneParams, ExtractParams, FinetuneParams, RuntimeParams
from stages.finetuning import loop, rows
from stages.finetuning.classifier import Classifier
from stages.heads import choosing, linear_layer
from tests.projects import MINILM, REVISION

SUBSETS, CONFUSED, CLASSES = 20, 10, 6
LABELS_PER_CLASS = {"random": (5, 10), "confused": (5, 10), "category": (8, 16), "sentiment": (8, 16)}
LABELS_PER_CLASS["sst2"] = (8, 16, 50)
CONFUSION_ROWS = 30  # rows a class that the frozen head is tried on
BACKBONE = BackboneParams(family="transformers", name=MINILM, revision=REVISION)
CPU = RuntimeParams(device="cpu", checkpoint_steps=None)


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


class Outcome(NamedTuple):
    right: np.ndarray  # (test rows,) bool
    seconds: float


def cases(data: Path, test_rows: int | None) -> Iterator[Case]:
    """Yield all cases; tests of more than `test_rows` rows are sampled."""
    for name, train, all_test in _tasks(data):
        test = all_test.sample(test_rows, random_state=0) if test_rows and len(all_test) > test_rows else all_test
        for per_class in LABELS_PER_CLASS[name.split("-")[0]]:
            yield Case(f"{name}-{per_class}", train, test, per_class)


def _tasks(data: Path) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    train, test = (pd.read_csv(data / "banking77" / f"{split}.csv") for split in ("train", "test"))
    intents = np.unique(train["label"])
    groups = {f"random-{index:02}": _random(intents, index) for index in range(SUBSETS)}
    groups |= {f"confused-{index}": group for index, group in enumerate(_confused(train))}
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


def _confused(train: pd.DataFrame) -> list[list[str]]:
    """Return groups of intents, each an intent and those that it is most often confused with, the worst groups first.

    Confusion is the mean out-of-fold probability of the others. An intent is the first of one group only, and no two
    groups are equal.
    """
    sample = train.groupby("label").sample(CONFUSION_ROWS, random_state=0)
    names, y = np.unique(sample["label"], return_inverse=True)
    P = choosing.out_of_fold(_encoder().encode(sample["text"].tolist()), sample["label"].to_numpy(), 10.0)
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


def _encoder() -> Any:
    return backbones.load_encoder(BACKBONE, ExtractParams(), CPU, "text")


def frozen(drawn: Draw) -> Outcome:
    """Fit the head of train_head's defaults on frozen features."""
    encoder = _encoder()
    start = time.process_time()
    head, _ = choosing.logistic_head(encoder.encode(drawn.texts), np.array(drawn.labels)[drawn.y])
    seconds = time.process_time() - start
    return Outcome(head.probabilities(encoder.encode(drawn.test_texts)).argmax(axis=1) == drawn.test_y, seconds)


def few_labels(drawn: Draw, **changes: Any) -> Outcome:
    """Train as the stage finetune does, from the head on frozen features; `changes`: settings of `finetune`."""
    settings = FinetuneParams(preset="few_labels", seed=drawn.seed, **changes)
    classifier = Classifier(_encoder(), drawn.labels)
    start = time.process_time()
    head, _ = choosing.logistic_head(classifier.encoder.encode(drawn.texts), np.array(drawn.labels)[drawn.y])
    layer = linear_layer.from_head(head)
    assert layer is not None
    classifier.start_from(*layer)
    classifier.adapt(settings)
    inputs, y = drawn.texts, drawn.y
    if settings.label_names:
        inputs, y = rows.with_label_names(inputs, y, drawn.labels, combine="join")
    task = loop.Task(inputs, y, settings, CPU, from_random=False, identity=f"{time.time_ns()}")
    loop.train(classifier, task, dict)
    seconds = time.process_time() - start
    return Outcome(classifier.scores(drawn.test_texts).argmax(axis=1) == drawn.test_y, seconds)


def setfit(drawn: Draw) -> Outcome:
    """Train by SetFit with its defaults."""
    from datasets import Dataset, disable_progress_bars
    from setfit import SetFitModel, Trainer, TrainingArguments

    disable_progress_bars()
    folder, _ = hub.resolve(MINILM, REVISION)
    model = SetFitModel.from_pretrained(str(folder), device="cpu", labels=list(drawn.labels))
    table = Dataset.from_dict({"text": drawn.texts, "label": [drawn.labels[label] for label in drawn.y]})
    start = time.process_time()
    arguments = TrainingArguments(
        seed=drawn.seed, report_to="none", save_strategy="no", logging_strategy="no", show_progress_bar=False
    )
    Trainer(model=model, args=arguments, train_dataset=table).train()
    seconds = time.process_time() - start
    guess = model.predict(drawn.test_texts, as_numpy=True)
    return Outcome(np.asarray(guess) == np.array(drawn.labels)[drawn.test_y], seconds)


METHODS: dict[str, Callable[[Draw], Outcome]] = {"frozen": frozen, "few_labels": few_labels, "setfit": setfit}


def measure(chosen: list[Case], methods: list[str], draws: int, out: Path | None) -> pd.DataFrame:
    """Run the methods on all draws of the cases, and return a row a run: case, draw, method, accuracy, seconds, right.

    `out` keeps every run as soon as it ends; runs that it has already are not repeated.
    """
    runs = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out and out.is_file() else []
    done = {(run["case"], run["draw"], run["method"]) for run in runs}
    for case in chosen:
        for seed in range(draws):
            drawn = draw(case, seed)
            for method in methods:
                if (case.name, seed, method) in done:
                    continue
                with contextlib.redirect_stdout(None):  # SetFit prints its metrics
                    right, seconds = METHODS[method](drawn)
                run = {"case": case.name, "draw": seed, "method": method, "accuracy": round(float(right.mean()), 4)}
                run |= {"seconds": round(seconds, 1), "right": "".join(map(str, right.astype(int)))}
                runs.append(run)
                print(f"{case.name} draw {seed} {method}: {run['accuracy']:.4f}, {seconds:.1f} s", flush=True)
                if out:
                    with out.open("a", encoding="utf-8") as file:
                        file.write(f"{json.dumps(run)}\n")
    names = {case.name for case in chosen}
    table = pd.DataFrame(runs)
    return table[table["case"].isin(names) & table["method"].isin(methods) & (table["draw"] < draws)]


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row a case and their mean: accuracies, the difference to SetFit with its error, and seconds."""
    table = runs.pivot_table(index="case", columns="method", values=["accuracy", "seconds"], sort=False)
    table.columns = [method if value == "accuracy" else f"{method} s" for value, method in table.columns]
    if {"few_labels", "setfit"} <= set(table):
        table.insert(len(table.columns) // 2, "difference", table["few_labels"] - table["setfit"])
        errors = [_error(runs[runs["case"] == name]) for name in table.index]
        table.insert(table.columns.get_loc("difference") + 1, "error", errors)
    mean = table.mean()
    if "error" in table:
        mean["error"] = table["difference"].std() / np.sqrt(len(table)) if len(table) > 1 else table["error"].iloc[0]
    table.loc["mean"] = mean
    return table


def _error(runs: pd.DataFrame) -> float:
    """Return the standard error of the mean difference of a case: of its draws, but at least that of its test rows."""
    right = runs.pivot(index="draw", columns="method", values="right")
    pairs = [
        np.array(list(ours), dtype=int) - np.array(list(theirs), dtype=int)
        for ours, theirs in zip(right["few_labels"], right["setfit"], strict=True)
    ]
    means = [pair.mean() for pair in pairs]
    by_draws = np.std(means, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else 0.0
    by_rows = np.sqrt(np.mean([pair.var() / len(pair) for pair in pairs]) / len(pairs))
    return float(max(by_draws, by_rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", nargs="+", default=[""], metavar="CASE", help="beginnings of names of cases")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rows", type=int, help="the most test rows of a case; all if it is left out")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON Lines file that keeps the runs")
    arguments = parser.parse_args()
    chosen = [case for case in cases(arguments.data, arguments.rows) if case.name.startswith(tuple(arguments.cases))]
    if not chosen:
        parser.error(f"no case begins with {' or '.join(arguments.cases)}")
    runs = measure(chosen, arguments.methods, arguments.draws, arguments.out)
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_columns", None):
        print(summary(runs).round(4))


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
