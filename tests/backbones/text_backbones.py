"""Text backbones to test: settings and texts."""

import functools
from typing import Any

from stages import backbones
from stages.backbones import hub
from stages.common.params import ExtractParams, RuntimeParams
from tests.projects import MINILM

TEXTS = ["i love this product", "this is terrible", "awful", "the best movie is a great good bad product i hate"]


REVISION = next(revision for name, revision in hub.PACKAGED if name == MINILM)


CPU = RuntimeParams(device="cpu")


load = functools.partial(backbones.load, modality="text")


def settings(**changes: Any) -> ExtractParams:
    return ExtractParams(**{"max_length": 32, **changes})
