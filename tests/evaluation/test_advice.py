"""Every rule of the advice: data that must trigger it, and data that must not."""

import numpy as np
import pytest

from stages.evaluation import advice
from stages.evaluation.results import Results
from tests.evaluation.evaluations import FLAT, RISING, evaluation, guesses

TRUTH = np.arange(200) % 4
HEAD = guesses(TRUTH, 4, 0.8)
CHANCE = guesses(TRUTH, 4, 0.27)


def said(results: Results, start: str) -> str | None:
    """The sentence that starts so, or contains it; None where there is none."""
    return next((sentence for sentence in advice.sentences(results) if start in sentence), None)


def test_the_baseline_is_advised_where_it_is_better() -> None:
    worse, equal = (guesses(TRUTH, 4, right, 1) for right in (0.5, 0.82))
    assert said(evaluation(TRUTH, {"head": worse, "baseline": HEAD}), "tfidf, which is 0.300 better")
    assert said(evaluation(TRUTH, {"head": equal, "baseline": HEAD}), "backbone.family") is None
    words = evaluation(TRUTH, {"head": worse, "baseline": HEAD}, family="tfidf")
    assert said(words, "backbone.name: word and train_head.kind: logistic, which is 0.300 better")
    assert said(words, "backbone.family") is None, "it is tfidf"


def test_more_labels_are_advised_while_the_curve_rises() -> None:
    rising = ((5, 0.6), (10, 0.65), (20, 0.7), (40, 0.75))
    assert said(evaluation(TRUTH, {"head": HEAD}, curve=rising), "label more rows") == (
        "label more rows: twice the labels give about +0.050"
    )
    assert said(evaluation(TRUTH, {"head": HEAD, "finetuned": TRUTH}, curve=rising), "label more rows") == (
        "label more rows: twice the labels give the head about +0.050"
    ), "the curve is the head's"
    assert said(evaluation(TRUTH, {"head": HEAD}, curve=FLAT), "label more rows") is None
    assert said(evaluation(TRUTH, {"head": HEAD}, curve=RISING[:2]), "label more rows") is None, "too few points"


def test_fine_tuning_is_advised_where_labels_hardly_help_a_head() -> None:
    text = said(evaluation(TRUTH, {"head": HEAD}, curve=FLAT), "finetune.method: full")
    assert text and "20% of the rows are wrong" in text
    good = guesses(TRUTH, 4, 0.97)
    for results in (
        evaluation(TRUTH, {"head": HEAD}, curve=RISING),
        evaluation(TRUTH, {"head": good}, curve=FLAT),
        evaluation(TRUTH, {"head": HEAD}, curve=FLAT, family="tfidf"),
        evaluation(TRUTH, {"head": CHANCE}, curve=FLAT),
        evaluation(TRUTH, {"head": HEAD, "finetuned": good}, curve=FLAT),
    ):
        assert said(results, "finetune.method") is None


def test_a_fine_tuned_model_that_is_no_better_is_not_worth_shipping() -> None:
    same = HEAD.copy()
    same[np.flatnonzero(HEAD != TRUTH)[0]] = TRUTH[np.flatnonzero(HEAD != TRUTH)[0]]
    assert said(evaluation(TRUTH, {"head": HEAD, "finetuned": same}, curve=FLAT), "ship data/head") == (
        "fine-tuning changed the accuracy by +0.005, which may be chance: ship data/head"
    )
    assert said(evaluation(TRUTH, {"head": HEAD, "finetuned": TRUTH}, curve=FLAT), "ship data/head") is None
    worse = evaluation(TRUTH, {"head": TRUTH, "finetuned": HEAD}, curve=((2, 0.5), (4, 0.52), (8, 0.54)))
    assert advice.sentences(worse)[0] == "fine-tuning changed the accuracy by -0.200: ship data/head"
    unsure = evaluation(TRUTH, {"head": HEAD, "finetuned": TRUTH}, curve=FLAT, bootstrap=0)
    assert said(unsure, "ship data/head") is None, "without intervals, nothing tells chance"


