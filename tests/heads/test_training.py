"""Heads as train_head ships them: fitted on the training rows, or on all labelled ones."""

import numpy as np
import pytest

from stages.common.params import TrainHeadParams
from stages.heads import choosing, training
from stages.scores import calibration
from tests.evaluation.feature_tables import table
from tests.heads.tables import data


def test_by_default_validation_rows_only_calibrate() -> None:
    X, labels = data(3)
    train, validation = table(X[:80], labels[:80].tolist()), table(X[80:], labels[80:].tolist())
    head, chosen, factor, _ = training.fit(train, validation, TrainHeadParams())
    wanted, same = choosing.fit(X[:80], labels[:80], TrainHeadParams())
    assert chosen == same and factor == head.temperature != 1
    np.testing.assert_array_equal(head.estimator.coef_, wanted.estimator.coef_)
    few, _, factor, _ = training.fit(
        train, validation.select(np.arange(calibration.MIN_CALIBRATION_ROWS - 1)), TrainHeadParams()
    )
    assert few.temperature == factor == 1


@pytest.mark.parametrize("kind", ["logistic", "knn", "linear_svm"])
def test_final_all_fits_on_all_rows_and_calibrates_on_those_of_other_folds(kind: str) -> None:
    X, labels = data(3)
    train, validation = table(X[:80], labels[:80].tolist()), table(X[80:], labels[80:].tolist())
    settings = TrainHeadParams(kind=kind, final="all", C=(0.001,), neighbors=(40,))  # type: ignore[arg-type]
    head, chosen, factor, trial = training.fit(train, validation, settings)
    assert trial is None
    whole, _ = choosing.fit(X, labels, settings)
    np.testing.assert_array_equal(head.scores(X), whole.scores(X))
    assert factor == 1 and chosen.folds == 5 and 0 < head.temperature != 1
    plain, _ = choosing.fit(X, labels, settings.model_copy(update={"final": "train"}))
    assert (plain.temperature == 1) == (kind != "linear_svm")
    truth = np.searchsorted(head.labels, labels.astype(str))
    unsure = calibration.log_loss(plain.scores(X), truth)
    assert calibration.log_loss(head.scores(X), truth) <= unsure + 1e-9, "such small coefficients are far too unsure"
