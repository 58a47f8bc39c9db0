"""Check an exported folder by its own run.py: does it compute what predict does, and is a smaller one as good?"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.common.errors import HeadstartError, counted
from stages.common.gate_params import GateParams
from stages.comparison import paired
from stages.comparison.predictions import Predictions
from stages.exporting import runner_file
from stages.heads.model_card import ModelCard
from stages.scores import proportions
from stages.tables import prepared

SAMPLE_ROWS = 100
MAX_DIFFERENCE = 1e-4  # of probabilities, and of numbers in units of their standard deviation
MAX_LEVELS = 2.01  # of 255, by which pixels may differ where two libraries round rows and columns otherwise
SIGNIFICANT = 0.05


def sample(prepared_folder: Path, card: ModelCard) -> tuple[list[str], list[Any]]:
    """Return ids and inputs of the rows to check: test rows, then validation and training rows.

    Raises:
        HeadstartError: the prepared rows are missing, are of another modality, or are none.
    """
    ids: list[str] = []
    inputs: list[Any] = []
    if prepared.read_info(prepared_folder).modality == card.modality:
        for split in reversed(prepared.SPLITS):
            for window in prepared.windows(prepared_folder, split, card.modality, combine=card.extract.combine):
                ids += window.ids
                inputs += window.inputs
                if len(ids) >= SAMPLE_ROWS:
                    return ids[:SAMPLE_ROWS], inputs[:SAMPLE_ROWS]
    if not ids:
        raise HeadstartError(
            f"{prepared_folder} holds no {card.modality}s to check the export on; name the rows that the model was"
            " trained on with --prepared"
        )
    return ids, inputs


def load(folder: Path, graph: str) -> Any:
    """Load a graph in an exported folder by its run.py, on one thread."""
    import onnxruntime  # not at the top: it is of the extra `export`

    path = folder / runner_file.FILE
    module = ModuleType("exported")
    module.__file__ = str(path)
    exec(compile(path.read_text("utf-8"), path, "exec"), module.__dict__)  # an import would write bytecode beside it
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    model = module.Model(folder, options)
    model.session = onnxruntime.InferenceSession(str(folder / graph), options)
    return model


def check(
    model: Any,
    inputs: Sequence[Any],
    expected: np.ndarray,
    own_pixels: Callable[[Any], np.ndarray] | None,
    scale: float,
) -> float:
    """Return the largest difference between run.py's probabilities or numbers and those of the model that was exported.

    Args:
        model: what `load` returns, with a graph that rounds nothing.
        expected: (inputs, …), from vectors that are not rounded either.
        own_pixels: makes pixels of a picture as predict does, (3, size, size); None for texts.
        scale: see `difference`.

    Raises:
        HeadstartError: they differ by more than `MAX_DIFFERENCE` on the pixels of predict, or the pixels differ by more
            than two libraries round.
    """
    if own_pixels is None:
        largest = difference(model, inputs, expected, scale)
    else:
        if _levels(model, inputs, own_pixels) > MAX_LEVELS:
            raise HeadstartError(
                "the backbone makes its pixels in another way than by resizing, cropping and normalising, which run.py"
                " cannot; set backbone.name to another model"
            )
        original, model.reader.pixels = model.reader.pixels, lambda content: _bytes(model, own_pixels(content))
        largest = difference(model, inputs, expected, scale)
        model.reader.pixels = original
    if not largest <= MAX_DIFFERENCE:
        raise HeadstartError(
            f"the exported model gives {'probabilities' if model.labels else 'numbers, in units of their deviation,'}"
            f" that differ by {largest:.1e} from those of predict, more than {MAX_DIFFERENCE:g}, so nothing is written;"
            " set backbone.name to another model"
        )
    return largest


def difference(model: Any, inputs: Sequence[Any], expected: np.ndarray, scale: float = 1.0) -> float:
    """Return the largest difference of run.py's probabilities or numbers from others, in units of `scale`.

    Args:
        expected: (inputs, …).
    """
    return float(np.abs(model.probabilities(list(inputs)) - expected).max() / scale)


def _levels(model: Any, inputs: Sequence[Any], own_pixels: Callable[[Any], np.ndarray]) -> float:
    """Return by how much of 255 levels run.py's pixels differ at most from those of predict."""
    return max(
        float(np.abs(model.reader.pixels(content).astype(float) - _unscaled(model, own_pixels(content))).max())
        for content in inputs
    )