def test_two_classes_that_are_taken_for_each_other_may_be_one() -> None:
    mixed = TRUTH.copy()
    first, second = np.flatnonzero(TRUTH == 1), np.flatnonzero(TRUTH == 3)
    mixed[first[:20]], mixed[second[:15]] = 3, 1
    assert said(evaluation(TRUTH, {"head": mixed}), "one class?") == (
        "are b and d one class? 35 of their 100 test rows are taken for the other"
    )
    assert said(evaluation(TRUTH, {"head": mixed, "baseline": TRUTH}), "one class?") is None, "the baseline knows"
    rows = np.arange(90) % 3
    chance = evaluation(rows, {"head": guesses(rows, 3, 0.33)}, labels=("a", "b", "c"))
    assert said(chance, "one class?") is None, "a model near chance takes all for each other"
    one_way = TRUTH.copy()
    one_way[first[:40]] = 3
    for results in (
        evaluation(TRUTH, {"head": one_way}),
        evaluation(TRUTH, {"head": HEAD}),
        evaluation(TRUTH % 2, {"head": guesses(TRUTH % 2, 2, 0.6)}, labels=("a", "b")),
    ):
        assert said(results, "one class?") is None


def test_labels_are_checked_where_the_model_can_judge_them() -> None:
    text = said(evaluation(TRUTH, {"head": HEAD}, suspects=(12, 9)), "likely wrong")
    assert text == "check 12 training and 9 test rows whose label is likely wrong, in report.html"
    assert said(evaluation(TRUTH, {"head": HEAD}), "likely wrong") is None
    assert said(evaluation(TRUTH, {"head": CHANCE}, suspects=(12, 90)), "likely wrong") is None
    weak = evaluation(TRUTH, {"head": guesses(TRUTH, 4, 0.45)}, suspects=(90, 70))
    assert not weak.is_near_chance and said(weak, "likely wrong") is None, "it is wrong more often than right"
    models = {"head": guesses(TRUTH, 4, 0.7), "baseline": guesses(TRUTH, 4, 0.9, 1)}
    assert said(evaluation(TRUTH, models, suspects=(12, 50)), "likely wrong") is None, "the baseline knows better"


def test_copies_are_checked_where_the_features_can_tell_rows_apart() -> None:
    text = said(evaluation(TRUTH, {"head": HEAD}, copies=3), "nearly equal")
    assert (
        text == "check 3 test rows nearly equal to a training row, in report.html; without them the accuracy is 0.500"
    )
    assert said(evaluation(TRUTH, {"head": HEAD}), "nearly equal") is None
    assert said(evaluation(TRUTH, {"head": CHANCE}, copies=3), "nearly equal") is None


def test_whole_texts_are_read_where_cut_ones_are_more_often_wrong() -> None:
    is_long = np.arange(200) < 60
    head = np.where(is_long & (np.arange(200) % 2 == 0), (TRUTH + 1) % 4, TRUTH)
    models = {"head": head}
    assert said(evaluation(TRUTH, models, is_long=is_long), "whole texts") == (
        "read whole texts: 60 of 200 test texts are cut at 32 tokens, 50% of them are right, 100% of the others;"
        " set extract.long: chunks"
    )
    assert said(evaluation(TRUTH, models, is_long=np.ones(200, dtype=bool)), "whole texts") == (
        "read whole texts: 200 of 200 test texts are cut at 32 tokens, 85% of them are right; set extract.long: chunks"
    )
    for results in (
        evaluation(TRUTH, models, is_long=is_long, long="chunks"),
        evaluation(TRUTH, models, is_long=~is_long),
        evaluation(TRUTH, models, is_long=np.arange(200) % 10 == 1),
        evaluation(TRUTH, models, is_long=np.zeros(200, dtype=bool)),
        evaluation(TRUTH, {"head": TRUTH}, is_long=np.ones(200, dtype=bool)),
        evaluation(TRUTH, models),
    ):
        assert said(results, "whole texts") is None


