"""Several backbones as one: every member's vector is scaled to length 1, then they are joined to one vector."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from stages.backbones import fingerprint
from stages.common.params import ExtractParams
from stages.tables.features import Matrix

if TYPE_CHECKING:
    from stages.backbones import Backbone


class Combined:
    """Joins the vectors of its members, in their order.

    `extract.normalize: false` joins the vectors as they are; otherwise a member with long vectors would outweigh the
    others in every head. Vectors are dense only if those of all members are.

    Attributes:
        counted: index of the member whose tokens are counted: the one that reads the fewest of a text.
    """

    def __init__(self, members: "Sequence[Backbone]", settings: ExtractParams) -> None:
        self.members, self.settings = tuple(members), settings
        self.dim = sum(member.dim for member in members)
        self.is_sparse = any(member.is_sparse for member in members)
        lengths = [member.max_length or np.inf for member in members]
        self.counted = int(np.argmin(lengths))
        self.max_length = members[self.counted].max_length
        self.recipe_sentence = ""  # the members have theirs
        self.fingerprint = fingerprint.from_parts(
            members=[member.fingerprint for member in members], scaled=settings.is_normalized, dtype=settings.dtype
        )

    @property
    def size_bytes(self) -> int:
        return sum(member.size_bytes for member in self.members)

    def encode(self, inputs: Sequence[Any]) -> Matrix:
        """Return the joined vectors of inputs: (inputs, dim) float32."""
        return self.join([member.encode(inputs) for member in self.members])

    def join(self, parts: Sequence[Matrix]) -> Matrix:
        """Join the vectors of the members, (rows, their dim) each: (rows, dim) float32.

        Dense ones are rounded to the stored type first, as those from the row cache are.
        """
        scaled = [self._scaled(part) for part in parts]
        if self.is_sparse:
            return scipy.sparse.hstack(
                [scipy.sparse.csr_matrix(part) for part in scaled], format="csr", dtype=np.float32
            )
        return np.hstack(scaled)

    def save(self, folder: Path) -> None:
        """Let every member write into a folder of its own, named by its position."""
        for position, member in enumerate(self.members):
            member.save(member_folder(folder, position))

    def _scaled(self, X: Matrix) -> Matrix:
        if isinstance(X, np.ndarray):
            with np.errstate(over="ignore"):  # whoever stores the vectors checks that they are finite
                X = X.astype(self.settings.dtype).astype(np.float32)
            if not np.isfinite(X).all():
                return X
        if not self.settings.is_normalized:
            return X

        from sklearn.preprocessing import normalize  # not at the top: extract starts without it

        return normalize(X)


def members(backbone: "Backbone") -> "tuple[Backbone, ...]":
    """Return the members of a backbone; one that has none is its own."""
    return backbone.members if isinstance(backbone, Combined) else (backbone,)


def member_folder(folder: Path, position: int) -> Path:
    """Name the folder that holds the files of a member."""
    return folder / str(position)
