"""Explain the most confident mistakes of the shipped model: which words or regions decided against the truth.

Mistakes of a cross-validation are explained by the head that is shipped, which has seen their rows and may be right.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.backbones import fingerprint
from stages.common import package
from stages.common.errors import HeadstartError
from stages.evaluation import cached_results, explanations
from stages.evaluation.explanations import Scores
from stages.evaluation.results import ScoredRows
from stages.heads import model_card
from stages.heads.model_card import ModelCard
from stages.tables import prepared
from stages.tables.features import Features
from stages.tasks.single import Single

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("numpy", "scikit-learn", "scipy", "torch", "torchvision", "transformers")


def table(
    prepared_folder: Path,
    scored: ScoredRows,
    folder: Path,
    *,
    card: ModelCard,
    limit: int,
    load: Callable[[], Scores],
) -> "pd.DataFrame":
    """Explain the most confident mistakes, from the cache where the model and the rows are the same.

    Mistakes of several labels per row, and errors of numbers, are not explained: they have no one label that speaks
    against another.

    Where the backbone's weights are missing, which a head does not need to be judged, a printed line says that nothing
    is explained.

    Args:
        folder: of the model that is shipped; its files are part of the cache's key.
        card: its model.json, or that of the head that it was fine-tuned from.
        limit: the most mistakes that are explained.
        load: returns the model's scores; called only where there is something to compute.

    Returns:
        Columns model, id, label, predicted and explanation (see `explanations.explain`), the most confident first.
    """
    import pandas as pd

    model = scored.shipped
    rows = scored.mistakes(model)[: limit if isinstance(scored.task, Single) else 0]
    truth = scored.truth[rows]
    predicted = scored.task.decisions(scored.probabilities[model][rows]) if len(rows) else truth
    ids = scored.rows.ids[rows].tolist()

    def compute() -> cached_results.Arrays:
        scores, task = load(), scored.task
        assert isinstance(task, Single)
        inputs = _inputs(prepared_folder, scored.rows.select(rows), card)
        texts = explanations.explain(
            inputs,
            lambda altered: task.class_scores(scores(altered)),
            card.modality,
            predicted.tolist(),
            truth.tolist(),
        )
        return {"explanations": np.array(texts, dtype=np.str_)}

    explained = []
    try:
        if ids:
            key = _key(folder, list(zip(ids, predicted.tolist(), truth.tolist(), strict=True)))
            explained = cached_results.stored(key, compute)["explanations"].tolist()
    except HeadstartError as error:
        print(f"evaluate: mistakes are not explained: {error}")
        ids, rows, predicted, truth = [], rows[:0], predicted[:0], truth[:0]
    names = np.array(scored.labels, dtype=object)
    labels = (names[truth], names[predicted]) if ids else ([], [])
    columns = {"id": ids, "label": labels[0], "predicted": labels[1], "explanation": explained}
    return pd.DataFrame({"model": [model] * len(ids), **columns}, dtype=object)


def _inputs(prepared_folder: Path, rows: Features, card: ModelCard) -> list[Any]:
    """Read the inputs of rows in their order."""
    inputs: dict[str, Any] = {}
    for split, part in rows.by_split("test").items():
        ids = part.ids.tolist()
        contents = prepared.map_by_id(prepared_folder, split, card.modality, ids, list, combine=card.extract.combine)
        inputs |= zip(ids, contents, strict=True)
    return [inputs[row_id] for row_id in rows.ids]


def _key(folder: Path, rows: list[tuple[str, int, int]]) -> str:
    """Hash the model's files, the rows with their predicted and true labels, libraries and the code of the package."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return fingerprint.from_parts(
        rows=rows,
        versions=model_card.versions(*PACKAGES),
        code=package.digest(),
        files={path.relative_to(folder).as_posix(): fingerprint.from_file(path) for path in paths},
    )[:32]
