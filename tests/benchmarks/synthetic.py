"""Make up tables of texts of any size, and an encoder with their vocabulary."""

import csv
import random
from pathlib import Path

from tests.projects import make_project, make_tiny_encoder, set_params

WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("a", "e", "i", "o", "u", "an", "en", "in", "on")]


def write_texts(path: Path, count: int, *, classes: int = 5, least: int = 3, most: int = 40) -> None:
    """Write a table of `count` texts of `least` to `most` words and two words that are typical of their class."""
    random_ = random.Random(0)
    typical = [random_.sample(WORDS, 12) for _ in range(classes)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "category", "sentiment"])
        for row in range(count):
            label = row % classes
            words = random_.choices(WORDS, k=random_.randint(least, most)) + random_.choices(typical[label], k=2)
            writer.writerow([f"{' '.join(words)} {row}", f"class {label}", 0])


# One layer with vectors as wide as MiniLM's.
WIDE = {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 12, "intermediate_size": 384}


def write_encoder(folder: Path, **config: int) -> None:
    """Write a tiny BERT with random weights and that vocabulary; `config`: settings of BertConfig."""
    make_tiny_encoder(folder, words=[*WORDS, *map(str, range(10)), *(f"##{digit}" for digit in range(10))], **config)


def make_tiny_project(folder: Path, **config: int) -> Path:
    """Make a project in `folder` that encodes data/rows.csv by such an encoder."""
    write_encoder(folder / "tiny", **config)
    project = make_project(folder / "project")
    set_params(
        project,
        prepare__data="data/rows.csv",
        backbone__name=str(folder / "tiny"),
        backbone__revision=None,
        extract__max_length=64,
    )
    return project
