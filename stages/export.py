"""Export: write a trained model as a folder that runs without Headstart, torch and scikit-learn.

    python -m stages.export data/head OUT
    python -m stages.export data/finetuned OUT

OUT holds model.onnx (one graph from tokens, pixels or counts of words to calibrated probabilities, or to a number),
tokenizer.json or vocabulary.json for texts, model.json (labels, and how inputs are read), README.md (what it was
trained on, how good it is, its limits) and run.py, a short runner that needs only onnxruntime, numpy, and tokenizers or
Pillow:

    python OUT/run.py "a text"

The export is checked by its own run.py on 100 prepared rows: a probability that differs by more than 1e-4 from that of
predict is an error, and nothing is written. With --float16 the file is half as large. With --int8 it is a quarter, and
is written only if it is as good on the test rows: by McNemar's test, and within the gate's tolerances in params.yaml.
--int8 is for classes without an order, one or several per row.

With --sentence-transformers, OUT also holds the text model as sentence-transformers loads it, for its vectors.
With --push hf:OWNER/NAME, OUT is then uploaded to the Hugging Face hub. A new repository is private, unless --public.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages import backbones
from stages.backbones import model_files
from stages.common import atomic, cli, params, predict_params, run_stats, targets
from stages.common.errors import HeadstartError, counted
from stages.common.gate_params import GateParams
from stages.common.params import BackboneParams, RuntimeParams
from stages.common.predict_params import PredictParams
from stages.exporting import card as cards
from stages.exporting import checking, pushing, runner_file
from stages.extraction import rows
from stages.finetuning import trained_model
from stages.heads import certainty_file, layers, loading, model_card
from stages.heads.layers import Layers
from stages.heads.model_card import ModelCard
from stages.tables import features, images
from stages.tables.label_info import check_task
from stages.tasks import Task
from stages.tasks.regression import Regression

Precision = Literal["float32", "float16", "int8"]
INT8: Precision = "int8"
MODEL = "model.onnx"
WHOLE = ".whole.onnx"  # the graph without any rounding, until the export is checked
MAX_BYTES = 2**31 - 2**20  # of a file in ONNX's format
CPU = RuntimeParams(device="cpu")
SENTENCE_FILES = (  # with --sentence-transformers
    *("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "config.json"),
    *("model.safetensors", "*_*/config.json", "*_*/model.safetensors", *model_files.TOKENIZER_FILES),
)
MODEL_FILES = (MODEL, runner_file.FILE, cards.README, "tokenizer.json", "vocabulary.json")
CONTENT = targets.Content(
    "export",
    {
        **dict.fromkeys((*MODEL_FILES, *SENTENCE_FILES)),
        cards.FILE: cards.is_own,
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

    def write(
        self,
        out: Path,
        precision: Precision,
        metrics: Mapping[str, Any],
        thresholds: Mapping[str, Any],
        *,
        has_sentence_files: bool,
    ) -> None:
        """Write all files, and beside the graph one that rounds nothing, to be checked.

        Args:
            thresholds: for model.json; see `card.limits`.
            metrics: for the README; see `card.write_readme`.
        """
        reading = self._write_graph(out, precision)
        runner_file.write(out, reading["kind"])
        cards.write_json(out, self.card, reading, thresholds, precision=precision)
        licence = cards.licence(self._files())
        cards.write_readme(
            out,
            self.card,
            reading,
            precision=precision,
            metrics=metrics,
            licence=licence,
            has_sentence_files=has_sentence_files,
        )

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
        proto = graph.trace(
            whole,
            taken.example,
            lengths=taken.reading["kind"] == "tokens",
            name=self.spec.name,
            output=graph.PROBABILITIES if self.card.labels else graph.NUMBERS,
        )
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
    has_sentence_files: bool = False,
) -> list[str]:
    """Write the model in `folder`, which train_head or finetune wrote, to the folder `target`.

    Args:
        prepared_folder: rows to check the export on.
        evaluation_folder: whose numbers the README quotes, if they are of this model.
        gate: the tolerances for `int8`.
        settings: from where a prediction counts as sure; None: the defaults.
        has_sentence_files: whether sentence-transformers shall load the folder, too.

    Returns:
        The paths of all files in `target`.

    Raises:
        HeadstartError: `folder` holds no model, or one that cannot be exported; the export computes other
            probabilities; `int8` is not as good; or `target` holds anything but an earlier export.
    """
    from stages.exporting import sentence_transformers as sentence_files  # not at the top: it imports torch

    _check_installed()
    card = model_card.read_trained(folder)
    if precision == INT8:
        check_task(card, "--int8", "single", "multilabel", instead="leave it out, or use --float16")
    targets.check_folder(target, CONTENT, [folder, prepared_folder, evaluation_folder])
    model = _load(folder, card)
    ids, inputs = checking.sample(prepared_folder, card)
    task = card.as_task()
    expected = _graph_outputs(task, trained_model.load(folder, card, CPU, rows.known_vectors).outputs(inputs))
    unrounded = expected
    if card.method == "head":
        outputs = loading.load(folder, card, model.backbone.dim)(model.backbone.encode(inputs))
        unrounded = _graph_outputs(task, outputs)
    scale = task.scale if isinstance(task, Regression) else 1.0
    metrics = cards.evaluation(evaluation_folder, card, ids, expected, scale)
    thresholds = cards.limits(certainty_file.read(folder), settings or PredictParams())
    with atomic.directory(target, CONTENT) as out:
        if has_sentence_files:  # first, since run.py needs another tokenizer.json
            sentence_files.write(out, model.backbone, model.spec.name)
        model.write(out, precision, metrics, thresholds, has_sentence_files=has_sentence_files)
        whole, shipped = checking.load(out, WHOLE), checking.load(out, MODEL)
        exact = checking.check(whole, inputs, unrounded, model.own_pixels(), scale)
        difference = checking.difference(shipped, inputs, expected, scale)
        judged = (
            checking.judge(prepared_folder, card, whole, shipped, gate or GateParams()) if precision == INT8 else ""
        )
        (out / WHOLE).unlink()
        if has_sentence_files:
            sentence_files.check(out, model.backbone, inputs, CPU)
        files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
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
    return files


def _graph_outputs(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Return what a graph gives of the outputs of a task, (rows, …): probabilities of labels, or numbers."""
    return task.probabilities(outputs) if task.has_classes else outputs


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
            "--sentence-transformers": {"action": "store_true", "help": "sentence-transformers shall load OUT, too"},
            "--push": {"metavar": "hf:OWNER/NAME", "help": "upload OUT to the Hugging Face hub"},
            "--public": {"action": "store_true", "help": "a new repository on the hub is public"},
        },
    )
    if args.float16 and args.int8:
        raise HeadstartError("--float16 and --int8 are two ways to make the file smaller; give one of them")
    if args.public and not args.push:
        raise HeadstartError(
            "--public is of the repository that --push makes; add --push hf:OWNER/NAME, or leave it out"
        )
    repository = pushing.repository(args.push) if args.push else None
    files = export(
        folder=args.model,
        target=args.out,
        prepared_folder=args.prepared,
        evaluation_folder=args.evaluation,
        precision=INT8 if args.int8 else "float16" if args.float16 else "float32",
        gate=params.load(args.params).gate if args.int8 else None,
        settings=predict_params.load(args.params),
        has_sentence_files=args.sentence_transformers,
    )
    if repository:
        address = pushing.push(args.out, files, repository, is_public=args.public)
        print(f"export: {counted(len(files), 'file')} of {args.out} -> {address}, in {run_stats.spent()}")


if __name__ == "__main__":
    cli.run(main)
