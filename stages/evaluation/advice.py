"""What to do next: at most three sentences, the one with the largest expected gain first.

Every sentence comes from a measurement of this run and names its number. A gain is in accuracy, of numbers in shares of
the head's mean absolute error (`Results.gain`); that of advice which only makes the numbers surer is `NO_GAIN`.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from stages.backbones import untrainable
from stages.common.backbone_shorthand import members
from stages.common.errors import counted, listed
from stages.common.metric_directions import IN_UNITS, is_higher_better
from stages.evaluation.results import Results
from stages.scores import metric_texts
from stages.tables import splitting

MAX_SENTENCES = 3
MIN_GAIN = 0.01  # less is not worth a sentence
MIN_CLASS_ROWS = 5  # judged rows of a class from which its F1 says something
MAX_WIDTH = 0.1  # of an interval of a difference that can tell models apart
MIN_MIXED = 5  # rows of two classes that are taken for each other, from which the two may be one
MIN_MIXED_SHARE = 0.25
GOOD_ENOUGH = 0.95  # accuracy, or R² of numbers, above which fine-tuning has little to gain
MAX_UNCLEAR = 0.3  # of the tokens; 7 % of English ones and 95 % of Greek ones are for MiniLM
NO_GAIN = 0.0
BASELINE_BACKBONES = {"text": ("tfidf", "word"), "image": ("pixels", "rgb")}  # family and name, by modality


class Advice(NamedTuple):
    """A sentence, and what following it may gain."""

    gain: float
    sentence: str


def sentences(results: Results) -> list[str]:
    """Return at most three sentences, the largest expected gain first; none where nothing was measured."""
    found = [advice for rule in RULES for advice in rule(results)]
    return [advice.sentence for advice in sorted(found, key=lambda advice: -advice.gain)[:MAX_SENTENCES]]


def slope(results: Results) -> float | None:
    """Estimate how twice the labels would change the primary metric; None where the curve has fewer than three points.

    Fits a line through the last three points of the backbone's learning curve, over the logarithm of the labels.
    """
    points = results.curves["backbone"][-3:]
    labels = [math.log2(point["labels_per_class"]) for point in points]
    if len(points) < 3 or labels[0] == labels[-1]:
        return None
    change = float(np.polyfit(labels, [point[results.primary] for point in points], 1)[0])
    # As it is printed; + 0.0: no -0.000.
    return change if results.primary in IN_UNITS else round(change, 3) + 0.0


def _in_words(results: Results, number: float, sign: str = "") -> str:
    """Write a value or a change of the primary metric."""
    return metric_texts.value(number, results.primary, sign)


def _use_the_baseline(results: Results) -> Iterator[Advice]:
    pair = f"{results.shipped}_minus_baseline"
    if results.is_clear(pair, better=False):
        change = results.metrics[pair][results.primary]
        family, name = BASELINE_BACKBONES[results.cards["head"].modality]
        setting = f"backbone.family: {family}"
        if isinstance(results.cards["head"].backbone, tuple):
            setting = f"backbone: {family}:{name}"
        elif _has_family_of_baseline(results):
            setting = f"backbone.name: {name} and train_head.kind: logistic"
        better = f"{_in_words(results, abs(change))} better"
        yield Advice(results.gain(-change), f"use {setting}, which is {better}, or try another pretrained model")


def _has_family_of_baseline(results: Results) -> bool:
    card = results.cards["head"]
    family = BASELINE_BACKBONES[card.modality][0]
    return all(member.family == family for member in members(card.backbone))


def _label_more(results: Results) -> Iterator[Advice]:
    change = slope(results)
    if change is not None and (gain := results.gain(change)) >= MIN_GAIN and not results.is_near_chance:
        head = " the head" if results.shipped != "head" else ""  # whose learning curve it is
        much = f"give{head} about {_in_words(results, change, '+')}"
        if not is_higher_better(results.primary):
            error = f"{metric_texts.name(results.primary)}{head.replace(' the', ' of the')}"
            much = f"take about {_in_words(results, -change)} off the {error}"
        yield Advice(gain, f"label more rows: twice the labels {much}")


def _fine_tune(results: Results) -> Iterator[Advice]:
    change, fit = slope(results), results.fit("head")
    if "finetuned" in results.cards:
        yield from _ship_the_head(results)
        return
    is_trainable = not untrainable(results.cards["head"].backbone)
    if results.scored.division:  # no folds judge a fine-tuned model
        return
    if not is_trainable or change is None or results.is_near_chance:
        return
    if results.gain(change) < MIN_GAIN and fit < GOOD_ENOUGH:
        lack = f"{1 - fit:.0%} of the rows are wrong" if results.scored.task.has_classes else f"R² is {fit:.2f}"
        yield Advice(
            MIN_GAIN,
            f"try finetune.method: full: more labels hardly help a head (twice the labels:"
            f" {_in_words(results, change, '+')}), and {lack}",
        )


def _ship_the_head(results: Results) -> Iterator[Advice]:
    """Advise against a fine-tuned model that is not clearly better; without an interval nothing is clear."""
    pair = "finetuned_minus_head"
    if f"{pair}_ci95" not in results.metrics or results.is_clear(pair, better=True):
        return
    change = results.metrics[pair][results.primary]
    is_worse = results.is_clear(pair, better=False)
    chance = "" if is_worse else ", which may be chance"
    yield Advice(
        results.gain(-change) if is_worse else NO_GAIN,
        f"fine-tuning changed the {metric_texts.name(results.primary)} by {_in_words(results, change, '+')}{chance}:"
        " ship data/head",
    )


def _join_classes(results: Results) -> Iterator[Advice]:
    shipped = results.shipped
    if not results.scored.task.has_classes:
        return
    if results.is_model_near_chance(shipped) or results.is_clear(f"{shipped}_minus_baseline", better=False):
        return  # a weak model takes all classes for each other
    scored, labels = results.scored, results.scored.labels
    truth = scored.truth
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for actual, predicted, rows in scored.classes.cells(truth, scored.probabilities[shipped]):
        counts[actual, predicted] = rows
    mixed = np.triu(counts + counts.T, 1)
    first, second = np.unravel_index(mixed.argmax(), mixed.shape)
    rows = counts[[first, second]].sum()
    both_ways = min(counts[first, second], counts[second, first]) >= 2
    if len(labels) > 2 and both_ways and mixed.max() >= MIN_MIXED and mixed.max() >= MIN_MIXED_SHARE * rows:
        yield Advice(
            mixed.max() / len(truth),
            f"are {labels[first]} and {labels[second]} one class? {mixed.max():,} of their {rows:,}"
            f" {results.scored.noun}s are taken for the other",
        )


def _check_labels(results: Results) -> Iterator[Advice]:
    suspects = results.metrics["label_errors"]
    if results.scored.division:
        rows = sum(suspects.values())
        if rows and not results.weakness:
            text = f"check {counted(rows, 'labelled row')} whose label is likely wrong, in report.html"
            yield Advice(rows / len(results.scored.truth) / 2, text)
    elif (suspects["train"] or suspects["test"]) and not results.weakness:
        yield Advice(
            suspects["test"] / len(results.scored.truth) / 2,  # about half of the suspects are wrong indeed
            f"check {suspects['train']:,} training and {counted(suspects['test'], 'test row')} whose label is likely"
            " wrong, in report.html",
        )


def _remove_copies(results: Results) -> Iterator[Advice]:
    copies = results.metrics["near_duplicates"]
    if copies["test_rows"] and not results.is_near_chance:
        without, metric = copies.get(f"{results.shipped}_without", {}).get(results.primary), results.primary
        value = "" if without is None else _in_words(results, without)
        text = f"; without them the {metric_texts.name(metric)} is {value}" if value else ""
        yield Advice(
            NO_GAIN,
            f"check {counted(copies['test_rows'], results.scored.noun)} nearly equal to"
            f" {'one of another fold' if results.scored.division else 'a training row'}, in report.html{text}",
        )


def _read_whole_texts(results: Results) -> Iterator[Advice]:
    """Compare the cut texts with the others: as many of them could be right. Where all are cut, nothing tells."""
    cut, rows = results.metrics["cut_rows"], results.scored.rows
    if not cut or rows.is_long is None:
        return
    values = results.scored.row_values(results.shipped)
    mean, others = values[rows.is_long].mean(), values[~rows.is_long]
    gain = results.gain(cut / len(values) * (others.mean() - mean)) if len(others) >= MIN_CLASS_ROWS else MIN_GAIN
    is_share = results.primary == "accuracy"
    if gain >= MIN_GAIN and not (is_share and mean == 1):
        write = "{:.0%}".format if is_share else partial(_in_words, results)
        against = f"{write(mean)} of them are right" if is_share else f"their mean absolute error is {write(mean)}"
        if len(others):
            rest = write(others.mean())
            against += f", {rest} of the others" if is_share else f", that of the others {rest}"
        fix = "raise extract.max_length" if rows.metadata.extract.combine == "pair" else "set extract.long: chunks"
        yield Advice(
            float(gain),
            f"read whole texts: {cut:,} of {len(values):,} {results.scored.noun.removesuffix('row')}texts are cut at"
            f" {rows.metadata.max_length:,} tokens,"
            f" {against}; {fix}",
        )


def _know_the_language(results: Results) -> Iterator[Advice]:
    unclear, wrong = results.metrics["unclear_tokens"], 1 - max(results.fit(results.shipped), 0)
    if unclear >= MAX_UNCLEAR and wrong:
        yield Advice(
            unclear * wrong / 2,  # about half of the mistakes
            "try a backbone of the language of the texts, or a multilingual one: to this one, a share of"
            f" {unclear:.0%} of the tokens is unknown or single letters",
        )


def _test_more_rows(results: Results) -> Iterator[Advice]:
    pair = f"{results.shipped}_minus_baseline"
    ends = results.metrics.get(f"{pair}_ci95", {}).get(results.primary)
    if _has_family_of_baseline(results):  # which differs little from the baseline, however many rows there are
        return
    width = abs(results.gain(ends["high"] - ends["low"])) if ends else 0
    if ends and ends["low"] <= 0 <= ends["high"] and width > MAX_WIDTH:
        rows = len(results.scored.truth)
        # Without test rows, the advice to label more has a sentence of its own.
        few = f"{rows:,} labelled rows" if results.scored.division else f"test more rows: {rows:,}"
        needed = math.ceil(rows * (width / MAX_WIDTH) ** 2 / 10) * 10
        share = f"{MAX_WIDTH / 2:g}" if results.primary == "accuracy" else f"{MAX_WIDTH / 2:.0%}"
        yield Advice(
            MIN_GAIN,
            f"{few} cannot tell {results.shipped} from the baseline, about {needed:,} would show a difference of"
            f" {share}",
        )


def _test_small_classes(results: Results) -> Iterator[Advice]:
    if not results.scored.task.has_classes:
        return
    rows = results.scored.task.support(results.scored.truth)
    small = [label for label, count in zip(results.scored.labels, rows, strict=True) if 0 < count < MIN_CLASS_ROWS]
    if small:
        plural = "classes have" if len(small) > 1 else "class has"
        yield Advice(
            NO_GAIN,
            f"{len(small):,} {plural} fewer than {MIN_CLASS_ROWS} {results.scored.noun}s, too few to judge:"
            f" {listed(small, 3)}",
        )


def _cross_validate(results: Results) -> Iterator[Advice]:
    """Advise against a small test set: folds judge every labelled row, and leave all of them to the head."""
    rows = len(results.scored.truth)
    if results.scored.division or "finetuned" in results.cards or rows >= splitting.MIN_TEST_ROWS:
        return
    ends, between = results.metrics.get("head_ci95", {}).get(results.primary), ""
    if ends and results.primary == "accuracy":
        between = f", an accuracy between {ends['low']:.2f} and {ends['high']:.2f}"
    elif ends:
        low, high = (_in_words(results, ends[end]) for end in ("low", "high"))
        between = f", a mean absolute error between {low} and {high}"
    yield Advice(
        NO_GAIN,
        f"{counted(rows, 'test row')} {'tells' if rows == 1 else 'tell'} little{between}: prepare.test: 0, where"
        " neither the data nor the file of labels gives test rows, judges all labelled rows by cross-validation,"
        " and train_head.final: all trains on them",
    )


RULES: tuple[Callable[[Results], Iterator[Advice]], ...] = (
    _use_the_baseline,
    _label_more,
    _fine_tune,
    _join_classes,
    _check_labels,
    _read_whole_texts,
    _know_the_language,
    _test_more_rows,
    _test_small_classes,
    _remove_copies,
    _cross_validate,
)
