"""Which split prepare will give an unlabelled row once it has a label: that of its group, or of its hash.

The split does not depend on the label. So rows that would train may be suggested by any rule, and what is validated and
tested stays a fair sample of all rows.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from stages.common.params import PrepareParams
from stages.tables import prepared
from stages.tables.prepared import SPLITS
from stages.tables.splitting import Shares

# Hashes would have put few rows of a split that the data gives there, and nearly all of one that they cut; the others
# stand in for classes that would lack rows.
MAX_STRANGERS = 0.25


class FutureSplits:
    """Tells splits, as the prepared tables and the settings have them."""

    def __init__(self, prepared_folder: Path, settings: PrepareParams) -> None:
        """Read ids, labels and groups of the labelled rows."""
        self._folder = prepared_folder
        self.labelled = {split: prepared.identities(prepared_folder, split) for split in SPLITS}
        shares = Shares(settings.validation, settings.test, settings.seed)
        self.given: tuple[str, ...] = ()  # splits of which the data gives the rows: hashes add none to them
        for split in ("test", "validation"):  # whose part of the hashes begins where that of the test ends
            if _is_given(self.labelled[split], split, shares):
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
        pairs = zip(rows["id"].to_pylist(), rows["group"].to_pylist(), strict=True)
        return {row_id: self._groups.get(group) or self._shares.natural(group or row_id) for row_id, group in pairs}


def _is_given(rows: pa.Table, split: str, shares: Shares) -> bool:
    """Tell whether the data gives the rows of a split, which hashes would have put elsewhere."""
    columns = (rows[name].to_pylist() for name in ("id", "label", "group"))
    units = {group or row_id: label for row_id, label, group in zip(*columns, strict=True)}
    sizes = Counter(units.values())
    several = [key for key, label in units.items() if sizes[label] > 1]  # a class's only row may stand in
    strangers = sum(shares.natural(key) != split for key in several)
    return strangers > MAX_STRANGERS * len(several)
