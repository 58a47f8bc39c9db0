"""The lines that `evaluate` prints: how good, how sure, was transfer worth it, what to do next."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common.errors import listed
from stages.evaluation import labels_saved
from stages.evaluation.learning_curve import BASELINES
from stages.evaluation.metrics_json import PAIRS
from stages.evaluation.results import Results


def lines(results: Results, report: Path) -> Iterator[str]:
    """Put the metrics into words; `report` is the path of the report."""
    metrics, models = results.metrics, list(results.scored.probabilities)
    baseline = BASELINES[results.cards["head"].modality]
    yield f"how good: {'; '.join(_quality(model, metrics[model], baseline) for model in models)}"
    yield f"how sure: {_certainty(metrics, models)}"
    if untested := _untested(results):
        yield f"how sure: {untested}"
    for name, other in PAIRS:
        if f"{name}_minus_{other}" in metrics:
            yield f"worth it: {_difference(name, other, metrics)}"
    if saved := labels_saved.sentence(metrics["labels_saved"]):
        yield f"worth it: {saved}"
    yield f"next: {_advice(metrics, report)}"


def _quality(model: str, values: Mapping[str, float], baseline: str) -> str:
    name = f"baseline ({baseline})" if model == "baseline" else model
    return f"{name} accuracy {values['accuracy']:.3f}, macro F1 {values['macro_f1']:.3f}"


def _certainty(metrics: Mapping[str, Any], models: Sequence[str]) -> str:
    rows = f"{metrics['test_rows']:,} test rows"
    ends = {model: metrics[f"{model}_ci95"]["accuracy"] for model in models if f"{model}_ci95" in metrics}
    if not ends:
        return f"{rows}; set evaluate.bootstrap above 0 for 95 % intervals"
    intervals = ", ".join(f"{model} {_range(end, '.3f')}" for model, end in ends.items())
    return f"{rows}; 95 % intervals of accuracy: {intervals}"


def _untested(results: Results) -> str | None:
    """Say which classes have no test row, or nothing."""
    labels = results.scored.labels
    tested = set(results.scored.truth.tolist())
    missing = [label for index, label in enumerate(labels) if index not in tested]
    if not missing:
        return None
    has, it = ("has", "it") if len(missing) == 1 else ("have", "them")
    return (
        f"{len(missing):,} of {len(labels):,} classes {has} no test row, and none of these numbers is of {it}:"
        f" {listed(missing)}"
    )


def _difference(name: str, other: str, metrics: Mapping[str, Any]) -> str:
    pair = f"{name}_minus_{other}"
    text = f"{name} - {other}: accuracy {metrics[pair]['accuracy']:+.3f}"
    verdict = ""
    if f"{pair}_ci95" in metrics:
        ends = metrics[f"{pair}_ci95"]["accuracy"]
        text += f" (95 % interval {_range(ends, '+.3f')})"
        verdict = ": better" if ends["low"] > 0 else ": worse" if ends["high"] < 0 else ": no clear difference"
    return f"{text}, p = {metrics[pair]['p_value']:.2g}{verdict}"


def _advice(metrics: Mapping[str, Any], report: Path) -> str:
    suspects, pairs = metrics["label_errors"], metrics["near_duplicates"]["test_rows"]
    checks = []
    if suspects["train"] or suspects["test"]:
        checks.append(f"likely label errors ({suspects['train']:,} in train, {suspects['test']:,} in test)")
    if pairs:
        checks.append(f"near-duplicates ({pairs:,} in test)")
    return f"check {' and '.join(checks)} in {report}" if checks else f"look at the mistakes in {report}"


def _range(ends: Mapping[str, float], form: str) -> str:
    return f"{ends['low']:{form}} to {ends['high']:{form}}"
