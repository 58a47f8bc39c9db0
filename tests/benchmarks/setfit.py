"""Compare presets of fine-tuning with SetFit, the frozen head and each other on the same few labelled rows.

    pip install setfit==1.2.0
    python -m tests.benchmarks.setfit DATA [--cases CASE …] [--draws N] [--methods METHOD …] [--rows N] [--cut]
        [--out FILE] [--figure FILE]

tests/benchmarks/few_label_tasks.py has the cases and the files in DATA; `--cases` takes any beginnings of names, such
as `random-03`, `confused` or `sst2-8`. Every draw takes other labelled rows. Test rows are those of the test file; with
`--cut` the training rows that were not drawn, to choose settings by; `--rows`: a sample of so many.

METHOD is `frozen`, `setfit`, or a preset, alone or with settings of `finetune` that are changed, such as
`"few_labels layer_decay=1"`. The default is `few_labels setfit frozen`. All start from the packaged MiniLM, for images
EfficientNet-Lite0. SetFit (Tunstall et al. 2022, Efficient Few-Shot Learning Without Prompts) has the defaults of
version 1.2: one epoch over all pairs, positive ones drawn as often as negative ones; it is left out for images. Seconds
are those of training, without loading and predicting, and of the processor: time on the wall grows with the work beside
it.

Prints a line a run, then a table of the mean accuracies and seconds of every case, with the difference of the first
method to the second and its standard error, over draws and test rows; then the mean difference of the first method to
every other one, in points, over all pairs. `--out` appends the runs to a JSON Lines file and skips those that it has.
`--figure` draws accuracy against seconds, the means over all cases, with matplotlib, which you install.
"""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from stages.backbones import hub
from stages.backbones.encoder import Encoder
from stages.common.errors import counted
from stages.common.params import FinetuneParams, TrainHeadParams
from stages.finetuning import auto_values, loop, rows
from stages.finetuning.classifier import Classifier
from stages.heads import choosing
from stages.tasks.single import Single
from tests.benchmarks import few_label_tasks
from tests.benchmarks.few_label_tasks import CPU, Case, Draw
from tests.projects import MINILM, REVISION

METHODS = ("few_labels", "setfit", "frozen")
BAR = 0.02  # a case should not be worse than another method's by more, beyond noise


class Outcome(NamedTuple):
    right: np.ndarray  # (test rows,) bool
    seconds: float


def run(method: str, drawn: Draw) -> Outcome:
    """Train and test by a method; see the top for names."""
    if method in ("frozen", "setfit"):
        return {"frozen": frozen, "setfit": setfit}[method](drawn)
    return finetuned(drawn, recipe(method, seed=drawn.seed))


def recipe(method: str, *, seed: int) -> FinetuneParams:
    """Return the settings of a preset with changes.

    Raises:
        ValueError: a name or value is wrong, or nothing would be trained.
    """
    preset, *changes = method.split()
    values = {name: yaml.safe_load(value) for name, _, value in (change.partition("=") for change in changes)}
    settings = FinetuneParams.model_validate({"preset": preset, "seed": seed, **values})
    if settings.method == "none":
        raise ValueError("trains nothing; many_labels and few_labels do")
    return settings


def frozen(drawn: Draw) -> Outcome:
    """Fit the head of train_head's defaults on frozen features."""
    encoder = few_label_tasks.encoder(drawn.modality)
    start = time.process_time()
    head, _ = choosing.logistic_head(encoder.encode(drawn.inputs), np.array(drawn.labels)[drawn.y])
    seconds = time.process_time() - start
    return Outcome(head.probabilities(encoder.encode(drawn.test_inputs)).argmax(axis=1) == drawn.test_y, seconds)


