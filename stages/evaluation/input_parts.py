"""Inputs with parts that can be left out: the words of a text, the regions of a picture.

The parts lie on a grid: the words of a text side by side in one row, the cells of a picture in 5 rows and columns. A
rectangle of the grid is a phrase or a region.
"""

import io
import re
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stages.tables import images, prepared

# Thai, Lao, Burmese and Khmer, kana and Han are written without spaces: a character, with its marks, is a part.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
MARKS = (  # vowels and tones above, below or behind a letter
    "\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b6-\u17d3\u3099\u309a"
)
WORD = re.compile(rf"\s*(?:[{UNSPACED}][{MARKS}]*|[^\s{UNSPACED}]+)")
GRID = 5  # rows and columns of a picture's grid: all 25 cells are told apart, so their shares can be compared


class Part(NamedTuple):
    """A rectangle of the grid: rows from `top` to below `bottom`, columns from `left` to below `right`."""

    top: int
    left: int
    bottom: int
    right: int

    def halves(self) -> "tuple[Part, Part] | None":
        """Divide at the middle of the longer side; None for a single cell."""
        height, width = self.bottom - self.top, self.right - self.left
        if max(height, width) < 2:
            return None
        if width >= height:
            middle = self.left + width // 2
            return self._replace(right=middle), self._replace(left=middle)
        middle = self.top + height // 2
        return self._replace(bottom=middle), self._replace(top=middle)


class Text:
    """A text, or a pair of texts, as a row of words; a word includes the spaces before it and its punctuation."""

    def __init__(self, content: str | prepared.Pair) -> None:
        self._texts = [_words(text) for text in ((content,) if isinstance(content, str) else content)]
        self.whole = Part(0, 0, 1, sum(map(len, self._texts)))

    def without(self, part: Part) -> str | prepared.Pair:
        """Return the content without the words of `part`; without all words it is empty."""
        kept = [
            "".join(word for index, word in words if not part.left <= index < part.right) for words in self._numbered()
        ]
        return (kept[0], kept[1]) if len(kept) == 2 else kept[0]

    def describe(self, part: Part) -> dict[str, Any]:
        """Return the words; those of all parts in order are the text, or both texts with a line break between them."""
        inside = [
            "".join(word for index, word in words if part.left <= index < part.right) for words in self._numbered()
        ]
        starts_second = len(self._texts) == 2 and part.left <= len(self._texts[0]) < part.right
        return {"words": ("\n" if starts_second else "").join(inside)}

    def _numbered(self) -> list[list[tuple[int, str]]]:
        """Return the words of every text with their columns of the grid."""
        second = len(self._texts[0])
        return [list(enumerate(words, start)) for start, words in zip((0, second), self._texts, strict=False)]


def _words(text: str) -> list[str]:
    ends = [match.end() for match in WORD.finditer(text)] or [len(text)]
    ends[-1] = len(text)  # spaces at the end belong to the last word
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class Picture:
    """A picture as a grid of regions."""

    def __init__(self, content: bytes) -> None:
        self._pixels = np.asarray(images.decode_prepared(content))
        self._mean = self._pixels.mean(axis=(0, 1)).round().astype(np.uint8)
        height, width = self._pixels.shape[:2]
        self.whole = Part(0, 0, min(GRID, height), min(GRID, width))

    def without(self, part: Part) -> bytes:
        """Return the picture, encoded, with a region in the picture's mean colour; without all it is plain."""
        left, top, right, bottom = (round(edge) for edge in self._edges(part))
        pixels = self._pixels.copy()
        pixels[top:bottom, left:right] = self._mean
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "BMP")  # lossless, and written fastest
        return out.getvalue()

    def describe(self, part: Part) -> dict[str, Any]:
        """Return the region's left, top, right and bottom edge as shares of the picture's width and height."""
        height, width = self._pixels.shape[:2]
        left, top, right, bottom = (round(edge) for edge in self._edges(part))
        return {
            "box": [round(left / width, 4), round(top / height, 4), round(right / width, 4), round(bottom / height, 4)]
        }

    def _edges(self, part: Part) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom in pixels."""
        height, width = self._pixels.shape[:2]
        across, down = width / self.whole.right, height / self.whole.bottom
        return part.left * across, part.top * down, part.right * across, part.bottom * down
