"""Which split prepare will give an unlabelled row once it has a label: that of its group, or of its hash.

The split does not depend on the label. So rows that would train may be suggested by any rule, and what is validated and
tested stays a fair sample of all rows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa

from stages.common.prepare_params import PrepareParams
from stages.tables import labels_file, prepared
from stages.tables.prepared import SPLITS
from stages.tables.splitting import Shares

# Hashes would have put few rows of a split that the data gives there, and nearly all of one that they cut; the others
# stand in for classes that would lack rows.
MAX_STRANGERS = 0.25


class FutureSplits:
    """Tells splits, as the prepared tables and the settings have them."""

    def __init__(self, prepared_folder: Path, settings: PrepareParams) -> None:
        """Read ids, labels and groups of the labelled rows, and the splits in the file `prepare.labels`.

        Raises:
            HeadstartError: a table is missing or damaged, or the file cannot be read.
        """
        self._folder = prepared_folder
        self.labelled = {split: prepared.identities(prepared_folder, split) for split in SPLITS}
        self._bound = _bound_splits(settings.labels)
        shares = Shares(settings.validation, settings.test, settings.seed)
        self.given: tuple[str, ...] = ()  # splits of which the data gives the rows: hashes add none to them
        for split in ("test", "validation"):  # whose part of the hashes begins where that of the test ends
            if _is_given(self.labelled[split], split, shares, self._bound):
                self.given += (split,)
                shares = replace(shares, test=0) if split == "test" else replace(shares, validation=0)
        self._shares = shares
        self._groups = {  # that are judged on, maybe in place of others that a class lacks
            group: split for split in SPLITS[1:] for group in self.labelled[split]["group"].to_pylist() if group
        }

    def share(self, split: str) -> float:
        """Return the share of new rows that `split`, validation or test, gets."""
        return float(getattr(self._shares, split))

    def unlabelled(self) -> dict[str, str]:
        """Name the split of every unlabelled row by its id, in the order of their table."""
        rows = prepared.identities(self._folder, prepared.UNLABELLED)
        groups = self._groups | self._bound_groups([*self.labelled.values(), rows])
        pairs = zip(rows["id"].to_pylist(), rows["group"].to_pylist(), strict=True)
        return {row_id: groups.get(group) or self._shares.natural(group or row_id) for row_id, group in pairs}

    def _bound_groups(self, tables: list[pa.Table]) -> dict[str, str]:
        """Return the splits of groups of which the file of labels binds a row."""
        bound = self._bound
        pairs = chain.from_iterable(
            zip(rows["id"].to_pylist(), rows["group"].to_pylist(), strict=True) for rows in tables if bound
        )
        return {group: bound[row_id] for row_id, group in pairs if group and row_id in bound}


def _bound_splits(labels: str | None) -> dict[str, str]:
    """Read the splits that the file of labels binds rows to, by id; they may be of an earlier seed or share."""
    if labels is None or not Path(labels).exists():
        return {}
    return {row_id: label.split for row_id, label in labels_file.read(Path(labels)).by_id.items() if label.split}


def _is_given(rows: pa.Table, split: str, shares: Shares, bound: Mapping[str, str]) -> bool:
    """Tell whether the data gives the rows of a split, which neither hashes nor the file of labels would put there."""
    columns = [rows[name].to_pylist() for name in ("id", "label", "group")]
    bound_units = {group or row_id for row_id, _, group in zip(*columns, strict=True) if row_id in bound}
    units = {group or row_id: label for row_id, label, group in zip(*columns, strict=True)}
    units = {key: label for key, label in units.items() if key not in bound_units}
    sizes = Counter(units.values())
    several = [key for key, label in units.items() if sizes[label] > 1]  # a class's only row may stand in
    strangers = sum(shares.natural(key) != split for key in several)
    return strangers > MAX_STRANGERS * len(several)
