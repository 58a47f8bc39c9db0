"""Export: write a trained model as a folder that runs without Headstart, torch and scikit-learn.

    python -m stages.export data/head OUT
    python -m stages.export data/finetuned OUT

OUT holds model.onnx (one graph from tokens, pixels or counts of words to calibrated probabilities), tokenizer.json or
vocabulary.json for texts, model.json (labels, and how inputs are read), README.md (what it was trained on, how good it
is, its limits) and run.py, a short runner that needs only onnxruntime, numpy, and tokenizers or Pillow:

    python OUT/run.py "a text"

The export is checked by its own run.py on 100 prepared rows: a probability that differs by more than 1e-4 from that of
predict is an error, and nothing is written. With --float16 the file is half as large. With --int8 it is a quarter, and
is written only if it is as good on the test rows: by McNemar's test, and within the gate's tolerances in params.yaml.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages import backbones
from stages.common import atomic, cli, params, predict_params, run_stats, targets
from stages.common.errors import HeadstartError, counted
from stages.common.gate_params import GateParams
from stages.common.params import BackboneParams, RuntimeParams
from stages.common.predict_params import PredictParams
from stages.exporting import card as cards
from stages.exporting import checking, runner_file
from stages.extraction import rows
from stages.finetuning import trained_model
from stages.heads import certainty_file, layers, loading, model_card
from stages.heads.layers import Layers
from stages.heads.model_card import ModelCard
from stages.tables import features, images
from stages.tables.label_info import check_task

Precision = Literal["float32", "float16", "int8"]
INT8: Precision = "int8"
MODEL = "model.onnx"
WHOLE = ".whole.onnx"  # the graph without any rounding, until the export is checked
MAX_BYTES = 2**31 - 2**20  # of a file in ONNX's format
CPU = RuntimeParams(device="cpu")
CONTENT = targets.Content(
    "export",
    {
        cards.FILE: cards.is_own,
        **dict.fromkeys((MODEL, runner_file.FILE, cards.README, "tokenizer.json", "vocabulary.json")),
        "__pycache__/*": None,  # of somebody who imported run.py
    },
)


@dataclass(frozen=True)
class _Model:
    """A trained model, loaded: `backbone` is a member of `backbones`, the trained one where it was fine-tuned."""

    card: ModelCard
    spec: BackboneParams
    layers: Layers
    backbone: Any

    def write(self, out: Path, precision: Precision, metrics: Mapping[str, Any], thresholds: Mapping[str, Any]) -> None:
        """Write all files, and beside the graph one that rounds nothing, to be checked.

        Args:
            thresholds: for model.json; see `card.limits`.
            metrics: for the README; see `card.write_readme`.
        """
        reading = self._write_graph(out, precision)
        runner_file.write(out, reading["kind"])
        cards.write_json(out, self.card, reading, thresholds, precision=precision)
        licence = cards.licence(self._files())
        cards.write_readme(out, self.card, reading, precision=precision, metrics=metrics, licence=licence)

    def _write_graph(self, out: Path, precision: Precision) -> dict[str, Any]:
        """Write both graphs and the other files that run.py reads; return how it reads inputs."""
        from stages.exporting import endings, graph, inputs, sizes  # not at the top: they import torch

        if self.backbone.size_bytes + sum(weight.size * 4 for weight, _ in self.layers) > MAX_BYTES:
            raise HeadstartError(f"{self.spec.name} has 2 GB of weights or more, too many for ONNX; use another model")
        taken = inputs.from_backbone(self.backbone, self.spec, self.card.max_side)
        is_rounded = self.card.method == "head" and not self.backbone.is_sparse
        whole = graph.Graph(
            taken.body,
            taken.vectors,
            self.layers,
            names=list(taken.example),
            dtype=self.card.extract.dtype if is_rounded else "float32",
            ending=endings.from_task(self.card.as_task()),
        )
        proto = graph.trace(whole, taken.example, lengths=taken.reading["kind"] == "tokens", name=self.spec.name)
        graph.write(graph.unrounded(proto), out / WHOLE)
        if precision == "float16":
            sizes.halve(proto, self.spec.name)
        graph.write(proto, out / MODEL)
        if precision == INT8:
            sizes.quantize(out / MODEL, self.spec.name)
        taken.write(out)
        return taken.reading

    def _files(self) -> Path | None:
        """Return the folder with the backbone's files, where its licence may be; None if it is not known to be here."""
        if Path(self.spec.name).is_dir():
            return Path(self.spec.name)
        if self.spec.family != "transformers" or self.card.method not in ("head", "lora"):
            return None
        from stages.backbones import hub

        return hub.resolve(self.spec.name, self.spec.revision)[0]

    def own_pixels(self) -> Callable[[bytes], np.ndarray] | None:
        """Return what makes pixels of a picture as predict does; None where there is nothing to compare."""
        if not hasattr(self.backbone, "preprocessing"):
            return None
        return lambda content: np.asarray(self.backbone.preprocessing(images.decode_prepared(content)))


