"""The grammar of labels: whatever the task, a row's label is one text in every table.

single, ordinal: the class. multilabel: a JSON list of the names in order, each once; `[]` for a row to which none
applies. regression: a number as Python writes it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from stages.common.setting_types import TaskName


def from_names(names: Iterable[str]) -> str:
    """Return the text of a row with these labels."""
    return json.dumps(sorted(set(names)), ensure_ascii=False)


def names(text: str) -> tuple[str, ...]:
    """Return the labels of a row by their text.

    Raises:
        ValueError: the text is no JSON list of strings.
    """
    content = json.loads(text)
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"{text!r} is no list of labels")
    return tuple(content)


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """Return all labels that rows have, in order; `texts`: of rows with several labels."""
    return tuple(sorted({name for text in set(texts) for name in names(text)}))


def indicators(texts: Sequence[str] | np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Tell which of the `labels` rows have, by the texts of rows with several: (rows, labels) bool."""
    index = {label: number for number, label in enumerate(labels)}
    Y = np.zeros((len(texts), len(labels)), dtype=bool)
    for row, text in enumerate(texts):
        Y[row, [index[name] for name in names(text) if name in index]] = True
    return Y


def counts(texts: Iterable[str], task: TaskName) -> Counter[str]:
    """Count the rows of every class, in the order of their names."""
    numbers = Counter(name for text, rows in Counter(texts).items() for name in classes(text, task) * rows)
    return Counter({name: numbers[name] for name in sorted(numbers)})


def classes(text: str, task: TaskName) -> tuple[str, ...]:
    """Return the classes that a label names: one, of several labels any number of them, and none of a number."""
    match task:
        case "multilabel":
            return names(text)
        case "regression":
            return ()
        case _:
            return (text,)


def from_number(value: float) -> str:
    """Return the text of a number."""
    return repr(float(value) + 0.0)  # -0.0 is 0.0


def number(text: str) -> float:
    """Return the number that a text stands for.

    Raises:
        ValueError: it stands for none.
    """
    return float(text)
