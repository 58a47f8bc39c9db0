import dataclasses
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

from stages.common.gate_params import GateMetric, GateName, GateParams
from stages.comparison import paired, predictions
from stages.comparison.predictions import Predictions
from stages.evaluation import prediction_columns
from stages.scores import metrics, multilabel, ordinal, regression
from stages.tasks.single import Single

LABELS = ("a", "b", "c")


def scored(truth: np.ndarray, P: np.ndarray, ids: list[str] | None = None) -> Predictions:
    names = np.array(LABELS, dtype=object)[truth]
    return Predictions("head", np.array(ids or [str(row) for row in range(len(truth))], dtype=object), names, LABELS, P)


def model(truth: np.ndarray, accuracy: float, generator: np.random.Generator) -> np.ndarray:
    """Probabilities of a model that is right on a share of the rows by chance."""
    right = generator.random(len(truth)) < accuracy
    guess = np.where(right, truth, (truth + generator.integers(1, 3, len(truth))) % 3)
    return 0.1 + 0.7 * np.eye(3)[guess]


@pytest.fixture
def truth() -> np.ndarray:
    return np.arange(300) % 3


def test_noise_alone_rarely_trips_it(truth: np.ndarray) -> None:
    """Zero tolerance, all metrics of the defaults, 200 pairs of equally good models."""
    failed = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        before, after = (scored(truth, model(truth, 0.8, generator)) for _ in range(2))
        failed += not paired.compare(before, after, GateParams(bootstrap=500)).passed
    assert failed <= 0.05 * 200


@pytest.mark.parametrize(("change", "verdict"), [(-0.15, "worse"), (0.15, "better")])
def test_a_difference_beyond_chance_is_a_verdict(truth: np.ndarray, change: float, verdict: str) -> None:
    generator = np.random.default_rng(0)
    before, after = (scored(truth, model(truth, 0.8 + delta, generator)) for delta in (0, change))
    comparison = paired.compare(before, after, GateParams())
    assert [difference.verdict for difference in comparison.differences] == [verdict] * 2
    assert comparison.passed == (verdict == "better") and comparison.common == 300
    (accuracy, _) = comparison.differences
    assert accuracy.before is not None and accuracy.after is not None and accuracy.interval is not None
    assert accuracy.interval[0] < accuracy.after - accuracy.before < accuracy.interval[1]


def test_tolerance_direction_and_floor(truth: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    good, bad = (scored(truth, model(truth, accuracy, generator)) for accuracy in (0.9, 0.7))

    def verdict(
        before: Predictions, after: Predictions, name: str = "accuracy", **settings: object
    ) -> tuple[str, bool]:
        metric = GateMetric(**settings)  # type: ignore[arg-type]
        comparison = paired.compare(before, after, GateParams(metrics={name: metric}))  # type: ignore[dict-item]
        return comparison.differences[0].verdict, comparison.passed

    assert verdict(good, bad) == ("worse", False)
    assert verdict(good, bad, tolerance=0.3) == ("same", True)
    assert verdict(good, bad, "log_loss") == ("worse", False)
    assert verdict(bad, good, "log_loss") == ("better", True)
    assert verdict(good, bad, "log_loss", tolerance=2.0) == ("same", True)
    assert verdict(bad, good, floor=0.95) == ("better", False), "better, but not enough"
    assert verdict(bad, good, floor=0.8) == ("better", True)
    assert verdict(bad, good, "log_loss", higher_is_better=False, floor=0.01) == ("better", False)


def test_rows_are_paired_by_id_and_counted(truth: np.ndarray) -> None:
    P = model(truth, 0.8, np.random.default_rng(0))
    before = scored(truth, P)
    ids = [str(row) for row in range(300)]
    order = np.random.default_rng(1).permutation(300)[:290]
    other = truth.copy()
    other[order[:4]] = (other[order[:4]] + 1) % 3
    ids_after = [ids[row] for row in order]
    ids_after[-3:] = ["new1", "new2", "new3"]
    after = scored(other[order], P[order], ids_after)
    comparison = paired.compare(before, after, GateParams())
    assert (comparison.common, comparison.new, comparison.lost, comparison.relabelled) == (283, 3, 13, 4)
    assert all(difference.before == difference.after for difference in comparison.differences)


def test_classes_in_another_order_are_the_same_classes(truth: np.ndarray) -> None:
    before = scored(truth, model(truth, 0.8, np.random.default_rng(0)))
    after = dataclasses.replace(before, labels=("c", "a", "b"), outputs=before.outputs[:, [2, 0, 1]])
    differences = paired.compare(before, after, GateParams()).differences
    assert [difference.verdict for difference in differences] == ["same", "same"]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(("a", "b", "c", "d"), "d is gone"), (("a", "b"), "c is new"), (("a", "b", "x", "y"), "c is new; x, y are gone")],
)
def test_other_classes_cannot_be_compared(truth: np.ndarray, labels: tuple[str, ...], reason: str) -> None:
    after = scored(truth, model(truth, 0.8, np.random.default_rng(0)))
    before = dataclasses.replace(after, labels=labels)
    comparison = paired.compare(before, after, GateParams())
    assert comparison.reason == f"the classes differ: {reason}" and comparison.passed
    assert {difference.verdict for difference in comparison.differences} == {"incomparable"}


