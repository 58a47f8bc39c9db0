"""The split is a hash of the row, and every class has training and test rows where it can."""

import random
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import pytest

from stages.tables.prepared import SPLITS
from stages.tables.splitting import Shares, exceptions

Units = Mapping[str, tuple[str, ...]]  # classes of ids or groups


def shares(seed: int = 0, validation: float = 0.15, test: float = 0.2) -> Shares:
    return Shares(validation=validation, test=test, seed=seed)


def split(units: Units, by: Shares) -> dict[str, str]:
    moved = exceptions(units.items, by)
    assert all(by.natural(key) != split for key, split in moved.items())
    return {key: moved.get(key) or by.natural(key) for key in units}


def rows(classes: int, count: int) -> dict[str, tuple[str, ...]]:
    return {f"row {number} of {label}": (f"class {label}",) for label in range(classes) for number in range(count)}


def classes_in(units: Units, splits: Mapping[str, str]) -> dict[str, Counter[str]]:
    """The units of every class by split."""
    counts = {name: Counter[str]() for name in SPLITS}
    for key, labels in units.items():
        counts[splits[key]].update(labels)
    return counts


@pytest.mark.parametrize(("classes", "count"), [(8, 3), (77, 5), (150, 5), (26, 2)])
def test_every_class_trains_and_tests_with_every_seed(classes: int, count: int) -> None:
    units = rows(classes, count)
    natural = 0
    for seed in range(200):
        counts = classes_in(units, split(units, shares(seed)))
        assert len(counts["train"]) == len(counts["test"]) == classes
        natural += len(classes_in(units, {key: shares(seed).natural(key) for key in units})["train"]) < classes
    assert natural > 30, "a hash alone leaves classes without a training row"


def test_a_class_of_one_row_trains() -> None:
    for seed in range(50):
        assert set(split(rows(5, 1), shares(seed)).values()) == {"train"}


def test_large_classes_are_split_by_the_hash_alone() -> None:
    assert exceptions(rows(8, 100).items, shares()) == {}


def test_without_a_test_share_no_row_tests() -> None:
    for seed in range(20):
        splits = split(rows(9, 3), shares(seed, test=0))
        counts = classes_in(rows(9, 3), splits)
        assert not counts["test"] and len(counts["train"]) == 9


def test_the_rows_of_highest_and_lowest_hash_leave_their_natural_split() -> None:
    for seed in range(100):
        by, units = shares(seed), rows(1, 4)
        order = sorted(units, key=by.position)
        expected = {key: by.natural(key) for key in units}
        if "train" not in expected.values():
            expected[order[-1]] = "train"
        if "test" not in expected.values():
            expected[order[0]] = "test"
        assert split(units, by) == expected


def test_a_row_moves_when_data_grows_only_to_its_natural_split_or_as_the_first_of_its_class() -> None:
    moves = Counter[str]()
    for seed in range(300):
        by, units = shares(seed), rows(2, 12)
        order = random.Random(seed).sample(list(units), len(units))
        sizes = range(1, len(order) + 1)
        for small, large in pairwise({key: units[key] for key in order[:size]} for size in sizes):
            before, after = split(small, by), split(large, by)
            for key in small:
                if before[key] == after[key]:
                    continue
                if after[key] == by.natural(key):
                    moves["to the natural split"] += 1
                else:
                    assert sum(units[key] == other for other in small.values()) == 1 and after[key] == "test"
                    moves["as the first of its class"] += 1
    assert len(moves) == 2, "both happen, and nothing else"


def test_groups_move_whole_and_leave_every_class_a_training_group() -> None:
    for seed in range(200):
        generator = random.Random(seed)
        units = {f"group {n}": tuple(generator.sample("abcdef", generator.randint(1, 3))) for n in range(9)}
        splits = split(units, shares(seed))
        counts = classes_in(units, splits)
        assert set(counts["train"]) == {label for labels in units.values() for label in labels}
        for label in set(counts["train"]) - set(counts["test"]):
            groups = [key for key, labels in units.items() if label in labels and splits[key] == "train"]
            assert all(any(counts["train"][other] == 1 for other in units[key]) for key in groups), "none could go"


def test_many_natural_splits_are_those_of_one_by_one() -> None:
    by, keys = shares(), [f"key {number}" for number in range(500)]
    assert [SPLITS[place] for place in by.naturals(keys)] == [*map(by.natural, keys)]
