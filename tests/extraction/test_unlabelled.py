"""Vectors of rows without a label: beside those of the splits, which they do not change."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from stages.common.params import ExtractParams
from stages.extraction import ray_batches
from stages.tables import features, labels_file, prepared
from tests.extraction.grown_tables import from_cache, use_rows
from tests.projects import ROOT, TFIDF, Verb, contents, set_params


@pytest.fixture
def rows(reviews: list[list[str]]) -> list[list[str]]:
    """40 labelled rows, and 30 without a category."""
    return [*reviews[:40], *([text, "", sentiment] for text, _, sentiment in reviews[40:70])]


def ids(project: Path) -> list[str]:
    names, labels = features.identities(project / "data/features", "unlabelled")
    assert all(label is None for label in labels)
    return list(names)


def test_they_get_vectors_unless_the_setting_says_otherwise(
    project: Path, verb: Verb, rows: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, rows, str(tiny_encoder))
    assert from_cache(verb("extract")) == (70, 0)
    wanted = prepared.read(project / "data/prepared", "unlabelled")["id"].to_pylist()
    assert ids(project) == wanted and len(wanted) == 30
    everything = contents(project / "data/features")
    read = features.read(project / "data/features", "unlabelled")
    assert read.X.shape == (30, features.read(project / "data/features", "train").X.shape[1])
    chosen: dict[int, list[str]] = {}
    for limit in (10, 20):
        set_params(project, extract__unlabelled=limit)
        done = verb("extract")
        assert from_cache(done) == (40 + limit, 40 + limit)
        assert f"{limit} of 30 unlabelled rows have vectors, as extract.unlabelled says" in done.stdout
        chosen[limit] = ids(project)
        assert len(chosen[limit]) == limit and chosen[limit] == [row for row in wanted if row in set(chosen[limit])]
    assert set(chosen[10]) < set(chosen[20]), "a larger number keeps the rows of a smaller one"
    set_params(project, extract__unlabelled=False)
    assert from_cache(verb("extract"))[0] == 40
    assert ids(project) == []
    without = contents(project / "data/features")
    assert {name for name in everything if everything[name] != without[name]} == {"unlabelled/part-00000.parquet"}


def test_more_of_them_change_no_other_table(
    project: Path, verb: Verb, rows: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, rows[:41], str(tiny_encoder))
    verb("extract")
    before = contents(project / "data/features")
    use_rows(project, verb, rows, str(tiny_encoder))
    assert from_cache(verb("extract")) == (70, 41)
    after = contents(project / "data/features")
    assert {name for name in after if after[name] != before[name]} == {"unlabelled/part-00000.parquet"}


def test_a_label_of_one_of_them_needs_no_vector(
    project: Path, verb: Verb, rows: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, rows, str(tiny_encoder))
    verb("extract")
    row_id = ids(project)[3]
    labels_file.append(project / "data/labels.csv", [labels_file.NewLabel(row_id, "", rows[0][1], "train")])
    verb("prepare")
    assert from_cache(verb("extract")) == (70, 70)
    assert row_id not in ids(project) and row_id in features.identities(project / "data/features", "train")[0]


def test_only_extract_depends_on_them() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    for name, stage in stages.items():
        paths = [dep for dep in stage["deps"] if dep.startswith("data/")]
        assert "data/features" not in paths and ("data/prepared" in paths) is False
        assert ("data/prepared/unlabelled" in paths) == (name == "extract")
        assert "data/features/unlabelled" not in paths


@pytest.mark.parametrize("labels", [0, 1])
def test_without_labels_extract_works_and_train_head_says_what_to_do(
    project: Path, verb: Verb, reviews: list[list[str]], labels: int
) -> None:
    rows = [[text, category if n < labels else "", ""] for n, (text, category, _) in enumerate(reviews[:30])]
    use_rows(project, verb, rows, "word")
    set_params(project, **TFIDF, extract__max_length="auto")
    verb("extract")
    assert len(ids(project)) == 30 - labels
    done = verb("train_head", check=False)
    expected = "no labelled rows" if not labels else f"only rows of class {reviews[0][1]}"
    assert done.returncode == 1
    assert done.stderr == (
        f"error: data/features/train has {expected}, but a head needs two classes; label more rows:"
        " `python -m stages.label` asks you for them; then run `dvc repro`\n"
    )


@pytest.mark.parametrize("value", [0, -1, "all", 1.5, None, [3]])
def test_other_values_are_refused(project: Path, verb: Verb, value: Any) -> None:
    set_params(project, extract__unlabelled=value)
    done = verb("extract", check=False)
    assert done.returncode == 1
    assert re.search(r"extract\.unlabelled: it is .*, but must be true, false or a whole number of rows", done.stderr)


def test_ray_computes_those_that_are_chosen(project: Path, verb: Verb, rows: list[list[str]]) -> None:
    use_rows(project, verb, rows, "any")
    folder = project / "data/prepared"
    empty: Any = SimpleNamespace(get=lambda keys: (np.zeros(len(keys), bool), None))
    wanted = set(prepared.read(folder, "unlabelled")["id"].to_pylist()[3:7])
    batches = ray_batches.missing(folder, empty, "text", ExtractParams(), unlabelled=wanted, advance=lambda _: None)
    found = [row_id for batch in batches for row_id in batch.ids]
    labelled = {row_id for split in prepared.SPLITS for row_id in prepared.read(folder, split)["id"].to_pylist()}
    assert len(found) == len(set(found)) == 44 and set(found) == labelled | wanted