def test_nothing_in_common_and_no_baseline_still_have_floors(truth: np.ndarray) -> None:
    after = scored(truth, model(truth, 0.5, np.random.default_rng(0)))
    before = dataclasses.replace(after, ids=np.array([f"x{row}" for row in range(300)], dtype=object))
    assert paired.compare(before, after, GateParams()).reason == "the two have no test row in common"
    settings = GateParams(metrics={"accuracy": GateMetric(floor=0.8)})
    for baseline in (before, None):
        comparison = paired.compare(baseline, after, settings)
        assert not comparison.passed and comparison.differences[0].under_floor and comparison.reason


def test_a_metric_that_is_not_defined_is_incomparable(truth: np.ndarray) -> None:
    both = scored(truth, model(truth, 0.8, np.random.default_rng(0)))
    comparison = paired.compare(both, both, GateParams(metrics={"roc_auc": GateMetric(), "accuracy": GateMetric()}))
    assert [difference.verdict for difference in comparison.differences] == ["incomparable", "same"], "three classes"
    assert comparison.passed and comparison.undefined == "roc_auc is not defined for the test rows"


def test_the_gate_takes_every_headline_metric(truth: np.ndarray) -> None:
    names = set(metrics.headline(np.arange(11), np.eye(11))) | set(metrics.headline(np.arange(2), np.eye(2)))
    Y = np.eye(2, dtype=bool)
    names |= {*multilabel.headline(Y, np.eye(2), Y), *ordinal.headline(np.arange(2), np.eye(2))}
    assert names | {*regression.headline(np.arange(3.0), np.arange(3.0))} == set(get_args(GateName))
    correlations = {name: GateMetric(floor=0.8) for name in ("matthews_correlation", "cohen_kappa")}
    before, after = (scored(truth, model(truth, accuracy, np.random.default_rng(0))) for accuracy in (0.9, 0.6))
    for difference in paired.compare(before, after, GateParams(metrics=correlations)).differences:
        assert difference.verdict == "worse" and difference.under_floor, difference.metric


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 2.0])
def test_metrics_of_what_is_no_probability_are_undefined(truth: np.ndarray, value: float) -> None:
    good = scored(truth, model(truth, 0.8, np.random.default_rng(0)))
    P = good.outputs.copy()
    P[7] = value
    bad = dataclasses.replace(good, outputs=P)
    settings = GateParams(metrics={"accuracy": GateMetric(), "log_loss": GateMetric()})
    for before in (good, None, dataclasses.replace(good, labels=("a", "b", "c", "d"))):
        comparison = paired.compare(before, bad, settings)
        assert [difference.verdict for difference in comparison.differences] == ["undefined"] * 2
        assert not comparison.passed
    comparison = paired.compare(bad, good, settings)
    assert comparison.undefined == "accuracy, log_loss are not defined for the test rows", "so they are not compared"


