"""Which split prepare will give an unlabelled row once it has a label: that of its group, or of its hash.

The split does not depend on the label. So rows that would train may be suggested by any rule, and what is validated and
tested stays a fair sample of all rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
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
        self.labelled = {split: prepared.identities(prepared_folder, split) for split in SPLITS}
        shares = Shares(settings.validation, settings.test, settings.seed)
        self.given: tuple[str, ...] = ()  # splits of which the data gives the rows: hashes add none to them
        for split in ("test", "validation"):  # whose part of the hashes begins where that of the test ends
            if _is_given(self.labelled[split], split, shares):
                self.given += (split,)
                shares = replace(shares, test=0) if split == "test" else replace(shares, validation=0)
        self._shares = shares
        self._groups = {  # of rows whose split is given: a group does not straddle two splits
            group: split for split in self.given for group in self.labelled[split]["group"].to_pylist() if group
        }

    def share(self, split: str) -> float:
        """Return the share of new rows that `split`, validation or test, gets."""
        return float(getattr(self._shares, split))

    def names(self, ids: Sequence[str], groups: Sequence[str | None]) -> np.ndarray:
        """Name the splits of unlabelled rows: (rows,) str."""
        known, natural = self._groups, self._shares.natural
        pairs = zip(ids, groups, strict=True)
        names = [known.get(group) or natural(group) if group else natural(row_id) for row_id, group in pairs]
        return np.array(names, dtype=object)


def _is_given(rows: pa.Table, split: str, shares: Shares) -> bool:
    """Tell whether the data gives the rows of a split, which hashes would have put elsewhere."""
    columns = (rows[name].to_pylist() for name in ("id", "label", "group"))
    units = {group or row_id: label for row_id, label, group in zip(*columns, strict=True)}
    sizes = Counter(units.values())
    several = [key for key, label in units.items() if sizes[label] > 1]  # a class's only row may stand in
    strangers = sum(shares.natural(key) != split for key in several)
    return strangers > MAX_STRANGERS * len(several)