def test_another_backbone_is_advised_for_a_language_that_this_one_does_not_know() -> None:
    assert said(evaluation(TRUTH, {"head": HEAD}, unclear=0.83), "multilingual") == (
        "try a backbone of the language of the texts, or a multilingual one: to this one, a share of 83% of the tokens"
        " is unknown or single letters"
    )
    assert said(evaluation(TRUTH, {"head": HEAD}, unclear=0.15), "multilingual") is None
    assert said(evaluation(TRUTH, {"head": TRUTH}, unclear=0.83), "multilingual") is None, "it knows enough"


def test_a_test_set_too_small_to_tell_says_how_many_rows_would() -> None:
    rows = np.arange(40) % 4
    models = {"head": guesses(rows, 4, 0.75), "baseline": guesses(rows, 4, 0.7, 1)}
    text = said(evaluation(rows, models), "test more rows: 40 cannot tell head from the baseline, about ")
    assert text and 100 < int(text.split("about ")[1].split()[0].replace(",", "")) < 2000
    assert said(evaluation(rows, {"head": rows, "baseline": models["baseline"]}), "test more rows") is None
    text = said(evaluation(rows, models, folds=5), "cannot tell head from the baseline")
    assert text is not None and text.startswith("40 labelled rows cannot tell"), "labelling has a sentence of its own"
    many = np.arange(4000) % 4
    same = {"head": guesses(many, 4, 0.75), "baseline": guesses(many, 4, 0.75, 1)}
    assert said(evaluation(many, same), "test more rows") is None, "no difference, and that is sure"
    assert said(evaluation(rows, models, family="tfidf"), "test more rows") is None, "the baseline's own kind"


def test_classes_of_few_test_rows_are_named() -> None:
    rows = np.concatenate([TRUTH[TRUTH != 2], [2, 2, 2]])
    assert said(evaluation(rows, {"head": rows}), "too few to judge") == (
        "1 class has fewer than 5 test rows, too few to judge: c"
    )
    assert said(evaluation(TRUTH, {"head": TRUTH}), "too few to judge") is None


def test_at_most_three_sentences_come_the_largest_gain_first() -> None:
    rows = np.concatenate([TRUTH, [4, 4]])
    mixed = rows.copy()
    first, second = np.flatnonzero(rows == 1), np.flatnonzero(rows == 3)
    mixed[first[:20]], mixed[second[:15]] = 3, 1
    results = evaluation(
        rows, {"head": mixed}, labels="abcde", suspects=(1, 4), copies=2, curve=((2, 0.5), (4, 0.52), (8, 0.54))
    )
    texts = advice.sentences(results)
    assert [text.split()[0] for text in texts] == ["are", "label", "check"] and "likely wrong" in texts[2]


@pytest.mark.parametrize(("right", "near"), [(0.27, True), (0.3, True), (0.8, False)])
def test_near_chance_is_not_clearly_better_than_the_most_frequent_class(right: float, near: bool) -> None:
    assert evaluation(TRUTH, {"head": guesses(TRUTH, 4, right)}).is_near_chance is near


def test_cross_validation_is_advised_for_few_test_rows() -> None:
    few = TRUTH[:60]
    sentence = said(evaluation(few, {"head": guesses(few, 4, 0.8)}, curve=FLAT), "prepare.test: 0")
    assert sentence is not None and sentence.startswith("60 test rows tell little, an accuracy between 0.6")
    assert said(evaluation(TRUTH, {"head": HEAD}, curve=FLAT), "prepare.test: 0") is None, "200 are enough"
    tuned = {"head": guesses(few, 4, 0.8), "finetuned": few}
    assert said(evaluation(few, tuned, curve=FLAT), "prepare.test: 0") is None, "folds do not judge a fine-tuned model"
    assert said(evaluation(few, {"head": guesses(few, 4, 0.8)}, curve=FLAT, folds=5), "prepare.test: 0") is None


def test_sentences_on_cross_validated_rows_name_no_test_row() -> None:
    few = TRUTH[:60]
    results = evaluation(few, {"head": guesses(few, 4, 0.8)}, curve=FLAT, folds=5, suspects=(4, 0), copies=3)
    sentences = advice.sentences(results)
    assert any(sentence.startswith("check 4 labelled rows") for sentence in sentences)
    assert any("labelled rows nearly equal to one of another fold" in sentence for sentence in sentences)
    assert not any("test row" in sentence for sentence in sentences)
