"""The verdict: at most four lines, and nothing where there is nothing to say."""

import numpy as np
import pytest

from stages.evaluation import verdict
from tests.evaluation.evaluations import FLAT, evaluation, guesses

TRUTH = np.arange(200) % 4


def lines(**models: float) -> dict[str, str]:
    """The lines for models that are right for these shares of 200 rows of four classes, by their questions."""
    predicted = {name: guesses(TRUTH, 4, right, seed) for seed, (name, right) in enumerate(models.items())}
    return by_question(evaluation(TRUTH, predicted, suspects=(3, 8)))


def by_question(results: object) -> dict[str, str]:
    written = list(verdict.lines(results))  # type: ignore[arg-type]
    assert len(written) <= 4 and all("\n" not in line for line in written)
    return dict(line.split(": ", 1) for line in written)


def test_four_lines_say_how_good_how_sure_what_is_weak_and_what_is_next() -> None:
    written = lines(head=0.9, baseline=0.5)
    assert list(written) == ["how good", "how sure", "weakest class", "next"]
    assert written["how good"] == (
        "head accuracy 0.900 (0.852 to 0.936), macro F1 0.900 on 200 test rows; baseline (TF-IDF of words) 0.500"
    )
    assert written["how sure"].startswith("head - baseline: accuracy +0.400 (95 % interval +0.3")
    assert written["how sure"].endswith(": better")


@pytest.mark.parametrize(
    ("head", "outcome"), [(0.9, "better"), (0.52, "no clear difference"), (0.48, "no clear difference"), (0.1, "worse")]
)
def test_a_difference_is_clear_if_its_interval_excludes_zero(head: float, outcome: str) -> None:
    assert lines(head=head, baseline=0.5)["how sure"].endswith(f": {outcome}")


def test_where_transfer_loses_that_comes_first() -> None:
    written = lines(head=0.44, baseline=0.84)
    assert written["how good"].startswith("transfer loses: baseline (TF-IDF of words) accuracy 0.840 (0.7")
    assert "; head accuracy 0.440 (" in written["how good"]
    assert written["next"].startswith("use backbone.family: tfidf, which is 0.400 better")


def test_the_fine_tuned_model_is_compared_with_head_and_baseline() -> None:
    written = lines(head=0.7, finetuned=0.95, baseline=0.5)
    assert (
        written["how good"].startswith("finetuned accuracy 0.950 (") and "; head 0.700; baseline" in written["how good"]
    )
    first, second = written["how sure"].split("; ")
    assert first.startswith("finetuned - baseline: accuracy +0.450") and first.endswith(": better")
    assert second.startswith("finetuned - head: accuracy +0.250") and second.endswith(": better")


def test_the_weakest_class_is_named_with_its_most_frequent_mistake() -> None:
    head = TRUTH.copy()
    head[np.flatnonzero(TRUTH == 2)[:20]] = 3
    written = by_question(evaluation(TRUTH, {"head": head}))
    assert written["weakest class"] == "c, F1 0.75, 30 of 50 test rows right, most often taken for d (20)"
    rows = TRUTH[(TRUTH != 1) | (np.arange(200) < 40)]  # ten rows of b
    head = rows.copy()
    head[np.flatnonzero(rows == 3)[:20]] = 1
    written = by_question(evaluation(rows, {"head": head}))
    assert written["weakest class"] == "b, F1 0.50, 10 of 10 test rows right, but rows of d are taken for it (20)"


def test_where_there_is_nothing_to_say_nothing_is_said() -> None:
    written = by_question(evaluation(TRUTH, {"head": TRUTH}, curve=FLAT))
    assert written == {
        "how good": "head accuracy 1.000 (0.982 to 1.000), macro F1 1.000 on 200 test rows",
        "how sure": "there is no other model to compare with",
    }


def test_without_draws_there_are_no_intervals_and_nothing_is_called_clear() -> None:
    models = {"head": TRUTH, "baseline": guesses(TRUTH, 4, 0.5)}
    written = by_question(evaluation(TRUTH, models, bootstrap=0))
    assert written["how good"].startswith("head accuracy 1.000, macro F1 1.000 on 200 test rows")
    assert written["how sure"].endswith("set evaluate.bootstrap above 0 for 95 % intervals")
    assert "better" not in written["how sure"]


def test_classes_without_test_rows_are_named() -> None:
    rows = TRUTH[TRUTH != 1]
    assert by_question(evaluation(rows, {"head": rows}))["how sure"].endswith(
        "1 of 4 classes has no test row, so nothing tells how well it is recognised: b"
    )
    rows = np.full(20, 3)
    assert (
        "3 of 4 classes have no test row, so nothing tells how well they are recognised: a, b, c"
        in (by_question(evaluation(rows, {"head": rows}))["how sure"])
    )


def test_a_cross_validation_is_named_and_its_intervals_are_longer() -> None:
    predicted = {"head": guesses(TRUTH, 4, 0.9)}
    tested, judged = evaluation(TRUTH, predicted), evaluation(TRUTH, predicted, folds=5)
    assert "by 5-fold cross-validation, 2 times, on 200 labelled rows" in by_question(judged)["how good"]
    ends = [results.metrics["head_ci95"] for results in (tested, judged)]
    assert judged.metrics["test_rows"] == 0 and judged.metrics["head"]["accuracy"] == tested.metrics["head"]["accuracy"]
    for name, short in ends[0].items():
        ratio = (ends[1][name]["high"] - ends[1][name]["low"]) / (short["high"] - short["low"])
        assert ratio == pytest.approx(judged.scored.spread**0.5, abs=0.12), name


def test_the_weakest_class_is_of_one_division_where_the_metrics_are_means_of_several() -> None:
    predicted = {"head": guesses(TRUTH, 4, 0.8)}
    texts = [list(verdict.lines(evaluation(TRUTH, predicted, folds=folds)))[2] for folds in (0, 5)]
    assert ["in the first division into folds" in text for text in texts] == [False, True]
