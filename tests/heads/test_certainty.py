"""What a model's folder keeps to tell how sure a prediction is."""

import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from scipy import sparse

from stages.common.errors import HeadstartError
from stages.common.params import TrainHeadParams
from stages.common.predict_params import PredictParams
from stages.heads import certainty, certainty_file, choosing, held_out
from stages.heads.certainty import Certainty, HeldOut
from stages.heads.head import Head
from stages.tables.features import Features
from stages.tasks.single import Single

TWO, THREE = Single(("a", "b")), Single(("a", "b", "c"))


def features(rows: int, seed: int, *, classes: int = 3, groups: bool = False) -> Features:
    """Rows of classes that overlap, in 6 dimensions."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, rows)
    X = (1.5 * np.eye(6)[y] + generator.normal(size=(rows, 6))).astype(np.float32)
    ids = np.array([f"{n}" for n in range(rows)], dtype=object)
    names = np.array([*"abcdef"], dtype=object)[y]
    return Features(ids, names, X, None, groups=ids.copy() if groups else None)  # type: ignore[arg-type]


def fitted(rows: Features, settings: TrainHeadParams) -> tuple[Head, float]:
    head, chosen = choosing.fit(rows.X, rows.labels, settings, rows.groups)
    return head, chosen.value


@pytest.mark.parametrize("kind", ["logistic", "ridge", "knn"])
def test_few_validation_rows_give_way_to_training_rows_out_of_fold(kind: str) -> None:
    settings = TrainHeadParams(kind=kind)
    train = features(300, 0)
    head, value = fitted(train, settings)
    few, many = held_out.best(head, value, train, features(40, 1), settings), features(800, 2)
    assert few is not None
    assert (few.source, len(few.confidence)) == ("out-of-fold", 300)
    enough = held_out.best(head, value, train, many, settings)
    assert enough is not None
    assert (enough.source, len(enough.confidence)) == ("validation", 800)
    seen = float((head.probabilities(train.X).argmax(axis=1) == np.searchsorted(head.labels, train.labels)).mean())
    assert few.is_right.mean() == pytest.approx(enough.is_right.mean(), abs=0.08)
    assert few.is_right.mean() < seen + 0.01, "rows do not judge themselves"


def test_a_head_that_saw_the_validation_rows_is_not_judged_by_them() -> None:
    settings = TrainHeadParams(final="all")
    train = features(300, 0)
    head, value = fitted(train, settings)
    rows = held_out.best(head, value, train, features(800, 1), settings)
    assert rows is not None
    assert rows.source == "out-of-fold"


def test_rows_of_one_class_or_group_alone_judge_nothing() -> None:
    train = features(30, 0, classes=2)
    train.labels[:] = "a"
    train.labels[0] = "b"
    settings = TrainHeadParams(C=(1.0,))
    head = choosing.fit(train.X, train.labels, settings)[0]
    only = held_out.out_of_fold(head, 1.0, train.select(np.arange(2)), settings)
    assert only is None
    rows = held_out.out_of_fold(head, 1.0, train, settings)
    assert rows is None or len(rows.confidence) < 30


def test_limits_follow_from_held_out_rows_and_settings() -> None:
    P = np.tile([0.9, 0.1], (400, 1))
    y = (np.arange(400) >= 392).astype(int)  # 98 % are right
    rows = HeldOut.from_outputs(TWO, y, P, "validation")
    limits = rows.limits(PredictParams())
    assert limits.verdicts(TWO, np.array([[0.9, 0.1], [0.11, 0.89]])).accepted.tolist() == [True, False]
    assert limits.verdicts(TWO, np.array([[0.9, 0.1], [0.5, 0.5]])).sets.tolist() == [[True, False], [False, False]]
    strict = rows.limits(PredictParams(target_accuracy=0.99, coverage=0.99))
    assert math.isinf(strict.confidence)
    assert not strict.verdicts(TWO, np.array([[1.0, 0.0]])).accepted.any()
    assert strict.verdicts(TWO, np.array([[0.9, 0.1]])).sets.all()
    assert "no confidence meets predict.target_accuracy 0.99 on 400 validation rows" in rows.in_words(
        PredictParams(target_accuracy=0.99)
    )
    assert "from a confidence of 0.900, which meets predict.target_accuracy 0.95: 100%" in rows.in_words(
        PredictParams()
    )


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix])
def test_a_file_gives_back_what_was_written_in_the_same_bytes(tmp_path: Path, wrap: type) -> None:
    train = features(50, 0)
    y = np.searchsorted(np.unique(train.labels.astype(str)), train.labels.astype(str))
    rows = HeldOut.from_outputs(THREE, y, np.full((50, 3), 1 / 3), "out-of-fold")
    sure = Certainty(rows, certainty.known_rows(wrap(train.X)))
    certainty_file.write(tmp_path, sure)
    first = (tmp_path / certainty_file.FILE).read_bytes()
    again = certainty_file.read(tmp_path)
    assert again.held_out is not None and again.known is not None and sure.known is not None
    for name in ("confidence", "is_right", "p_true"):
        np.testing.assert_array_equal(getattr(again.held_out, name), getattr(rows, name))
    assert again.held_out.source == "out-of-fold"
    X = wrap(features(9, 1).X)
    np.testing.assert_array_equal(again.known.unfamiliar(X), sure.known.unfamiliar(X))
    certainty_file.write(tmp_path, again)
    assert (tmp_path / certainty_file.FILE).read_bytes() == first


def test_a_part_for_which_rows_are_too_few_is_left_out(tmp_path: Path) -> None:
    assert certainty.known_rows(np.eye(2, dtype=np.float32)) is None
    certainty_file.write(tmp_path, Certainty())
    assert certainty_file.read(tmp_path) == Certainty()
    assert certainty_file.read(tmp_path / "of an older version") == Certainty()


def test_vectors_of_many_or_long_rows_are_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    X = features(200, 0).X
    monkeypatch.setattr(certainty, "MAX_KNOWN_VALUES", 300)
    known = certainty.known_rows(X)
    assert known is not None
    assert known.X.shape == (50, 6)
    assert np.abs(certainty.known_rows(1e6 * X).distances - known.distances).max() < 1e-3, "length has no say"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "harm",
    [
        lambda tensors: tensors | {"confidence": tensors["confidence"][:3]},
        lambda tensors: tensors | {"p_true": np.full_like(tensors["p_true"], np.nan)},
        lambda tensors: tensors | {"vectors": tensors["vectors"].astype(np.float32)},
        lambda tensors: tensors | {"vectors": tensors["vectors"][:3]},
        lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "is_right"},
        lambda tensors: tensors | {name: tensors[name][:1] for name in ("vectors", "distances")},
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, harm: object) -> None:
    rows = HeldOut.from_outputs(THREE, np.zeros(50, int), np.full((50, 3), 1 / 3), "validation")
    certainty_file.write(tmp_path, Certainty(rows, certainty.known_rows(features(50, 0).X)))
    path = tmp_path / certainty_file.FILE
    harmed = harm(safetensors.numpy.load(path.read_bytes()))  # type: ignore[operator]
    path.write_bytes(safetensors.numpy.save(harmed, {"source": "validation"}))
    with pytest.raises(HeadstartError, match="cannot be read"):
        certainty_file.read(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HeadstartError, match="cannot be read"):
        certainty_file.read(tmp_path)


def test_training_rows_of_another_model_are_one_sentence() -> None:
    known = certainty.known_rows(features(50, 0).X)
    assert known is not None
    with pytest.raises(HeadstartError, match="have 5 dimensions, but those of its training rows"):
        known.unfamiliar(np.zeros((2, 5), np.float32))


def test_unknown_rows_come_with_the_held_out_rows_of_their_split() -> None:
    train, unknown = features(300, 0), held_out.Unknown(features(30, 5), features(7, 6))
    for settings, few, count in (
        (TrainHeadParams(), True, 30),
        (TrainHeadParams(final="all"), True, 37),
        (TrainHeadParams(), False, 7),
    ):
        head, value = fitted(train, settings)
        rows = held_out.best(head, value, train, features(40 if few else 800, 1), settings, unknown=unknown)
        assert rows is not None and rows.unknown is not None and len(rows.unknown) == count
        assert unknown.remark(rows) is None
    alone = held_out.best(head, value, train, features(800, 1), settings, unknown=unknown._replace(validation=None))
    assert alone is not None and alone.unknown is None
    assert "30 unknown rows had no say" in str(unknown._replace(validation=None).remark(alone))


def test_unknown_rows_that_are_accepted_count_as_wrong() -> None:
    confidence = np.linspace(0.5, 1, 1_000).astype(np.float32)
    known = HeldOut(confidence, np.ones(1_000, dtype=bool), confidence, "validation")
    settings = PredictParams(target_accuracy=0.9)
    assert known.limits(settings).confidence == 0.5
    both = known._replace(unknown=np.linspace(0.5, 0.8, 400).astype(np.float32))
    limit = both.limits(settings).confidence
    right, wrong = (known.confidence >= limit).sum(), (both.unknown >= limit).sum()
    assert 0.5 < limit < 0.8 and right / (right + wrong) > 0.9
    assert f"of 1,000 validation rows, {wrong} of 400 unknown ones" in both.in_words(settings)


def test_a_sample_of_held_out_rows_has_the_same_share_of_unknown_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "MAX_HELD_OUT_ROWS", 50)
    P = np.full((100, 2), 0.5)
    rows = HeldOut.from_outputs(TWO, np.zeros(100, int), P, "validation", np.full((30, 2), 0.5))
    assert len(rows.confidence) == 50 and rows.unknown is not None and len(rows.unknown) == 15


def test_unknown_rows_are_written_and_read(tmp_path: Path) -> None:
    confidence = np.array([0.5, 0.75], np.float32)
    written = HeldOut(confidence, confidence > 0.6, confidence, "validation", np.array([0.25], np.float32))
    certainty_file.write(tmp_path, Certainty(written))
    read = certainty_file.read(tmp_path).held_out
    assert read is not None and read.unknown is not None and read.unknown.tolist() == [0.25]
