"""What is to be said of the raw rows after all of them were read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stages.common.errors import listed
from stages.sources.row import Row

MAX_NAMES = 5  # of skipped files in a sentence


@dataclass
class Notes:
    """Files and folders that are no rows, and images whose names stand for another format."""

    skipped: list[Row] = field(default_factory=list)
    misnamed: int = 0
    example: str = ""

    def without_skipped(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows, and note files and folders that are none."""
        for row in rows:
            if row.skipped:
                self.skipped.append(row)
            else:
                yield row

    def add(self, row: Row) -> None:
        """Note a checked row."""
        if row.other_kind:
            self.misnamed += 1
            self.example = self.example or f"{row.name} ({row.other_kind})"

    def sentences(self) -> Iterator[str]:
        """Put the notes into words."""
        if self.skipped:
            names = listed([row.origin for row in self.skipped], limit=MAX_NAMES)
            things = (
                "file or folder is no row and was"
                if len(self.skipped) == 1
                else "files or folders are no rows and were"
            )
            yield f"{len(self.skipped):,} {things} skipped: {names}"
        if self.misnamed:
            images = "image is" if self.misnamed == 1 else "images are"
            yield (
                f"{self.misnamed:,} {images} of another format than the name says, and read as what it is, such as"
                f" {self.example}"
            )
