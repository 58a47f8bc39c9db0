"""report.html: what was trained, how good it is and where it is wrong, in one file that works offline.

The page is `template.html` with `style.css`, `script.js` and all data as JSON inside. The script shows data as text and
never as HTML, so a row that holds a script is shown and not run. The page's content security policy forbids every
request.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from stages.evaluation import advice, labels_saved, verdict
from stages.evaluation.learning_curve import BASELINES
from stages.evaluation.report import inputs, plane, terms
from stages.evaluation.report.inputs import Inputs
from stages.evaluation.results import Results, ScoredRows
from stages.evaluation.rounded_json import rounded
from stages.scores import metrics
from stages.tables import prepared

FILE = "report.html"
MAX_REPORT_ROWS = 10_000  # test rows that the page holds; where there are more, the most confident mistakes come first
MAX_REPORT_PAIRS = 500  # near-duplicates
MAX_REPORT_SUSPECTS = 500  # likely label errors of a split
MAX_REPORT_CELLS = 5_000  # cells of a confusion matrix


def write(path: Path, prepared_folder: Path, results: Results) -> None:
    """Write the report to `path`; the texts and images of rows come from the prepared table.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    rows = _rows_to_show(results.scored)
    html = environment.get_template("template.html").render(
        style=(folder / "style.css").read_text("utf-8"),
        script=(folder / "script.js").read_text("utf-8"),
        data=_embeddable(rounded(_data(prepared_folder, results, rows))),
        head=results.cards["head"],
        finetuned=results.cards.get("finetuned"),
        models=list(results.scored.probabilities),
        terms=terms.TERMS,
        metrics=results.metrics,
        columns=[name for name in results.metrics["head"] if name != "calibration_error_before"],
        baseline=BASELINES[results.cards["head"].modality],
        verdict=[line.partition(": ") for line in verdict.lines(results)],
        is_near_chance=results.is_near_chance,
        curve=_curve_in_words(results),
        saved=labels_saved.sentence(results.metrics["labels_saved"]),
        settings=results.settings,
        shown=len(rows),
    )
    path.write_text(html, "utf-8", newline="\n")


def _rows_to_show(scored: ScoredRows) -> np.ndarray:
    """Choose the test rows of the page: the best model's most confident mistakes first, then the others in order."""
    P = scored.probabilities.get("finetuned", scored.probabilities["head"])
    confidence, wrong = P.max(axis=1), P.argmax(axis=1) != scored.truth
    order = np.lexsort((np.arange(len(P)), np.where(wrong, -confidence, 0), ~wrong))
    return order[:MAX_REPORT_ROWS]


def _data(prepared_folder: Path, results: Results, rows: np.ndarray) -> dict[str, Any]:
    """Collect what script.js draws; `rows` are the indices of the test rows to show."""
    scored, card = results.scored, results.cards["head"]
    pairs = results.pairs.head(MAX_REPORT_PAIRS)
    suspects = results.suspects.groupby("split", sort=False).head(MAX_REPORT_SUSPECTS)
    in_train = suspects["split"] == "train"
    ids = {
        "train": [*pairs["train_id"], *suspects["id"][in_train]],
        "test": [*scored.rows.ids[rows], *pairs["id"], *suspects["id"][~in_train]],
    }
    by_id = inputs.read(prepared_folder, card.modality, ids)
    origins = {split: prepared.sources(prepared_folder, split, part) for split, part in ids.items()}
    points = plane.project(results.train, scored.rows)[rows]
    return {
        "labels": scored.labels,
        "terms": terms.TERMS,
        "models": list(scored.probabilities),
        "modality": card.modality,
        "rows": _rows(scored, rows, by_id["test"], points)
        | {"source": [origins["test"][id_] for id_ in scored.rows.ids[rows]]},
        "test_rows": len(scored.truth),
        "coverage": {model: metrics.coverage(scored.truth, P) for model, P in scored.probabilities.items()},
        "confusion": {model: _confusion(scored.truth, P) for model, P in scored.probabilities.items()},
        **{
            name: {model: plots[name] for model, plots in results.plots.items()}
            for name in ("per_class", "reliability", "slices")
        },
        "curves": results.curves,
        "near_duplicates": [_pair(pair, by_id, origins) for pair in pairs.itertuples()],
        "label_errors": [_suspect(suspect, by_id, origins) for suspect in suspects.itertuples()],
    }


def _pair(pair: Any, by_id: Mapping[str, Inputs], origins: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Describe a row of near_duplicates.parquet."""
    return {
        "source": origins["test"][pair.id],
        "train_source": origins["train"][pair.train_id],
        "test": by_id["test"][pair.id],
        "label": pair.label,
        "train": by_id["train"][pair.train_id],
        "train_label": pair.train_label,
        "cosine": pair.cosine,
    }


def _suspect(suspect: Any, by_id: Mapping[str, Inputs], origins: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Describe a row of label_errors.parquet."""
    return {
        "source": origins[suspect.split][suspect.id],
        "split": suspect.split,
        "input": by_id[suspect.split][suspect.id],
        "label": suspect.label,
        "suggested": suspect.suggested,
        "p": suspect.p_suggested,
    }


def _rows(scored: ScoredRows, rows: np.ndarray, by_id: Inputs, points: np.ndarray) -> dict[str, Any]:
    """List input, true label, position on the map, (rows, 2) `points`, and every model's predictions of the rows."""
    truth = scored.truth[rows]
    return {
        "input": [by_id[id_] for id_ in scored.rows.ids[rows]],
        "truth": truth.tolist(),
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "models": {model: _predictions(P[rows], truth) for model, P in scored.probabilities.items()},
    }


def _predictions(P: np.ndarray, truth: np.ndarray) -> dict[str, list[Any]]:
    """List a model's predicted label, its confidence, and its probability of the true label for every row."""
    rows, predicted = np.arange(len(P)), P.argmax(axis=1)
    return {
        "predicted": predicted.tolist(),
        "confidence": P[rows, predicted].tolist(),
        "p_true": P[rows, truth].tolist(),
    }


def _confusion(truth: np.ndarray, P: np.ndarray) -> list[tuple[int, int, int]]:
    """Count the rows of every (actual, predicted) cell that has any, the fullest first."""
    labels = P.shape[1]
    cells, counts = np.unique(truth * labels + P.argmax(axis=1), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MAX_REPORT_CELLS]
    return [(int(cells[k] // labels), int(cells[k] % labels), int(counts[k])) for k in order]


def _curve_in_words(results: Results) -> str:
    """Tell whether more labels would help; empty where the curve has too few points."""
    gain = advice.slope(results)
    if gain is None:
        return ""
    trend = "Still rising" if gain >= advice.MIN_GAIN else "Flat"
    return f"{trend}: twice the labels change the accuracy by about {gain:+.3f}."


def _embeddable(data: object) -> str:
    """Write JSON that cannot open or end a script element, whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
