"""The losses of rows with several labels, of ordered classes, and of numbers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from stages.finetuning.loss import Loss, as_tensor, decision_weights
from stages.tasks.multilabel import Multilabel
from stages.tasks.ordinal import Ordinal
from stages.tasks.regression import Regression
from tests.finetuning.recipes import settings

TASK = Multilabel(("a", "b", "c"), (0.5, 0.5, 0.5))
GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(8, 3))
Y = np.array([[1, 0, 1]] * 2 + [[0, 0, 1]] * 4 + [[0, 1, 1], [1, 0, 1]], dtype=bool)  # the last label is everywhere


def loss(**changes: float | str) -> float:
    made = Loss(torch.from_numpy(Y), TASK, settings(**changes), None)
    logits = torch.from_numpy(LOGITS)
    parts = [made(logits[rows], logits[rows], rows) * len(rows) for rows in torch.arange(8).split(3)]
    return float(sum(parts)) / 8


def test_it_is_the_log_loss_of_all_decisions() -> None:
    P = 1 / (1 + np.exp(-LOGITS))
    assert loss() == pytest.approx(np.mean([log_loss(Y[:, k], P[:, k], labels=[0, 1]) for k in range(3)]), rel=1e-5)


def test_smoothing_spreads_a_part_over_both_decisions() -> None:
    P, shares = 1 / (1 + np.exp(-LOGITS)), Y * 0.8 + 0.1
    wanted = -(shares * np.log(P) + (1 - shares) * np.log(1 - P)).mean()
    assert loss(label_smoothing=0.2) == pytest.approx(wanted, rel=1e-5)


def test_balanced_weights_are_those_of_scikit_learn_for_every_label() -> None:
    P, wanted = 1 / (1 + np.exp(-LOGITS)), []
    for k in range(3):
        weights = compute_sample_weight("balanced", Y[:, k])
        wanted.append(log_loss(Y[:, k], P[:, k], labels=[0, 1], sample_weight=weights))
    assert loss(class_weight="balanced") == pytest.approx(np.mean(wanted), rel=1e-5)


def test_a_label_of_all_rows_or_none_is_not_weighted() -> None:
    constant = torch.tensor([[True, False]] * 5)
    for weights in decision_weights(constant, settings(class_weight="balanced")):
        assert weights.tolist() == [1, 1]


def test_labels_that_exclude_each_other_have_one_loss_and_rows_with_none_of_them_have_none() -> None:
    one_of_two = Y.copy()
    one_of_two[:, 1] = ~one_of_two[:, 0]
    one_of_two[3] = False  # as the name of the last label
    task = Multilabel(TASK.labels, TASK.thresholds, (("a", "b"),))
    made = Loss(torch.from_numpy(one_of_two), task, settings(), None)
    logits = torch.from_numpy(LOGITS)
    known = np.arange(8) != 3
    P = np.exp(LOGITS[:, :2]) / np.exp(LOGITS[:, :2]).sum(axis=1, keepdims=True)
    of_set = log_loss(one_of_two[known, 1], P[known], labels=[0, 1]) * 7 / 8
    of_label = log_loss(one_of_two[:, 2], 1 / (1 + np.exp(-LOGITS[:, 2])), labels=[0, 1])
    assert float(made(logits, logits, torch.arange(8))) == pytest.approx((of_set + of_label) / 2, rel=1e-5)


ORDINAL = Ordinal(("low", "middle", "high"))
T = np.array([0, 0, 1, 1, 1, 2, 2, 0])


def ordinal_loss(scores: np.ndarray, **changes: float | str) -> float:
    made = Loss(torch.from_numpy(T), ORDINAL, settings(**changes), None)
    return float(made(torch.from_numpy(scores), torch.empty(8, 0), torch.arange(8)))


def test_ordered_classes_have_the_log_loss_of_being_above_each() -> None:
    above = 1 / (1 + np.exp(-LOGITS[:, :2]))
    wanted = np.mean([log_loss(cut < T, above[:, cut]) for cut in (0, 1)])
    assert ordinal_loss(LOGITS[:, :2]) == pytest.approx(wanted, rel=1e-5)


def test_smoothing_spreads_a_part_over_all_ordered_classes() -> None:
    above, shares = 1 / (1 + np.exp(-LOGITS[:, :2])), (T[:, None] > [0, 1]) * 0.7 + 0.3 * np.array([2, 1]) / 3
    wanted = -(shares * np.log(above) + (1 - shares) * np.log(1 - above)).mean()
    assert ordinal_loss(LOGITS[:, :2], label_smoothing=0.3) == pytest.approx(wanted, rel=1e-5)


def test_balanced_ordered_classes_weigh_the_same() -> None:
    above, weights = 1 / (1 + np.exp(-LOGITS[:, :2])), compute_sample_weight("balanced", T)
    wanted = np.mean([log_loss(cut < T, above[:, cut], sample_weight=weights) for cut in (0, 1)])
    assert ordinal_loss(LOGITS[:, :2], class_weight="balanced") == pytest.approx(wanted, rel=1e-5)


def test_numbers_have_the_squared_error_in_units_of_their_deviation() -> None:
    task, numbers = Regression(mean=1e9, scale=4.0), 1e9 + np.arange(8.0)
    y = as_tensor(numbers, task, torch.device("cpu"))
    made = Loss(y, task, settings(class_weight="balanced", label_smoothing=0.5), None)
    loss = made(torch.zeros(8, 1), torch.empty(8, 0), torch.arange(8))
    assert float(loss) == pytest.approx(np.mean((np.arange(8) / 4) ** 2))
