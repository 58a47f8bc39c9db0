"""The verdict of an evaluation, in at most four lines: how good, how sure, the weakest class, and what to do next.

Models are compared by the primary metric of the task: accuracy, or the mean absolute error of numbers.
"""

from collections.abc import Iterator
from functools import partial

from stages.common.errors import counted, listed
from stages.evaluation import advice
from stages.evaluation.advice import MIN_CLASS_ROWS
from stages.evaluation.learning_curve import BASELINES
from stages.evaluation.results import Results
from stages.scores import metric_texts


def lines(results: Results) -> Iterator[str]:
    """Put the evaluation into words: at most four lines that start with their question."""
    yield f"how good: {_quality(results)}"
    yield f"how sure: {_certainty(results)}"
    if weakest := _weakest_class(results):
        yield f"weakest class: {weakest}"
    if sentences := advice.sentences(results):
        yield f"next: {'; '.join(sentences)}"


def _quality(results: Results) -> str:
    """Compare the shipped model with the others, the baseline first if it is clearly better."""
    metrics, shipped = results.metrics, results.shipped
    baseline = f"baseline ({BASELINES[results.cards['head'].modality]})"
    rows = f"{_judged_by(results)} {counted(len(results.scored.truth), results.scored.noun)}"
    task, value = results.scored.task, partial(metric_texts.value, metric=results.primary)
    primary = metric_texts.name(results.primary)
    meaning = " (all labels of a row right)" if primary == "accuracy" and not task.is_exclusive else ""
    model = f"{shipped} {primary}{meaning} {_with_interval(results, shipped)}"
    if task.second in metrics[shipped]:
        second = metric_texts.value(metrics[shipped][task.second], task.second)
        model += f", {metric_texts.name(task.second)} {second}"
    model += f" {rows}"
    others = []
    if shipped == "finetuned":
        others.append(f"head {value(metrics['head'][results.primary])}")
    if "baseline" in metrics:
        if results.is_clear(f"{shipped}_minus_baseline", better=False):
            loses = f"transfer loses: {baseline} {primary} {_with_interval(results, 'baseline')}"
            return "; ".join([loses, model, *others])
        others.append(f"{baseline} {value(metrics['baseline'][results.primary])}")
    return "; ".join([model, *others])


def _judged_by(results: Results) -> str:
    division = results.scored.division
    if division is None:
        return "on"
    times = f", {len(division.repeats)} times," if len(division.repeats) > 1 else ""
    return f"by {division.count}-fold cross-validation{times} on"


def _certainty(results: Results) -> str:
    """Tell whether the differences between the models are beyond chance, and which classes were not tested."""
    metrics, shipped = results.metrics, results.shipped
    parts = []
    for other in ("baseline", "head"):
        pair = f"{shipped}_minus_{other}"
        if pair in metrics:
            parts.append(_difference(pair, results))
    if f"{shipped}_ci95" not in metrics:
        parts.append("set evaluate.bootstrap above 0 for 95 % intervals")
    if untested := _untested(results):
        parts.append(untested)
    if "recall" in (none := metrics.get(f"{shipped}_unknown", {})):
        ends = metrics.get(f"{shipped}_unknown_ci95", {})
        recall = metric_texts.with_interval(none["recall"], ends.get("recall"), "recall")
        parts.append(f"none of these: {recall} of the unknown test rows are not accepted")
    parts += [f"{model} is not judged: {reason}" for model, reason in metrics.get("not_judged", {}).items()]
    return "; ".join(parts) if parts else "there is no other model to compare with"


def _difference(pair: str, results: Results) -> str:
    """Write the difference of two models, with interval, of accuracies also p-value, and its meaning."""
    name, _, other = pair.partition("_minus_")
    metrics, primary = results.metrics, results.primary
    change = metric_texts.value(metrics[pair][primary], primary, "+")
    text = f"{name} - {other}: {metric_texts.name(primary)} {change}"
    p_value = f", p = {metrics[pair]['p_value']:.2g}" if primary == "accuracy" else ""
    if f"{pair}_ci95" not in metrics:
        return f"{text}{p_value}"
    low, high = (metric_texts.value(metrics[f"{pair}_ci95"][primary][end], primary, "+") for end in ("low", "high"))
    outcome = "no clear difference"
    if results.is_clear(pair, better=True):
        outcome = "better"
    elif results.is_clear(pair, better=False):
        outcome = "worse"
    return f"{text} (95 % interval {low} to {high}){p_value}: {outcome}"


def _untested(results: Results) -> str | None:
    """Name the classes that have no judged row, or none."""
    if not results.scored.task.has_classes:
        return None
    labels = results.scored.labels
    support = results.scored.task.support(results.scored.truth)
    missing = [label for label, rows in zip(labels, support, strict=True) if not rows]
    if not missing:
        return None
    has, they = ("has", "it is") if len(missing) == 1 else ("have", "they are")
    lack = "is in one fold only" if has == "has" else "are in one fold only"
    lack = lack if results.scored.division else f"{has} no test row"
    return (
        f"{len(missing):,} of {len(labels):,} classes {lack}, so nothing tells how well {they} recognised:"
        f" {listed(missing)}"
    )


def _weakest_class(results: Results) -> str | None:
    """Name the class with the lowest F1 among those with enough rows, and its most frequent mistake."""
    classes = [row for row in results.plots[results.shipped].get("per_class", ()) if row["support"] >= MIN_CLASS_ROWS]
    weakest = min(classes, key=lambda row: float(row["f1"]), default=None)
    if weakest is None or weakest["f1"] == 1:
        return None
    scored, label = results.scored, results.scored.labels.index(weakest["label"])
    confused = scored.classes.confused(scored.truth, scored.probabilities[results.shipped])
    taken_for = [(other, rows) for actual, other, rows in confused if actual == label]
    mistaken = [(other, rows) for other, predicted, rows in confused if predicted == label]
    right = round(weakest["recall"] * weakest["support"])
    is_one_of_several = scored.division and len(scored.division.repeats) > 1
    draw = " in the first division into folds" if is_one_of_several else ""  # the metrics above are means of all
    text = f"{weakest['label']}, F1 {weakest['f1']:.2f}{draw}, {right:,} of {weakest['support']:,} {scored.noun}s right"
    if taken_for and (not mistaken or taken_for[0][1] >= mistaken[0][1]):
        other, rows = taken_for[0]
        return f"{text}, most often taken for {scored.labels[other]} ({rows:,})"
    if mistaken:
        other, rows = mistaken[0]
        return f"{text}, but rows of {scored.labels[other]} are taken for it ({rows:,})"
    return text  # of several labels, one is missed or given where the others are right


def _with_interval(results: Results, model: str) -> str:
    metrics, primary = results.metrics, results.primary
    return metric_texts.with_interval(metrics[model][primary], metrics.get(f"{model}_ci95", {}).get(primary), primary)