def start(encoder: Encoder, drawn: Draw, settings: FinetuneParams) -> tuple[Classifier, loop.Task]:
    """Prepare the training of the stage finetune, from the head on frozen features."""
    classifier = Classifier(encoder, Single(tuple(drawn.labels)))
    X, names = classifier.encoder.encode(drawn.inputs), np.array(drawn.labels)[drawn.y]
    head, chosen = choosing.fit(X, names, TrainHeadParams())
    layer = head.layer()
    assert layer is not None
    classifier.start_from(*layer)
    explained = auto_values.explained(asdict(chosen), np.bincount(drawn.y))
    settings = auto_values.resolved(settings, classes=len(drawn.labels), modality=drawn.modality, explained=explained)
    classifier.adapt(settings)
    inputs, y = drawn.inputs, drawn.y
    if settings.label_names and drawn.modality == "text":
        inputs, y = rows.with_label_names(inputs, y, drawn.labels, combine="join")
    return classifier, loop.Task(inputs, y, settings, CPU, from_random=False, identity=f"{time.time_ns()}")


def finetuned(drawn: Draw, settings: FinetuneParams) -> Outcome:
    """Train as the stage finetune does."""
    encoder = few_label_tasks.encoder(drawn.modality)
    begin = time.process_time()
    classifier, task = start(encoder, drawn, settings)
    loop.train(classifier, task)
    seconds = time.process_time() - begin
    return Outcome(classifier.scores(drawn.test_inputs).argmax(axis=1) == drawn.test_y, seconds)


def setfit(drawn: Draw) -> Outcome:
    """Train by SetFit with its defaults."""
    from datasets import Dataset, disable_progress_bars
    from setfit import SetFitModel, Trainer, TrainingArguments

    disable_progress_bars()
    folder, _ = hub.resolve(MINILM, REVISION)
    model = SetFitModel.from_pretrained(str(folder), device="cpu", labels=list(drawn.labels))
    table = Dataset.from_dict({"text": drawn.inputs, "label": [drawn.labels[label] for label in drawn.y]})
    start = time.process_time()
    arguments = TrainingArguments(
        seed=drawn.seed, report_to="none", save_strategy="no", logging_strategy="no", show_progress_bar=False
    )
    Trainer(model=model, args=arguments, train_dataset=table).train()
    seconds = time.process_time() - start
    guess = model.predict(drawn.test_inputs, as_numpy=True)
    return Outcome(np.asarray(guess) == np.array(drawn.labels)[drawn.test_y], seconds)