def export(
    *,
    folder: Path,
    target: Path,
    prepared_folder: Path,
    evaluation_folder: Path,
    precision: Precision = "float32",
    gate: GateParams | None = None,
    settings: PredictParams | None = None,
) -> None:
    """Write the model in `folder`, which train_head or finetune wrote, to the folder `target`.

    Args:
        prepared_folder: rows to check the export on.
        evaluation_folder: whose numbers the README quotes, if they are of this model.
        gate: the tolerances for `int8`.
        settings: from where a prediction counts as sure; None: the defaults.

    Raises:
        HeadstartError: `folder` holds no model, or one that cannot be exported; the export computes other
            probabilities; `int8` is not as good; or `target` holds anything but an earlier export.
    """
    _check_installed()
    card = model_card.read_trained(folder)
    check_task(card, "exporting", "single", "multilabel", instead="classify with `python -m stages.predict`")
    targets.check_folder(target, CONTENT, [folder, prepared_folder, evaluation_folder])
    model = _load(folder, card)
    ids, inputs = checking.sample(prepared_folder, card)
    expected = trained_model.load(folder, card, CPU, rows.known_vectors).probabilities(inputs)
    unrounded = expected
    if card.method == "head":
        outputs = loading.load(folder, card, model.backbone.dim)(model.backbone.encode(inputs))
        unrounded = card.as_task().probabilities(outputs)
    metrics = cards.evaluation(evaluation_folder, card, ids, expected)
    thresholds = cards.limits(certainty_file.read(folder).held_out, settings or PredictParams())
    with atomic.directory(target, CONTENT) as out:
        model.write(out, precision, metrics, thresholds)
        whole, shipped = checking.load(out, WHOLE), checking.load(out, MODEL)
        exact = checking.check(whole, inputs, unrounded, model.own_pixels())
        difference = checking.difference(shipped, inputs, expected)
        judged = (
            checking.judge(prepared_folder, card, whole, shipped, gate or GateParams()) if precision == INT8 else ""
        )
        (out / WHOLE).unlink()
    print(
        f"export: {folder} -> {target}, {(target / MODEL).stat().st_size / 1e6:.2f} MB,"
        f" {checking.milliseconds(shipped, inputs):.1f} ms a row on one core, in {run_stats.spent()}"
    )
    print(
        f"export: largest difference from predict on {counted(len(inputs), 'row')}: {difference:.1e}; before anything"
        f" is rounded: {exact:.1e}"
    )
    if judged:
        print(f"export: int8 is as good: {judged}")


def _check_installed() -> None:
    if missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if importlib.util.find_spec(name) is None]:
        raise HeadstartError(f"export needs {missing[0]}, which is not installed; pip install -e '.[export]'")


def _load(folder: Path, card: ModelCard) -> _Model:
    """Load a head with its backbone, or a fine-tuned model, with the network.

    Raises:
        HeadstartError: it has several backbones, or a file is missing or damaged.
    """
    spec = card.backbone
    if isinstance(spec, tuple):
        raise HeadstartError(
            f"{folder} has {len(spec)} backbones, but a graph holds one; set backbone to one and run `dvc repro`"
        )
    classifier = layers.read(folder, card)
    if card.method != "head":
        from stages.finetuning import classifier as trained  # not at the top: it imports torch

        return _Model(card, spec, classifier, trained.load(folder, card, CPU).encoder)
    saved = folder / features.BACKBONE_FOLDER
    backbone = backbones.load(spec, card.extract, CPU, modality=card.modality, saved=saved if saved.exists() else None)
    return _Model(card, spec, classifier, backbone)


def main() -> None:
    default = "(default: %(default)s)"
    args = cli.arguments(
        __doc__,
        model="folder that train_head or finetune wrote",
        out="folder to write",
        options={
            "--float16": {"action": "store_true", "help": "store weights in half the bytes"},
            "--int8": {"action": "store_true", "help": "quantise, if that is as good on the test rows"},
            "--prepared": {"type": Path, "default": Path("data/prepared"), "help": f"rows to check it on {default}"},
            "--evaluation": {"type": Path, "default": Path("data/evaluation"), "help": f"for the README {default}"},
        },
    )
    if args.float16 and args.int8:
        raise HeadstartError("--float16 and --int8 are two ways to make the file smaller; give one of them")
    export(
        folder=args.model,
        target=args.out,
        prepared_folder=args.prepared,
        evaluation_folder=args.evaluation,
        precision=INT8 if args.int8 else "float16" if args.float16 else "float32",
        gate=params.load(args.params).gate if args.int8 else None,
        settings=predict_params.load(args.params),
    )


if __name__ == "__main__":
    cli.run(main)
