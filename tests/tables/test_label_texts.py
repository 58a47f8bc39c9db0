"""The text of a label."""

from itertools import pairwise

import pytest

from stages.common.params import BudgetParams
from stages.tables import label_texts, prepared


def test_names_are_a_json_list_in_order_each_once() -> None:
    assert label_texts.from_names(["bug", "billing", "bug"]) == '["billing", "bug"]'
    assert label_texts.from_names([]) == "[]"
    assert label_texts.from_names(["ü", 'a "b"']) == '["a \\"b\\"", "ü"]'
    for names in ([], ["a, b"], ["ü", 'a "b"', "[]"]):
        assert label_texts.names(label_texts.from_names(names)) == tuple(sorted(names))
    for text in ("a", '"a"', "[1]", "{}", ""):
        with pytest.raises(ValueError):
            label_texts.names(text)


def test_classes_depend_on_the_task() -> None:
    assert label_texts.classes('["a", "b"]', "multilabel") == ("a", "b")
    assert label_texts.classes('["a", "b"]', "single") == ('["a", "b"]',)
    assert label_texts.classes("3", "ordinal") == ("3",)
    assert label_texts.classes("3.0", "regression") == ()


@pytest.mark.parametrize(("value", "text"), [(3, "3.0"), (0.1, "0.1"), (-0.0, "0.0"), (1e300, "1e+300")])
def test_numbers_come_back_as_they_went(value: float, text: str) -> None:
    assert label_texts.from_number(value) == text
    assert label_texts.number(text) == value


def test_the_task_is_written_only_where_it_is_not_single() -> None:
    info = prepared.TableInfo(input="text", modality="text", max_side=None)
    assert {*info.model_dump()} == {"input", "modality", "encoding", "sheet", "max_side", "max_pixels"}
    ordinal = prepared.TableInfo(input="text", modality="text", max_side=None, task="ordinal", order=("low", "high"))
    assert ordinal.model_dump()["task"] == "ordinal" and ordinal.model_dump()["order"] == ("low", "high")
    assert prepared.TableInfo.model_validate({**ordinal.model_dump(), "order": ["low", "high"]}) == ordinal


def test_a_budget_counts_the_rows_of_every_label() -> None:
    ids = [f"{n:032x}" for n in range(90)]
    labels = [label_texts.from_names(name for name, every in (("a", 2), ("b", 9)) if n % every == 0) for n in range(90)]
    masks = [prepared.within_budget(ids, labels, BudgetParams(per_class=n), "multilabel") for n in (1, 3, 5, 12)]
    for smaller, larger in pairwise(masks):
        assert (larger | ~smaller).all() and larger.sum() > smaller.sum()
    chosen = [label_texts.names(label) for label, is_in in zip(labels, masks[2], strict=True) if is_in]
    counts = [sum(name in names for names in chosen) for name in ("a", "b")] + [chosen.count(())]
    assert min(counts) == 5 and sum(masks[2]) <= 15


def test_a_budget_of_numbers_counts_all_rows_together() -> None:
    ids = [f"{n:032x}" for n in range(40)]
    labels = [label_texts.from_number(n / 7) for n in range(40)]
    assert prepared.within_budget(ids, labels, BudgetParams(per_class=10), "regression").sum() == 10
