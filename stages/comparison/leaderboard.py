"""Rank backbones by cross-validated accuracy, and name the cheapest that is within noise of the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.comparison.markdown import escaped
from stages.scores import metric_texts, proportions

RULE = (
    "The cheapest of those whose accuracy does not differ from the best one's (McNemar's p at least 0.05): the fewest"
    " megabytes, then the fewest dimensions."
)
NOTES = {"is_best": "best", "is_cheapest": "cheapest within noise of the best"}
SIGNIFICANT = 0.05
DECIMALS = 6
HEADER = ("backbone", "accuracy", "behind the best", "p", "LogME", "rows/s", "MB", "dimensions", "note")


@dataclass(frozen=True)
class Candidate:
    """A backbone that was measured on the training rows."""

    name: str  # as tables show it
    right: np.ndarray  # (rows,) bool: out-of-fold predictions of its head
    C: float  # of the head
    logme: float
    rows_per_second: float
    size_bytes: int
    dim: int


def rank(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Compare candidates, at least one, on the same rows.

    Returns:
        A mapping for every candidate, the most accurate first: accuracy and how far it is behind the best one, with
        95 % intervals and McNemar's p-value; `is_best`, `is_within_noise` and `is_cheapest` (see `RULE`) are true or
        false. Equal accuracies are in the order of their costs.
    """
    ordered = sorted(candidates, key=lambda candidate: (-int(candidate.right.sum()), *_cost(candidate)))
    best = ordered[0]
    entries = [_entry(candidate, best) for candidate in ordered]
    within = [pair for pair in zip(ordered, entries, strict=True) if pair[1]["is_within_noise"]]
    cheapest = min(within, key=lambda pair: _cost(pair[0]))[1]
    return [
        {**entry, "is_best": entry is entries[0], "is_cheapest": entry is cheapest, **_costs(candidate)}
        for candidate, entry in zip(ordered, entries, strict=True)
    ]


def cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Write an entry of `rank` as the cells under `HEADER`."""
    difference = p_value = ""
    if not entry["is_best"]:
        difference = metric_texts.with_interval(entry["behind_best"], entry["behind_best_ci95"], "accuracy")
        p_value = f"{entry['p_value']:.2g}"
    return (
        entry["backbone"],
        metric_texts.with_interval(entry["accuracy"], entry["accuracy_ci95"], "accuracy"),
        difference,
        p_value,
        f"{entry['logme']:.3f}",
        f"{entry['rows_per_second']:,.0f}",
        f"{entry['megabytes']:,.2f}",
        f"{entry['dimensions']:,}",
        ", ".join(note for key, note in NOTES.items() if entry[key]),
    )


def failed_cells(name: str, reason: str) -> tuple[str, ...]:
    """Write a backbone that could not be measured as the cells under `HEADER`."""
    return (name, *[""] * (len(HEADER) - 2), f"failed: {reason}")


def choice(entries: Sequence[Mapping[str, Any]]) -> str:
    """Say in one sentence which backbone is the best and which the cheapest within noise of it."""
    best, cheapest = (next(entry for entry in entries if entry[key]) for key in ("is_best", "is_cheapest"))
    if best is cheapest:
        return f"best and cheapest within noise of the best: {best['backbone']}"
    return (
        f"best: {best['backbone']}; cheapest within noise of it: {cheapest['backbone']}"
        f" ({cheapest['megabytes']:,.2f} instead of {best['megabytes']:,.2f} MB)"
    )


def markdown_cells(row: Sequence[str]) -> list[str]:
    """Escape the cells of a row for Markdown."""
    return [escaped(cell) for cell in row]


def _entry(candidate: Candidate, best: Candidate) -> dict[str, Any]:
    """Compute accuracy and distance to the best, with intervals that hold for few rows."""
    hits, rows = int(candidate.right.sum()), len(candidate.right)
    wins, losses = proportions.wins_and_losses(best.right, candidate.right)
    p_value = proportions.mcnemar(wins, losses)
    behind = (0.0, 0.0) if candidate is best else proportions.difference_interval(wins, losses, rows)
    return {
        "backbone": candidate.name,
        "accuracy": _rounded(hits / rows),
        "accuracy_ci95": _ends(*proportions.interval(hits, rows)),
        "behind_best": _rounded((wins - losses) / rows),
        "behind_best_ci95": _ends(*behind),
        "p_value": float(f"{p_value:.4g}"),
        "is_within_noise": p_value >= SIGNIFICANT,
    }


def _costs(candidate: Candidate) -> dict[str, Any]:
    return {
        "logme": _rounded(candidate.logme),
        "rows_per_second": candidate.rows_per_second,
        "megabytes": round(candidate.size_bytes / 1e6, 3),
        "dimensions": candidate.dim,
        "C": candidate.C,
    }


def _cost(candidate: Candidate) -> tuple[int, int]:
    """Order by cost. Not by seconds, which differ from run to run and would change the choice."""
    return candidate.size_bytes, candidate.dim


def _ends(low: float, high: float) -> dict[str, float]:
    return {"low": _rounded(low), "high": _rounded(high)}


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)
