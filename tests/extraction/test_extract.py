"""Extraction with the row cache: only what is new is computed."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from stages.tables import features
from stages.tables.prepared import SPLITS
from tests.extraction.grown_tables import from_cache, table, use_rows
from tests.projects import MINILM, RANDOM_SQUEEZENET, Verb, run, set_params


@pytest.mark.parametrize("backbone", [MINILM, "tiny"])
def test_a_grown_table_equals_a_fresh_one_bit_for_bit(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path, backbone: str
) -> None:
    name = backbone if backbone == MINILM else str(tiny_encoder)
    use_rows(project, verb, reviews[:250], name)
    assert from_cache(verb("extract")) == (250, 0)
    for rows in (251, 270, 300):  # one row alone, a few, and more
        use_rows(project, verb, reviews[:rows], name)
        total, cached = from_cache(verb("extract"))
        assert total == rows and cached == {251: 250, 270: 251, 300: 270}[rows]
    grown = table(project)
    set_params(project, runtime__row_cache=False)
    assert from_cache(verb("extract")) == (300, 0)
    assert table(project) == grown


def test_going_back_to_an_earlier_backbone_computes_nothing(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, reviews[:60], str(tiny_encoder))
    verb("extract")
    first = table(project)
    set_params(project, extract__pooling="cls")
    assert from_cache(verb("extract")) == (60, 0)
    assert table(project) != first
    set_params(project, extract__pooling="mean")
    assert from_cache(verb("extract")) == (60, 60)
    assert table(project) == first


def test_labels_and_splits_are_not_cached(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, reviews[:60], str(tiny_encoder))
    verb("extract")
    set_params(project, prepare__label="sentiment", prepare__seed=3)
    verb("prepare")
    assert from_cache(verb("extract")) == (60, 60)
    labels = {label for split in SPLITS for label in features.read(project / "data/features", split).labels}
    assert labels == {row[2] for row in reviews[:60]}


def test_a_table_from_the_cache_needs_no_network(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path
) -> None:
    use_rows(project, verb, reviews[:60], str(tiny_encoder))
    verb("extract")
    first = table(project)
    code = "import sys; sys.argv[1:] = ['data/prepared', 'data/features']; from stages import extract; extract.main()"
    heavy = "torch", "transformers", "torchvision", "timm", "pandas", "sklearn", "scipy.sparse", "scipy.special"
    code += f"; print([name for name in {heavy} if name in sys.modules])"
    done = run(project, sys.executable, "-c", code)
    assert from_cache(done) == (60, 60) and done.stdout.endswith("[]\n"), done.stdout
    assert table(project) == first


def test_images_are_kept_by_what_prepare_packed(project: Path, verb: Verb) -> None:
    for row in range(40):
        path = project / f"data/pictures/{row % 2}/{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((16, 16), 20 + row).save(path)
    set_params(
        project,
        prepare__data="data/pictures",
        prepare__max_side=None,
        runtime__device="cpu",
        **RANDOM_SQUEEZENET,
    )
    verb("prepare")
    total, cached = from_cache(verb("extract"))
    assert cached == 0
    assert from_cache(verb("extract")) == (total, total)
    set_params(project, prepare__max_side=8)  # shrunk, the same picture is another input
    verb("prepare")
    assert from_cache(verb("extract"))[1] == 0


def test_the_cache_can_be_switched_off(
    project: Path, verb: Verb, reviews: list[list[str]], tiny_encoder: Path, store: Path
) -> None:
    use_rows(project, verb, reviews[:60], str(tiny_encoder))
    set_params(project, runtime__row_cache=False)
    verb("extract")
    assert not store.exists()
    set_params(project, runtime__row_cache=True)
    verb("extract")
    assert from_cache(verb("extract")) == (60, 60)
