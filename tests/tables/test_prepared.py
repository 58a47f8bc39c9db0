"""The budget of labels."""

import numpy as np

from stages.common.params import BudgetParams
from stages.tables import prepared


def test_the_budget_draws_per_class_and_grows_by_adding() -> None:
    ids = [f"{n:032x}" for n in range(100)]
    labels = ["a"] * 70 + ["b"] * 30
    small, large = (prepared.within_budget(ids, labels, BudgetParams(per_class=n)) for n in (5, 40))
    assert small[:70].sum() == small[70:].sum() == 5 and large.sum() == 70
    assert (large | ~small).all()
    assert prepared.within_budget(ids, labels, BudgetParams()).all()
    assert not np.array_equal(small, prepared.within_budget(ids, labels, BudgetParams(per_class=5, seed=1)))
