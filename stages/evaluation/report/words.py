"""Sentences of the page: warnings, what the learning curve shows, and how sure the models are."""

from collections.abc import Iterator

from stages.common.metric_directions import is_higher_better
from stages.evaluation import advice, sure_rows
from stages.evaluation.results import Results
from stages.scores import conformal_interval, metric_texts

MIN_COPIES_SHARE = 0.05  # of the judged rows; fewer near-duplicates do not move the accuracy much


def warnings(results: Results) -> Iterator[str]:
    """Name what makes the numbers below say less than they seem to; nothing where nothing does."""
    metrics, rows, noun = results.metrics, len(results.scored.truth), results.scored.noun
    copies = metrics["near_duplicates"]
    yield from _how_judged(results)
    if reason := results.weakness:
        lists = "likely label errors"
        if results.is_near_chance:
            lists = (
                "its likely label errors and near-duplicates" if results.scored.task.has_classes else "near-duplicates"
            )
        yield f"{reason[0].upper()}{reason[1:]}: {lists} are unreliable."
    if cut := metrics.get("cut_rows"):
        texts = f"{noun.removesuffix('row')}texts"
        yield f"The end of {cut:,} of {rows:,} {texts} was not read: they are longer than extract.max_length."
    if copies["test_rows"] >= MIN_COPIES_SHARE * rows and not results.is_near_chance:
        without, metric, value = copies.get(f"{results.shipped}_without", {}).get(results.primary), results.primary, ""
        if without is not None:
            number = metric_texts.value(without, metric)
            value = f": without them the {metric_texts.name(metric)} of {results.shipped} is {number}"
        yield f"{copies['test_rows']:,} of {rows:,} {noun}s nearly equal a training row{value}."


def _how_judged(results: Results) -> Iterator[str]:
    """Explain a cross-validation; nothing where there are test rows."""
    division = results.scored.division
    if division is None:
        return
    yield (
        f"There are no test rows. Every labelled row was judged by a head that was fitted on the other"
        f" {division.count - 1} of {division.count} folds, in the way of the head that is shipped."
    )
    if (repeats := len(division.repeats)) > 1:
        parts = (
            "Rows, classes, confusion, slices and confidence" if results.scored.task.has_classes else "Rows and slices"
        )
        yield (
            f"The metrics of the models are means over {repeats} divisions into folds. {parts}"
            " are those of the first, so their sums may differ a little from the metrics."
        )
    for model, reason in results.metrics.get("not_judged", {}).items():
        yield f"The {model} model is not judged: {reason}."


def curve(results: Results) -> str:
    """Tell whether more labels would help; empty where the curve has too few points."""
    change = advice.slope(results)
    if change is None:
        return ""
    gain, metric = results.gain(change), metric_texts.name(results.primary)
    is_higher = is_higher_better(results.primary)
    if gain < advice.MIN_GAIN:
        worse = "Falling" if is_higher else "Rising"
        signed = metric_texts.value(change, results.primary, "+")
        shape = "Flat" if gain > -advice.MIN_GAIN else worse
        return f"{shape}: twice the labels would change the {metric} by about {signed}."
    number = metric_texts.value(abs(change), results.primary)
    if is_higher:
        return f"Still rising: twice the labels would add about {number} to the {metric}."
    return f"Still falling: twice the labels would take about {number} off the {metric}."


def certainty(results: Results) -> Iterator[str]:
    """Say which of the judged rows predict would accept, and what its sets hold, for every model that tells."""
    for model in results.scored.verdicts:
        for sentence in _certainty(results, model):
            yield f"{model}: {sentence}"


def _certainty(results: Results, model: str) -> Iterator[str]:
    noun, settings = results.scored.noun, results.settings["predict"]
    values, ends = (results.metrics.get(f"{model}_certainty{kind}", {}) for kind in ("", "_ci95"))
    target = f"predict.target_accuracy is {settings['target_accuracy']:g}"
    if "accuracy_coverage_area" in values:
        yield f"the area under the curve is {values['accuracy_coverage_area']:.3f}."
    if "interval_coverage" in values:
        coverage = metric_texts.with_interval(values["interval_coverage"], ends.get("interval_coverage"), "accuracy")
        width = metric_texts.value(values["interval_width"], results.primary)
        yield (
            f"prediction intervals are {width} wide on average and hold the true number of {coverage} of the {noun}s;"
            f" predict.coverage is {settings['coverage']:g}."
        )
    elif results.scored.verdicts[model].intervals is not None:
        yield (
            f"there are too few held-out rows for intervals: predict.coverage {settings['coverage']:g} needs"
            f" {conformal_interval.rows_needed(settings['coverage'])}."
        )
    if "accepted_accuracy" in values:
        accuracy = metric_texts.with_interval(values["accepted_accuracy"], ends.get("accepted_accuracy"), "accuracy")
        yield f"predict accepts {values['accepted']:.1%} of the {noun}s, {accuracy} of them right; {target}."
    elif "accepted" in values:
        yield f"predict accepts no {noun}, as no confidence is high enough; {target}."
    if "set_size" in values:
        coverage = metric_texts.with_interval(values["set_coverage"], ends.get("set_coverage"), "accuracy")
        yield (
            f"prediction sets have {values['set_size']:.2f} labels on average and hold the true one of {coverage} of"
            f" the {noun}s; predict.coverage is {settings['coverage']:g}. {values['empty_sets']:.1%} are empty."
        )
    none, none_ends = (results.metrics.get(f"{model}_unknown{kind}", {}) for kind in ("", "_ci95"))
    share = {metric: metric_texts.with_interval(value, none_ends.get(metric), metric) for metric, value in none.items()}
    if "precision" in none:
        yield (
            f"none of these: {share['recall']} of the {noun}s of the class prepare.unknown are not accepted, and"
            f" {share['precision']} of all {noun}s that are not accepted are of that class."
        )
    if "accepted_accuracy" in none:
        yield f"{share['accepted_accuracy']} of all accepted rows are right, where rows of that class count as wrong."
    if "unfamiliar" in values:
        yield (
            f"{values['unfamiliar']:.1%} of the {noun}s are more unfamiliar than {sure_rows.STRANGE}% of the training"
            f" rows; {1 - sure_rows.STRANGE / 100:.0%} would be usual."
        )
