"""The training rows that are nearest to a new one, where the tables of the model's training are at hand."""

from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError
from stages.evaluation.report import inputs
from stages.heads import model_card
from stages.heads.model_card import ModelCard
from stages.scores import nearest_rows
from stages.tables import features, prepared
from stages.tables.features import Matrix

NEIGHBOURS = 5
SPLIT = "train"


class TrainingRows:
    """The training rows of a head."""

    def __init__(self, card: ModelCard, features_folder: Path, prepared_folder: Path) -> None:
        """Read their vectors.

        Raises:
            HeadstartError: the model is no head, or a table is missing, damaged, or not that of the model.
        """
        if card.method != "head":
            raise HeadstartError("the model is fine-tuned, and the vectors of the training rows are those of before")
        metadata = features.read_metadata(features_folder / SPLIT)
        model_card.check_features(card, metadata, head_folder=Path("the head"), features_folder=features_folder)
        prepared.read_info(prepared_folder)
        self._card, self._prepared_folder = card, prepared_folder
        self._rows = features.read(features_folder, SPLIT)
        self._unit: Matrix = nearest_rows.unit(self._rows.X)

    def nearest(self, vectors: Matrix) -> list[dict[str, Any]]:
        """Describe the rows that are nearest to a row, the nearest first; `vectors`: (1, dim).

        Raises:
            HeadstartError: the prepared table was made again meanwhile.
        """
        rows, cosines = nearest_rows.find(self._unit, vectors, NEIGHBOURS)
        ids = [(SPLIT, self._rows.ids[row]) for row in rows[0]]
        shown = inputs.read(self._prepared_folder, self._card.modality, ids)
        return [
            {
                "input": shown[key].input,
                "source": shown[key].source,
                "label": str(self._rows.labels[row]),
                "similarity": round(float(cosine), 4),
            }
            for key, row, cosine in zip(ids, rows[0], cosines[0], strict=True)
        ]
