"""The model that is served, and its successor when the folder changes."""

import io
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from stages.backbones import Backbone
from stages.common import predict_params
from stages.common.errors import HeadstartError, one_line
from stages.common.params import Backbones, RuntimeParams
from stages.extraction import rows
from stages.finetuning import trained_model
from stages.finetuning.trained_model import TrainedModel
from stages.heads import certainty_file, model_card
from stages.heads.certainty import Known, Limits, NumberLimits, Verdicts
from stages.heads.model_card import ModelCard
from stages.prediction.own_words import in_own_words
from stages.serving.training_rows import TrainingRows
from stages.tables.features import Matrix

POLL_SECONDS = 1.0  # between looks at the folder; it must stay as it is from one to the next before it is loaded
MIN_LOOKED_UP_ROWS = 64  # of a batch: to open a row cache of 1,000,000 rows takes as long as MiniLM for ten texts
TRIAL_SIDE = 64  # pixels of a picture

Stamp: TypeAlias = "tuple[tuple[str, int, int, int], ...]"


@dataclass(frozen=True)
class ServedModel:
    """A model that has classified a first input."""

    stamp: Stamp
    card: ModelCard
    model: TrainedModel
    known: Known | None  # training rows, by which unfamiliar rows are told
    limits: Limits | NumberLimits | None  # of accepted rows and of sets of labels, or of intervals
    training_rows: TrainingRows | None
    no_training_rows: str  # why there are none

    def verdicts(self, outputs: np.ndarray, unfamiliar: np.ndarray | None) -> Verdicts:
        """Judge rows as `Certainty.verdicts`, by limits that were found when the model was loaded."""
        if self.limits is None:
            return Verdicts(unfamiliar=unfamiliar)
        return self.limits.verdicts(self.model.task, outputs, unfamiliar)


def stamp(folder: Path) -> Stamp:
    """Tell one state of a folder from another without reading its files: path, bytes, time and inode of each."""
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        status = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    except OSError:  # it is being replaced
        return ()
    return tuple((name, file.st_size, file.st_mtime_ns, file.st_ino) for name, file in status)


def load(
    folder: Path, features_folder: Path, prepared_folder: Path, *, params_file: Path, runtime: RuntimeParams
) -> ServedModel:
    """Load the model in `folder`, and try it.

    Args:
        features_folder, prepared_folder: of the training rows, which need not be there.
        params_file: says from where a prediction counts as sure; it need not be there.

    Raises:
        HeadstartError: see `trained_model.load`; or the folder changed meanwhile.
    """
    before, settings = stamp(folder), predict_params.load(params_file)
    card = model_card.read_trained(folder)
    model = trained_model.load(folder, card, runtime, _vectors)
    model.scores([_trial_input(card)])  # loads the network, which is deferred until then
    sure = certainty_file.read(folder)
    limits = sure.limits(model.task, settings)
    if stamp(folder) != before:
        raise HeadstartError(f"{folder} changed while it was read; wait until it is whole")
    training_rows, problem = None, ""
    try:
        training_rows = TrainingRows(card, features_folder, prepared_folder)
    except HeadstartError as error:
        problem = str(error)
    return ServedModel(before, card, model, sure.known, limits, training_rows, problem)


def _vectors(backbone: Backbone, spec: Backbones, runtime: RuntimeParams, inputs: Sequence[Any]) -> Matrix:
    """Return what `rows.known_vectors` does, but look into the row caches for large batches only."""
    looks_up = runtime.row_cache and len(inputs) >= MIN_LOOKED_UP_ROWS
    return rows.known_vectors(backbone, spec, runtime.model_copy(update={"row_cache": looks_up}), inputs)


def _trial_input(card: ModelCard) -> Any:
    if card.modality == "text":
        return "a text" if card.extract.combine == "join" else ("a text", "another")
    out = io.BytesIO()
    Image.new("RGB", (TRIAL_SIDE, TRIAL_SIDE), "grey").save(out, "PNG")
    return out.getvalue()


class ServedModels:
    """The model of now. A new one takes its turn when it is complete; until then, the old one stays."""

    def __init__(self, folder: Path, load: Callable[[], ServedModel], *, observe: Callable[[bool], object]) -> None:
        """Load the model.

        Args:
            folder: of the model.
            load: loads it; raises HeadstartError.
            observe: called after every reload with whether it worked.

        Raises:
            HeadstartError: it cannot be loaded.
        """
        self._folder, self._load, self._observe = folder, load, observe
        self.current = load()
        self.trouble = ""  # why a newer model is not served
        self._seen = self._tried = self.current.stamp

    def start(self) -> None:
        """Look at the folder until this process ends."""
        threading.Thread(target=self._run, name="reloading", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self.step()

    def step(self) -> None:
        """Load the model anew if its folder changed, and stayed so since the last call."""
        before, self._seen = self._seen, stamp(self._folder)
        if self._seen == self.current.stamp:
            self.trouble, self._tried = "", self._seen
        if self._seen in (self._tried, self.current.stamp) or self._seen != before:
            return
        self._tried = self._seen
        try:
            self.current = self._load()
            self.trouble = ""
            print(f"serve: {self._folder} changed, and its new model is served", flush=True)
        except Exception as error:  # the old model stays
            if not isinstance(error, HeadstartError):
                traceback.print_exc(file=sys.stderr)
            self.trouble = f"the old model is served, as the new one cannot be: {in_own_words(one_line(error))}"
            print(f"serve: {self.trouble}", file=sys.stderr, flush=True)
        self._observe(not self.trouble)
