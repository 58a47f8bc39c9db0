"""Measure suggestions against a random choice where rows have several labels.

    python -m tests.benchmarks.suggest_labels [DRAWS] [CASES ...]

A draw holds 300 rows of data/reviews.csv back, with vectors by the packaged MiniLM, and labels 10 others at random.
Then a head is fitted as train_head does, at C = 10, and suggestions or chance name the next 20 rows, four times. Prints
macro F1 on the rows held back, means over draws, and the difference with its 95 % interval of paired draws.

Cases: `exclusive`, category and sentiment, of which every row has one each; `overlapping`, six of the categories and
positive, so that rows have none to two labels, and none of them excludes another for good.
"""

import csv
from collections.abc import Iterator

import numpy as np

from stages.common.params import TrainHeadParams
from stages.heads import one_vs_rest
from stages.scores import multilabel
from stages.suggestion import choosing
from stages.tasks import placed
from stages.tasks.multilabel import Multilabel
from tests.benchmarks import arguments
from tests.benchmarks.cross_validation import encoded
from tests.benchmarks.suggest import mean
from tests.projects import ROOT

SETTINGS = TrainHeadParams(C=(10,))
HELD_BACK, BEGINNING, BATCH, BATCHES = 300, 10, 20, 4  # rows, and how often a batch is chosen
CASES = ("exclusive", "overlapping")


def labels_of(reviews: list[dict[str, str]], case: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Name the labels of a case, and tell which rows have them: (rows, labels) bool."""
    categories, sentiments = (sorted({row[column] for row in reviews}) for column in ("category", "sentiment"))
    names = [*categories, *sentiments] if case == "exclusive" else [*categories[:6], "positive"]
    return tuple(names), np.array([[name in row.values() for name in names] for row in reviews])


def curve(X: np.ndarray, Y: np.ndarray, names: tuple[str, ...], seed: int, *, by_chance: bool) -> Iterator[float]:
    """Yield macro F1 on the rows held back before and after every batch."""
    rng = np.random.default_rng(seed)
    judged, pool = np.split(rng.permutation(len(Y)), [HELD_BACK])
    labelled, task = pool[:BEGINNING], Multilabel(names, (0.5,) * len(names))
    for batch in range(BATCHES + 1):
        known = np.flatnonzero(Y[labelled].any(axis=0))
        head, _ = one_vs_rest.fit(X[labelled], Y[labelled][:, known], [names[label] for label in known], SETTINGS)
        outputs = placed(task, head.outputs(X[judged]), head.labels)
        yield multilabel.headline(Y[judged], task.probabilities(outputs), task.decisions(outputs))["macro_f1"]
        if batch == BATCHES:
            return
        rest = np.setdiff1d(pool, labelled)
        if by_chance:
            chosen = rng.choice(len(rest), BATCH, replace=False)
        else:
            margins = head.task.margins(head.outputs(X[rest]))
            chosen = choosing.choose(X[rest], X[labelled], margins, BATCH).rows
        labelled = np.append(labelled, rest[chosen])


def main() -> None:
    args = arguments.parse(__doc__, draws=10, cases=[*CASES])
    with (ROOT / "data/reviews.csv").open(newline="", encoding="utf-8") as file:
        reviews = list(csv.DictReader(file))
    X = encoded([row["text"] for row in reviews])
    for case in args.cases:
        names, Y = labels_of(reviews, case)
        chance, suggested = (
            np.array([[*curve(X, Y, names, seed, by_chance=by_chance)] for seed in range(args.draws)])
            for by_chance in (True, False)
        )
        for batch in range(BATCHES + 1):
            difference = mean(suggested[:, batch] - chance[:, batch])
            print(
                f"{case}, {BEGINNING + batch * BATCH} labels: chance {chance[:, batch].mean():.3f},"
                f" suggested {difference}"
            )


if __name__ == "__main__":
    main()
