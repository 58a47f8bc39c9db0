"""Write model.json, which run.py reads, and README.md, which tells people what the model is, and how good."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.common import json_file
from stages.common.backbone_shorthand import titled
from stages.common.errors import HeadstartError, counted, listed, printable
from stages.common.params import BackboneParams
from stages.common.predict_params import PredictParams
from stages.comparison import stored
from stages.exporting import checking, front_matter
from stages.heads import model_card
from stages.heads.certainty import Certainty, HeldOutNumbers
from stages.heads.model_card import ModelCard
from stages.scores import metric_texts
from stages.tasks.multilabel import Multilabel

FORMAT = "headstart-export"
FILE, README = "model.json", "README.md"
METRICS = (
    *("accuracy", "macro_f1", "balanced_accuracy", "micro_f1", "hamming_loss", "mean_average_precision"),
    *("mean_absolute_error", "root_mean_squared_error", "r2", "quadratic_weighted_kappa", "spearman"),
    *("log_loss", "calibration_error"),
)
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
USAGE = {
    "tokens": ('python run.py "a text" "another"', '["a text", "another"]', "tokenizers"),
    "terms": ('python run.py "a text" "another"', '["a text", "another"]', ""),
    "pixels": ("python run.py photo.jpg", '["photo.jpg"]', "pillow"),
}
SENTENCES = (
    "`from sentence_transformers import SentenceTransformer; SentenceTransformer(FOLDER).encode(TEXTS)` returns the"
    " vectors that the classifier takes: (texts, dimensions)."
)


def limits(certainty: Certainty, settings: PredictParams) -> dict[str, Any]:
    """Return the thresholds of `accepted` and `prediction_set`, None where no row is accepted.

    Of numbers, return how far an interval reaches to both sides, None where it has no end.
    """
    held_out = certainty.held_out
    if isinstance(held_out, HeldOutNumbers):
        half_width = held_out.limits(settings).half_width
        return {"coverage": settings.coverage, "half_width": None if math.isinf(half_width) else half_width}
    if held_out is None:
        return {}
    confidence, probability = held_out.limits(settings)
    return {
        **settings.model_dump(),
        "accepted_from": None if math.isinf(confidence) else confidence,
        "in_prediction_set_from": probability,
    }


def write_json(
    folder: Path, card: ModelCard, reading: Mapping[str, Any], thresholds: Mapping[str, Any], *, precision: str
) -> None:
    """Write model.json: labels, how inputs are read, what `limits` returns, and what the model is."""
    content = {
        "format": FORMAT,
        "labels": card.labels,
        "input": card.input,
        "modality": card.modality,
        "reading": reading,
        **({} if card.task == "single" else {"task": card.task}),
        "decisions": _decisions(card),
        **({"thresholds": thresholds} if thresholds else {}),
        "precision": precision,
        "backbone": {key: _portable(value) for key, value in _backbone(card).model_dump().items()},
        "method": card.method,
        "temperature": card.decisions.temperatures if card.decisions else card.temperature,
        "chosen": {key: value for key, value in card.chosen.items() if key in ("kind", "parameter", "value")},
        "training": card.training,
        "versions": {**card.versions, **model_card.versions("onnx", "onnxruntime", "torch")},
    }
    json_file.write(folder / FILE, content)


def is_own(path: Path) -> bool:
    """Tell whether a file is the model.json of an exported folder."""
    return json_file.mapping(path).get("format") == FORMAT


def write_readme(
    folder: Path,
    card: ModelCard,
    reading: Mapping[str, Any],
    *,
    precision: str,
    metrics: Mapping[str, Any],
    licence: str | None,
    has_sentence_files: bool = False,
) -> None:
    """Write the model card, with a head for the hub.

    Args:
        metrics: those of details.json; empty where no evaluation is of this model.
    """
    command, example, library = USAGE[reading["kind"]]
    packages = " ".join(filter(None, ("onnxruntime", "numpy", library)))
    name = _model(card)
    head = front_matter.written(
        card,
        name=str(_portable(titled(card.backbone))),
        metrics=metrics.get(name, {}),
        ends=metrics.get(f"{name}_ci95", {}),
        licence=licence,
    )
    lines = [
        f"# {_title(card)}",
        "",
        "```sh",
        f"pip install {packages}",
        command,
        "```",
        "",
        f"From Python: `from run import Model; Model(FOLDER).probabilities({example})` returns one row for every input,"
        f" {_columns(card)}.",
        *_several(card),
        *_input(card, reading),
        *(["", SENTENCES] if has_sentence_files else []),
        "",
        "## What it was trained on",
        "",
        *_training(card),
        "",
        "## How good it is",
        "",
        *_quality(card, metrics),
        "",
        "## Limits",
        "",
        *_limits(card, reading, precision),
        "",
        "## Licence",
        "",
        f"The files of the backbone name the licence {licence}." if licence else
        "The files of the backbone name no licence here; look it up where the backbone comes from.",
        "The data that it was trained on may have terms of its own.",
    ]  # fmt: skip
    (folder / README).write_text(head + "\n".join(map(printable, lines)) + "\n", "utf-8", newline="\n")


def _title(card: ModelCard) -> str:
    if not card.labels:
        return f"A model that gives every {card.modality} a number"
    order = ", from low to high" if card.task == "ordinal" else ""
    return f"A classifier of {card.modality}s: {listed(card.labels, 8)}{order}"


def _columns(card: ModelCard) -> str:
    if not card.labels:
        return "of one column, the number"
    return "one column for every label, in the order of `Model(FOLDER).labels`"


def _input(card: ModelCard, reading: Mapping[str, Any]) -> Iterator[str]:
    if reading["pairs"]:
        yield f"An input is a pair of texts, {' and '.join(card.input)}: a tuple, or one text with a tab between."
    elif not isinstance(card.input, str):
        lines = ", ".join(f"`{name}: …`" for name in card.input)
        yield f"A text joins columns, each on a line of its own after its name: {lines}."


def _several(card: ModelCard) -> Iterator[str]:
    if card.decisions is None:
        return
    yield "An input can have several labels. In model.json, `decisions` lists sets of columns, each with a threshold:"
    yield "of every set, the column of the highest probability is given, if that is at least the threshold."
    for labels in card.decisions.exclusive:
        yield f"An input gets exactly one of {listed(labels, 50)}."


def _decisions(card: ModelCard) -> list[tuple[list[int], float]]:
    """List sets of labels with a threshold: of every set the likeliest label is given, if it reaches the threshold.

    There are none of ordered labels, of which the median is given, nor of numbers.
    """
    task = card.as_task()
    if not isinstance(task, Multilabel):
        return [(list(range(len(task.labels))), 0.0)] if card.task == "single" else []
    sets = task.exclusive_indices()
    alone = set(range(len(task.labels))).difference(*sets)
    return [*((labels, 0.0) for labels in sets), *(([label], task.thresholds[label]) for label in sorted(alone))]


def _training(card: ModelCard) -> Iterator[str]:
    how = "a classifier on frozen features" if card.method == "head" else f"fine-tuned ({card.method})"
    yield f"- Backbone: {_portable(titled(card.backbone))}, {how}."
    rows, counts = card.training.get("rows"), card.training.get("per_class")
    if isinstance(rows, int):
        yield f"- {counted(rows, 'training row')}."
    if isinstance(counts, dict):
        yield f"- Rows per class: {listed((f'{label} {count}' for label, count in counts.items()), 50)}."


def _quality(card: ModelCard, metrics: Mapping[str, Any]) -> Iterator[str]:
    name = _model(card)
    if name not in metrics:
        yield "No evaluation of this very model was at hand when it was exported."
        return
    ends = metrics.get(f"{name}_ci95", {})
    yield f"On {counted(metrics['test_rows'], 'test row')} that it was not trained on, with 95 % intervals:"
    yield ""
    yield "| metric | value |"
    yield "|---|---|"
    for metric in METRICS:
        if metric in metrics[name]:
            yield f"| {metric} | {metric_texts.with_interval(metrics[name][metric], ends.get(metric), metric)} |"


def _limits(card: ModelCard, reading: Mapping[str, Any], precision: str) -> Iterator[str]:
    if not card.labels:
        yield "- Every input gets a number, also one that is like no row of training."
    elif card.decisions:
        yield "- Labels other than those of training are never given."
    else:
        yield "- Every input gets one of the labels above, also one that belongs to none of them."
    yield "- The numbers hold for inputs like those of training; others, such as another language, are not covered."
    if reading["kind"] == "tokens":
        yield f"- Of a text, at most {reading['max_length']} tokens are read."
    if reading["kind"] == "pixels":
        width, height = reading["crop"]
        yield f"- Pictures are read at {width} x {height} pixels."
        yield "- `predict` of Headstart stores a picture that it shrinks as JPEG before it is read; run.py does not."
    if precision != "float32":
        yield f"- Its weights are stored as {precision}, which changes probabilities a little."
    if card.labels:
        negation = "not " if (card.validation_temperatures() == 1).all() else ""
        yield f"- Probabilities are {negation}calibrated on validation rows."


def evaluation(
    folder: Path, card: ModelCard, ids: Sequence[str], expected: np.ndarray, scale: float
) -> Mapping[str, Any]:
    """Read the metrics of the evaluation in `folder`; none unless it has this model's own outputs for these rows.

    Args:
        ids: of rows, (rows,).
        expected: the model's outputs for them, (rows, …).
        scale: see `checking.difference`.
    """
    with suppress(HeadstartError, stored.MissingError, OSError, pa.ArrowException, KeyError):
        table = pq.read_table(folder / stored.PREDICTIONS)
        if "fold" in table.column_names:  # of heads that were fitted on parts of the rows
            return {}
        rows = table.filter(pa.compute.equal(table["model"], _model(card)))
        columns = [f"p_{label}" for label in card.labels] or ["predicted"]
        outputs = np.stack([rows[name].to_numpy() for name in columns], axis=1)
        positions = {row_id: position for position, row_id in enumerate(rows["id"].to_pylist())}
        pairs = [(positions[row_id], number) for number, row_id in enumerate(ids) if row_id in positions]
        if pairs:
            evaluated, own = map(list, zip(*pairs, strict=True))
            if np.abs(outputs[evaluated] - expected[own]).max() <= checking.MAX_DIFFERENCE * scale:
                return stored.read_details(folder)
    return {}


def licence(folder: Path | None) -> str | None:
    """Return the licence that a model's README.md names in its head, or its file of the licence in the first line."""
    if folder is None:
        return None
    with suppress(OSError, UnicodeDecodeError):
        text = (folder / "README.md").read_text("utf-8")
        head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
        if head and (named := re.search(r"^licen[sc]e: *['\"]?([\w.+ -]+)", head[1], re.MULTILINE)):
            return named[1].strip()
    for name in LICENCE_FILES:
        with suppress(OSError, UnicodeDecodeError, StopIteration):
            lines = (folder / name).read_text("utf-8").splitlines()
            return next(line.strip() for line in lines if line.strip())
    return None


def _backbone(card: ModelCard) -> BackboneParams:
    assert isinstance(card.backbone, BackboneParams)
    return card.backbone


def _model(card: ModelCard) -> str:
    """Name the model as an evaluation does."""
    return "head" if card.method == "head" else "finetuned"


def _portable(value: Any) -> Any:
    """Return a name without the folders of this machine."""
    if isinstance(value, str) and (PurePath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value