def _unscaled(model: Any, pixels: np.ndarray) -> np.ndarray:
    """Return normalised pixels, (3, size, size), as values from 0 to 255: (size, size, 3)."""
    how = model.reader.how
    values: np.ndarray = (pixels.transpose(1, 2, 0) * np.array(how["std"]) + np.array(how["mean"])) / how["scale"]
    return values


def _bytes(model: Any, pixels: np.ndarray) -> np.ndarray:
    return np.round(_unscaled(model, pixels)).clip(0, 255).astype(np.uint8)


def milliseconds(model: Any, inputs: Sequence[Any]) -> float:
    """Return the median time of a row by itself, on one thread."""
    seconds = []
    for content in inputs:
        start = time.perf_counter()
        model.probabilities([content])
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def judge(prepared_folder: Path, card: ModelCard, full: Any, smaller: Any, settings: GateParams) -> str:
    """Compare a smaller model with the whole one on the test rows, as the gate does; return a sentence.

    Raises:
        HeadstartError: there are no test rows, or the smaller one is worse beyond the gate's tolerance, or by McNemar.
    """
    ids: list[str] = []
    truth: list[Any] = []
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    with tqdm(desc="export", unit=" rows", disable=None) as progress:
        for window in _judged(prepared_folder, card):
            ids += window.ids
            truth += window.labels
            parts.append((full.probabilities(window.inputs), smaller.probabilities(window.inputs)))
            progress.update(len(window.ids))
    if not ids:
        raise HeadstartError(
            f"--int8 must be judged, but {prepared_folder} has no test rows; raise prepare.test, or leave out --int8"
        )
    task = card.as_task()
    assert task.has_classes  # export refuses the others
    before, after = (np.vstack(P).astype(np.float64) for P in zip(*parts, strict=True))
    outputs = [task.from_probabilities(P) for P in (before, after)]
    was_right, is_right = (task.is_right(task.targets(truth), part) for part in outputs)
    wins, losses = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    p_value = proportions.mcnemar(wins, losses)
    rows = (np.array(ids, dtype=object), np.array(truth, dtype=object), card.labels)
    whole, small = (Predictions("head", *rows, part, task_name=card.task) for part in outputs)
    comparison = paired.compare(whole, small, settings)
    worse = [
        f"{part.metric} {_shown(part.after)} and not {_shown(part.before)}"
        for part in comparison.differences
        if part.verdict in ("worse", "undefined") or part.under_floor
    ]
    if losses > wins and p_value < SIGNIFICANT:
        worse.append(f"{losses} rows wrong that were right, {wins} the other way, p = {p_value:.2g}")
    if worse:
        raise HeadstartError(
            f"--int8 makes the model worse on {counted(len(ids), 'test row')} ({'; '.join(worse)}), so nothing is"
            " written; leave it out, or use --float16"
        )
    return f"of {counted(len(ids), 'test row')} {wins} won, {losses} lost, p = {p_value:.2g}"


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _judged(prepared_folder: Path, card: ModelCard) -> Iterator[prepared.Window]:
    """Yield the test rows whose labels the model knows."""
    for window in prepared.windows(prepared_folder, "test", card.modality, combine=card.extract.combine):
        known = np.flatnonzero(card.as_task().knows([label or "" for label in window.labels])).tolist()
        if known:
            yield window.select(known)
