"""Tables that grow, and what extract computed of them."""

import csv
import re
from pathlib import Path

from tests.projects import MINILM, REVISION, Done, Verb, contents, set_params


def use_rows(project: Path, verb: Verb, rows: list[list[str]], backbone: str) -> None:
    """Prepare these rows of the demo data, for a backbone with this name."""
    with (project / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "category", "sentiment"], *rows])
    revision = REVISION if backbone == MINILM else None
    set_params(
        project,
        prepare__data="data/rows.csv",
        backbone__name=backbone,
        backbone__revision=revision,
        extract__max_length=64,
        runtime__device="cpu",
    )
    verb("prepare")


def table(project: Path) -> dict[str, bytes]:
    """The files of the feature table."""
    return contents(project / "data/features")


def from_cache(done: Done) -> tuple[int, int]:
    """Rows of the table, and those of them that were not computed."""
    line = re.search(r"extract: ([\d,]+) rows(?: \(([\d,]+) from the cache\))?", done.stdout)
    assert line, done.stdout
    total, cached = (int((number or "0").replace(",", "")) for number in line.groups())
    return total, cached
