"""report.html: what was trained, how good it is and where it is wrong, as one file that needs no network.

The page is `template.html` with `style.css` and `script.js` inside, and all data as JSON, which the script shows as
text and never as HTML: a row that holds a script is shown, not run. The page's own content security policy forbids it
every request.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from stages.evaluation import labels_saved
from stages.evaluation.label_errors import Suspect
from stages.evaluation.near_duplicates import Pair
from stages.evaluation.plots import Points
from stages.evaluation.report import plane
from stages.evaluation.rounded_json import rounded
from stages.heads.model_card import ModelCard
from stages.tables import images, prepared
from stages.tables.features import Features

FILE = "report.html"
MAX_REPORT_ROWS = 10_000  # test rows that the page holds; where there are more, the most confident mistakes come first
MAX_CHARACTERS = 500  # of a text
THUMBNAIL = 96  # pixels of the longer side
THUMBNAIL_BYTES = 8_000_000  # of all thumbnails together
MAX_LISTED = 500  # near-duplicates, and likely label errors of each split
MAX_CONFUSED = 5_000  # cells of a confusion matrix


@dataclass(frozen=True)
class Content:
    """What a report shows."""

    head: ModelCard
    finetuned: ModelCard | None
    train: Features
    test: Features
    truth: np.ndarray  # (test rows,) label indices
    scored: Mapping[str, np.ndarray]  # name of each model to (test rows, labels) probabilities
    metrics: Mapping[str, Any]  # metrics.json
    plots: Mapping[str, Mapping[str, Points]]
    curves: Mapping[str, Points]
    pairs: Sequence[Pair]
    suspects: Mapping[str, Sequence[Suspect]]
    baseline: str  # what it is made of
    settings: Mapping[str, Any]  # sections of params.yaml


def write(path: Path, prepared_folder: Path, content: Content) -> None:
    """Write the report to `path`; the rows themselves come from the prepared table.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    rows = _rows_shown(content)
    pairs = content.pairs[:MAX_LISTED]
    suspects = {split: found[:MAX_LISTED] for split, found in content.suspects.items()}
    trains = {pair.train for pair in pairs} | {each.row for each in suspects["train"]}
    tests = {*rows} | {pair.test for pair in pairs} | {each.row for each in suspects["test"]}
    shown = _Inputs(prepared_folder, content, list(tests), sorted(trains))
    points = plane.project(content.train, content.test)
    data = {
        "labels": content.head.labels,
        "models": list(content.scored),
        "modality": content.head.modality,
        "rows": {
            "input": [shown.test[row] for row in rows],
            "truth": content.truth[rows].tolist(),
            "x": points[rows, 0].tolist(),
            "y": points[rows, 1].tolist(),
            "models": {name: _guesses(P[rows], content.truth[rows]) for name, P in content.scored.items()},
        },
        "test_rows": len(content.truth),
        "confusion": {name: _confusion(content.truth, P) for name, P in content.scored.items()},
        "per_class": {name: each["per_class"] for name, each in content.plots.items()},
        "reliability": {name: each["reliability"] for name, each in content.plots.items()},
        "slices": {name: each["slices"] for name, each in content.plots.items()},
        "curves": content.curves,
        "near_duplicates": [
            {
                "test": shown.test[pair.test],
                "label": content.test.labels[pair.test],
                "train": shown.train[pair.train],
                "train_label": content.train.labels[pair.train],
                "cosine": pair.cosine,
            }
            for pair in pairs
        ],
        "label_errors": [
            {
                "split": split,
                "input": (shown.train if split == "train" else shown.test)[each.row],
                "label": (content.train if split == "train" else content.test).labels[each.row],
                "suggested": content.head.labels[each.suggested],
                "p": each.p_suggested,
            }
            for split, found in suspects.items()
            for each in found
        ],
    }
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    html = environment.get_template("template.html").render(
        style=(folder / "style.css").read_text("utf-8"),
        script=(folder / "script.js").read_text("utf-8"),
        data=_embedded(rounded(data)),
        content=content,
        metrics=content.metrics,
        saved=labels_saved.sentence(content.metrics["labels_saved"]),
        columns=[name for name in content.metrics["head"] if name != "calibration_error_before"],
        listed=len(rows),
    )
    path.write_text(html, "utf-8")


class _Inputs:
    """The inputs of the rows that are shown: texts, or thumbnails as data URLs; null where there were too many."""

    def __init__(self, prepared_folder: Path, content: Content, tests: Sequence[int], trains: Sequence[int]) -> None:
        self._left = THUMBNAIL_BYTES
        modality = content.head.modality
        show = self._thumbnails if modality == "image" else _cut

        def of(split: str, features: Features, rows: Sequence[int]) -> dict[int, str | None]:
            ids = [features.ids[row] for row in rows]
            return dict(zip(rows, prepared.map_by_id(prepared_folder, split, modality, ids, show), strict=True))

        self.train = of("train", content.train, trains)
        self.test = of("test", content.test, tests)

    def _thumbnails(self, contents: Sequence[bytes]) -> list[str | None]:
        return [self._thumbnail(each) for each in contents]

    def _thumbnail(self, content: bytes) -> str | None:
        if self._left <= 0:
            return None
        picture = images.decode(content, side=THUMBNAIL)
        picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=75)
        self._left -= len(out.getvalue())
        return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _cut(texts: Sequence[str]) -> list[str | None]:
    return [text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…" for text in texts]


def _rows_shown(content: Content) -> list[int]:
    """Test rows of the page: the most confident mistakes of the best model first, then the others in their order."""
    P = content.scored.get("finetuned", content.scored["head"])
    confidence, wrong = P.max(axis=1), P.argmax(axis=1) != content.truth
    order = np.lexsort((np.arange(len(P)), np.where(wrong, -confidence, 0), ~wrong))
    return [int(row) for row in order[:MAX_REPORT_ROWS]]


def _guesses(P: np.ndarray, truth: np.ndarray) -> dict[str, list[Any]]:
    """What a model says of each row: the label, how sure it is, and the probability of the true label."""
    each = np.arange(len(P))
    guess = P.argmax(axis=1)
    return {"guess": guess.tolist(), "confidence": P[each, guess].tolist(), "p_true": P[each, truth].tolist()}


def _confusion(truth: np.ndarray, P: np.ndarray) -> list[tuple[int, int, int]]:
    """(actual, predicted, rows) of each cell that has rows, the fullest first."""
    labels = P.shape[1]
    cells, counts = np.unique(truth * labels + P.argmax(axis=1), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MAX_CONFUSED]
    return [(int(cells[k] // labels), int(cells[k] % labels), int(counts[k])) for k in order]


def _embedded(data: object) -> str:
    """JSON that ends no script element and opens none, whatever its strings hold."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