def measure(chosen: list[Case], methods: list[str], draws: int, out: Path | None) -> pd.DataFrame:
    """Run the methods on all draws of the cases, and return a row a run: case, draw, method, accuracy, seconds, right.

    `out` keeps every run as soon as it ends; runs that it has already are not repeated.
    """
    runs = [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out and out.is_file() else []
    done = {(run["case"], run["draw"], run["method"]) for run in runs}
    for case in chosen:
        for seed in range(draws):
            drawn = few_label_tasks.draw(case, seed)
            for method in methods:
                if (case.name, seed, method) in done or (method == "setfit" and case.modality != "text"):
                    continue
                with contextlib.redirect_stdout(None):  # SetFit prints its metrics
                    right, seconds = run(method, drawn)
                entry = {"case": case.name, "draw": seed, "method": method, "accuracy": round(float(right.mean()), 4)}
                entry |= {"seconds": round(seconds, 1), "right": "".join(map(str, right.astype(int)))}
                runs.append(entry)
                print(f"{case.name} draw {seed} {method}: {entry['accuracy']:.4f}, {seconds:.1f} s", flush=True)
                if out:
                    with out.open("a", encoding="utf-8") as file:
                        file.write(f"{json.dumps(entry)}\n")
    names = {case.name for case in chosen}
    table = pd.DataFrame(runs)
    return table[table["case"].isin(names) & table["method"].isin(methods) & (table["draw"] < draws)]


def summary(runs: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Return a row a case and their mean: accuracies, the difference of the first two methods, and seconds."""
    table = runs.pivot_table(index="case", columns="method", values=["accuracy", "seconds"], sort=False)
    columns = {method: table["accuracy", method] for method in methods}
    if len(methods) > 1:
        columns["difference"] = columns[methods[0]] - columns[methods[1]]
        columns["error"] = pd.Series({name: error(runs[runs["case"] == name], *methods[:2]) for name in table.index})
    result = pd.DataFrame(columns | {f"{method} s": table["seconds", method] for method in methods})
    mean = result.mean()
    if "error" in result:
        mean["error"] = _spread(result["difference"]) if len(result) > 1 else result["error"].iloc[0]
    result.loc["mean"] = mean
    return result


def error(runs: pd.DataFrame, first: str, second: str) -> float:
    """Return the standard error of the mean difference of a case: of its draws, but at least that of its test rows."""
    right = runs.pivot(index="draw", columns="method", values="right").reindex(columns=[first, second]).dropna()
    if right.empty:
        return float("nan")
    pairs = [
        np.array(list(ours), dtype=int) - np.array(list(theirs), dtype=int)
        for ours, theirs in zip(right[first], right[second], strict=True)
    ]
    by_draws = _spread(pd.Series([pair.mean() for pair in pairs])) if len(pairs) > 1 else 0.0
    by_rows = np.sqrt(np.mean([pair.var() / len(pair) for pair in pairs]) / len(pairs))
    return float(max(by_draws, by_rows))


def differences(runs: pd.DataFrame, methods: list[str]) -> Iterator[str]:
    """Yield a line for every method but the first: the mean difference to it over all pairs, in points."""
    table = runs.pivot(index=["case", "draw"], columns="method", values="accuracy")
    for other in methods[1:]:
        pairs = (100 * (table[methods[0]] - table[other])).dropna()
        noise = f" ± {_spread(pairs):.1f}" if len(pairs) > 1 else ""
        yield f"{methods[0]} - {other}: {pairs.mean():+.1f}{noise} points over {counted(len(pairs), 'pair')}"


def draw_figure(runs: pd.DataFrame, path: Path) -> None:
    """Draw the accuracy of every method against its seconds, the means over all cases."""
    from matplotlib.figure import Figure

    means = runs.groupby(["method", "case"])[["seconds", "accuracy"]].mean().groupby("method").mean()
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(means["seconds"], means["accuracy"])
    for method, seconds, accuracy in means.itertuples():
        axes.annotate(method, (seconds, accuracy), xytext=(4, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="seconds of one core, without loading the model", ylabel="accuracy")
    axes.margins(0.2)  # room for names
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)  # the same bytes again


def _spread(values: pd.Series) -> float:
    return float(values.std() / np.sqrt(values.count()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", nargs="+", default=[""], metavar="CASE", help="beginnings of names of cases")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--rows", type=int, help="the most test rows of a case; all if it is left out")
    parser.add_argument("--cut", action="store_true", help="test on training rows that were not drawn")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON Lines file that keeps the runs")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="picture to draw, .svg or .png")
    arguments = parser.parse_args()
    for method in set(arguments.methods) - {"frozen", "setfit"}:
        try:
            recipe(method, seed=0)
        except ValueError as wrong:
            parser.error(f"{method}: {wrong}")
    chosen = list(
        few_label_tasks.cases(arguments.data, tuple(arguments.cases), test_rows=arguments.rows, cut=arguments.cut)
    )
    if not chosen:
        parser.error(f"no case begins with {' or '.join(arguments.cases)}")
    has_texts = any(case.modality == "text" for case in chosen)
    methods = [method for method in arguments.methods if method != "setfit" or has_texts]
    if not methods:
        parser.error("SetFit takes texts only")
    runs = measure(chosen, methods, arguments.draws, arguments.out)
    with pd.option_context("display.width", 200, "display.max_rows", None, "display.max_columns", None):
        print(summary(runs, methods).round(4))
    for line in differences(runs, methods):
        print(line)
    if arguments.figure:
        draw_figure(runs, arguments.figure)


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
