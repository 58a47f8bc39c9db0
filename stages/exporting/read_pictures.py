"""The part of run.py that decodes pictures, given as paths or bytes, and makes them as large as the model needs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps


class Reader:
    def __init__(self, folder: Path, how: dict[str, Any]) -> None:
        self.how = how

    def rows(self, inputs: list[Any]) -> list[Any]:
        return [content if isinstance(content, bytes) else str(content) for content in inputs]

    def batch(self, rows: list[Any]) -> dict[str, np.ndarray]:
        return {"pixels": np.stack([self.pixels(row) for row in rows])}

    def pixels(self, content: str | bytes) -> np.ndarray:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content) if isinstance(content, bytes) else content))
        if picture.mode.startswith("I"):  # 16 bits
            picture = Image.fromarray(np.round(np.asarray(picture) / 257).astype(np.uint8))
        if picture.mode.upper() in ("RGBA", "LA", "PA") or "transparency" in picture.info:  # laid on white
            paper = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(paper, picture.convert("RGBA"))
        picture = picture.convert("RGB")
        picture.thumbnail((self.how["max_side"],) * 2, Image.Resampling.LANCZOS, reducing_gap=None)
        size = self.how["size"] or [int(side * self.how["shortest"] / min(picture.size)) for side in picture.size]
        first = (size[0], picture.height) if self.how["by_torch"] else size  # torch resizes rows before columns
        picture = picture.resize(first, self.how["resample"]).resize(size, self.how["resample"])
        spare = [side - kept for side, kept in zip(size, self.how["crop"], strict=True)]
        left, top = (int(side / 2) if side < 0 or self.how["by_torch"] else round(side / 2) for side in spare)
        return np.asarray(picture.crop((left, top, left + self.how["crop"][0], top + self.how["crop"][1])))
