"""What the page knows of the prepared and the feature tables at one moment, read again after a `dvc repro`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import HeadstartError
from stages.common.prepare_params import PrepareParams
from stages.labelling.inputs import Inputs
from stages.suggestion.future_splits import FutureSplits
from stages.tables import features, prepared, shards
from stages.tables.features import Features

Stamp = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class Vectors:
    """Vectors of labelled and unlabelled rows."""

    labelled: Mapping[str, Features]  # by split
    unlabelled: Features
    row_of: Mapping[str, int]  # of an unlabelled row's id, in `unlabelled`


@dataclass(frozen=True)
class Snapshot:
    """The unlabelled rows, and what helps to label them."""

    stamp: Stamp
    inputs: Inputs
    row_of: Mapping[str, int]  # of an unlabelled row's id, in its table
    split_of: Mapping[str, str]  # that prepare will give the row
    future: FutureSplits
    vectors: Vectors | None
    no_vectors: str = ""  # why there are none

    def random_order(self) -> list[str]:
        """List the ids of all unlabelled rows in an order that is random, and the same after a restart."""
        return sorted(self.row_of, key=lambda row_id: prepared.uniform(f"label:{row_id}"))

    def classes(self) -> list[str]:
        """List the labels of the tables, sorted."""
        return sorted({label for rows in self.future.labelled.values() for label in rows["label"].to_pylist()})


def stamp(prepared_folder: Path, features_folder: Path) -> Stamp:
    """Tell one state of the tables from another, without reading them."""
    folders = [prepared_folder / prepared.UNLABELLED, features_folder / prepared.UNLABELLED]
    stamps: list[tuple[int, int] | None] = []
    for folder in folders:
        try:
            status = (folder / "part-00000.parquet").stat()
            stamps.append((status.st_mtime_ns, status.st_ino))
        except OSError:
            stamps.append(None)
    return tuple(stamps)


def take(prepared_folder: Path, features_folder: Path, settings: PrepareParams) -> Snapshot:
    """Read the tables.

    Raises:
        HeadstartError: the prepared table is missing or damaged; vectors may be missing.
    """
    now = stamp(prepared_folder, features_folder)
    future = FutureSplits(prepared_folder, settings)
    split_of = future.unlabelled()
    vectors, problem = None, ""
    try:
        vectors = _vectors(features_folder)
    except HeadstartError as error:
        problem = str(error)
    return Snapshot(
        now,
        Inputs(prepared_folder),
        {row_id: row for row, row_id in enumerate(split_of)},
        split_of,
        future,
        vectors,
        problem,
    )


def _vectors(features_folder: Path) -> Vectors:
    """Read the feature table.

    Raises:
        HeadstartError: it is missing or damaged, or has no vectors of unlabelled rows.
    """
    if not shards.count(features_folder / prepared.UNLABELLED):
        raise HeadstartError(
            f"{features_folder / prepared.UNLABELLED} holds no vectors; set extract.unlabelled to true and run"
            " `dvc repro`"
        )
    unlabelled = features.read(features_folder, prepared.UNLABELLED)
    labelled = {split: features.read(features_folder, split) for split in prepared.SPLITS}
    return Vectors(labelled, unlabelled, {row_id: row for row, row_id in enumerate(unlabelled.ids.tolist())})
