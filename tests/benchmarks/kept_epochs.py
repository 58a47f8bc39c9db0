"""Compare ways to choose the epoch of fine-tuning that is kept, by validation rows of several numbers.

    python -m tests.benchmarks.kept_epochs DATA [--cases CASE …] [--draws N] [--methods METHOD …] [--out FOLDER]

tests/benchmarks/setfit.py explains cases and methods. Every draw of a case is trained once, and scores are kept before
the first epoch and after each, of up to 150 rows to validate on and 500 to test on: training rows that were not drawn.
Then so many of the first are drawn 40 times as validation rows, and every way chooses by them:

- accuracy: the most often right, of equal ones the lowest log loss
- loss: the lowest calibrated log loss
- last: the last epoch
- kept: what finetune keeps for texts, see `progress.no_worse`
- head: no fine-tuning

Prints the mean accuracy on the test rows by `accuracy`, and how far the others are above it, in points, with standard
errors over runs. `--out` keeps scores in a folder, and takes those that it has.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from stages.finetuning import loop
from stages.finetuning.progress import TOLERANCE, Validation, no_worse
from stages.scores import metrics
from stages.tasks.single import Single
from tests.benchmarks import few_label_tasks, setfit
from tests.benchmarks.few_label_tasks import Draw

VALIDATION, TEST, DRAWS = 150, 500, 40
NUMBERS = (6, 12, 20, 50, 100)  # of validation rows
Scores = dict[str, np.ndarray]


def train(drawn: Draw, method: str) -> Scores:
    """Train, and return the scores before and after every epoch, (epochs + 1, rows, classes), and the labels."""
    order = np.random.default_rng(drawn.seed).permutation(len(drawn.test_y))
    cut = min(VALIDATION, len(order) // 3)
    rows = {"validation": order[:cut], "test": order[cut : cut + TEST]}
    classifier, task = setfit.start(
        few_label_tasks.encoder(drawn.modality), drawn, setfit.recipe(method, seed=drawn.seed)
    )
    kept: dict[str, list[np.ndarray]] = {name: [] for name in rows}

    def note() -> Validation:
        for name, indices in rows.items():
            kept[name].append(classifier.scores([drawn.test_inputs[index] for index in indices]))
        return Validation({"accuracy": 0.0, "log_loss": 0.0}, np.zeros(1))

    loop.train(classifier, task, note)
    labels = {f"{name}_y": drawn.test_y[indices] for name, indices in rows.items()}
    return {name: np.array(scores) for name, scores in kept.items()} | labels


def choices(S: np.ndarray, y: np.ndarray) -> dict[str, int]:
    """Return the epoch that every way chooses; `S`: (epochs + 1, rows, classes) scores of validation rows."""
    task, last = Single(tuple(map(str, range(S.shape[2])))), len(S) - 1
    accuracy = (S.argmax(axis=2) == y).mean(axis=1)
    raw = np.array([metrics.losses(y, task.outputs(scores)).mean() for scores in S])
    losses = [metrics.losses(y, task.outputs(scores / task.calibration(scores, y, "own")[0])) for scores in S]
    best = kept = 0
    for epoch in range(1, len(S)):
        if no_worse(losses[epoch], losses[best], TOLERANCE["text"]):
            kept = epoch
        if losses[epoch].mean() < losses[best].mean():
            best = epoch
    most_right = int(np.lexsort([raw, -accuracy])[0])
    return {"accuracy": most_right, "loss": best, "last": last, "kept": kept, "head": 0}


def simulate(scores: Scores, number: int) -> dict[str, float]:
    """Return the mean accuracy on the test rows by every way, over draws of so many validation rows."""
    test = (scores["test"].argmax(axis=2) == scores["test_y"]).mean(axis=1)
    generator = np.random.default_rng(0)
    draws = [generator.choice(len(scores["validation_y"]), number, replace=False) for _ in range(DRAWS)]
    chosen = [choices(scores["validation"][:, rows], scores["validation_y"][rows]) for rows in draws]
    return pd.DataFrame(chosen).map(lambda epoch: test[epoch]).mean().to_dict()


def runs(arguments: argparse.Namespace) -> Iterator[tuple[str, Scores]]:
    """Yield the modality and the scores of every run; those that `--out` has are not trained again."""
    cases = few_label_tasks.cases(arguments.data, tuple(arguments.cases), test_rows=None, cut=True)
    for case in cases:
        for seed in range(arguments.draws):
            for method in arguments.methods:
                path = arguments.out / f"{case.name}_{seed}_{method}.npz" if arguments.out else None
                if path and path.is_file():
                    with np.load(path) as file:
                        yield case.modality, dict(file)
                    continue
                scores = train(few_label_tasks.draw(case, seed), method)
                if path:
                    np.savez(path, **scores)
                print(f"{case.name} draw {seed} {method}", flush=True)
                yield case.modality, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", nargs="+", default=[""])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["few_labels"])
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keeps scores")
    entries = []
    for modality, scores in runs(parser.parse_args()):
        numbers = [number for number in NUMBERS if number <= len(scores["validation_y"])]
        entries += [{"rows of": modality, "validation": number, **simulate(scores, number)} for number in numbers]
    print("| rows of | validation | runs | accuracy | loss | last | kept | head |\n|---|---|---|---|---|---|---|---|")
    for (modality, number), group in pd.DataFrame(entries).groupby(["rows of", "validation"]):
        gains = 100 * (group[["loss", "last", "kept", "head"]].sub(group["accuracy"], axis=0))
        cells = [f"{mean:+.1f} ± {error:.1f}" for mean, error in zip(gains.mean(), gains.sem(), strict=True)]
        print(f"| {modality} | {number} | {len(group)} | {group['accuracy'].mean():.3f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