def test_a_metric_that_these_rows_do_not_have_never_passes_its_floor(truth: np.ndarray) -> None:
    after = scored(truth, model(truth, 0.8, np.random.default_rng(0)))
    other = dataclasses.replace(after, labels=("a", "b", "c", "d"))
    for floor in (0.1, None):
        settings = GateParams(metrics={"roc_auc": GateMetric(floor=floor), "accuracy": GateMetric(floor=0.1)})
        for before in (after, other, None):
            comparison = paired.compare(before, after, settings)
            assert comparison.undefined == "roc_auc is not defined for the test rows"
            assert not any(difference.under_floor for difference in comparison.differences)


def test_the_shipped_model_is_read() -> None:
    P = np.array([[0.9, 0.1, 0.0]])
    columns = {"id": ["1"], "label": ["a"], **prediction_columns.columns(P, Single(LABELS))}
    tables = {name: pa.table({"model": [name], **columns}) for name in ("head", "finetuned", "baseline")}
    assert predictions.read(pa.concat_tables([tables["head"], tables["baseline"]])).model == "head"
    comparison = predictions.read(pa.concat_tables([tables["head"], tables["finetuned"]]))
    assert comparison.model == "finetuned" and comparison.labels == LABELS and comparison.ids.tolist() == ["1"]
    np.testing.assert_allclose(comparison.outputs, P, atol=1e-6)
    with pytest.raises(ValueError, match="no rows of finetuned or head"):
        predictions.read(tables["baseline"])
    with pytest.raises(ValueError, match="there are no probabilities of label z"):
        predictions.read(tables["head"].set_column(2, "label", pa.array(["z"])))


def test_an_id_that_occurs_twice_is_refused() -> None:
    rows = {"id": ["1", "1"], "label": ["a", "b"], **prediction_columns.columns(np.full((2, 3), 1 / 3), Single(LABELS))}
    with pytest.raises(ValueError, match="an id occurs twice among the rows of head"):
        predictions.read(pa.table({"model": ["head", "head"], **rows}))


def test_cross_validated_rows_need_a_larger_difference(truth: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    before, after = (scored(truth, model(truth, accuracy, generator)) for accuracy in (0.8, 0.7))
    tested = paired.compare(before, after, GateParams())
    folds = paired.compare(before, dataclasses.replace(after, folds=5), GateParams())
    widths = [c.differences[0].interval[1] - c.differences[0].interval[0] for c in (tested, folds)]  # type: ignore[index]
    assert widths[1] / widths[0] == pytest.approx(1.8**0.5, abs=0.05)
    assert tested.noun == "test row" and folds.noun == "row", "of two kinds"
    before = dataclasses.replace(before, folds=5)
    assert paired.compare(before, dataclasses.replace(after, folds=5), GateParams()).noun == "cross-validated row"
    none = dataclasses.replace(after, folds=5, ids=np.array(["other"] * 300, dtype=object) + after.ids)
    assert paired.compare(before, none, GateParams()).reason == "the two have no cross-validated row in common"


def test_the_folds_are_read_from_the_predictions(truth: np.ndarray) -> None:
    P = np.full((4, 3), 1 / 3)
    columns = {
        "model": ["head"] * 4,
        "id": list("wxyz"),
        "label": ["a"] * 4,
        "fold": pa.array([1, 2, 3, 1], pa.int32()),
        **prediction_columns.columns(P, Single(LABELS)),
    }
    assert predictions.read(pa.table(columns)).folds == 3
    assert predictions.read(pa.table(columns).drop_columns("fold")).folds == 0
    with pytest.raises(ValueError, match="two folds at least"):
        predictions.read(pa.table(columns | {"fold": pa.array([1] * 4, pa.int32())}))
