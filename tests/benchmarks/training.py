"""Measure fine-tuning of MiniLM against the training loops of transformers and sentence-transformers: rows a second.

    pip install datasets sentence-transformers
    python -m tests.benchmarks.training TABLE.csv [DEVICE] [ROUNDS] [ROWS]

TABLE has a column `text`. All three train all weights of the same model by AdamW, one epoch a round, on the same rows
in batches of 32, cut at 256 tokens, in bfloat16 on a GPU and float32 on a CPU. Ours and transformers' minimise the
cross entropy of a classifier layer, sentence-transformers' its triplet loss for labelled texts. Theirs put random rows
into a batch, as is their default; ours puts rows of similar length.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import csv

from stages import backbones
from stages.backbones import hub
from stages.common.params import BackboneParams, ExtractParams, FinetuneParams, RuntimeParams
from stages.tasks.single import Single
from tests.benchmarks import arguments, pair
from tests.projects import MINILM, REVISION

LABELS, BATCH, TOKENS = 8, 32, 256


def ours(texts: list[str], y: np.ndarray, device: str) -> Callable[[], np.ndarray]:
    from stages.finetuning import loop
    from stages.finetuning.classifier import Classifier

    runtime = RuntimeParams(device=device, checkpoint_steps=None)
    settings = FinetuneParams(method="full", epochs=1, batch_size=BATCH)
    spec = BackboneParams(family="transformers", name=MINILM, revision=REVISION)
    encoder = backbones.load_encoder(spec, ExtractParams(), runtime, "text")
    classifier = Classifier(encoder, Single(tuple(str(label) for label in range(LABELS))))
    classifier.adapt(settings)
    task = loop.Task(texts, y, settings, runtime, from_random=False, identity="benchmark")

    def run() -> np.ndarray:
        progress = loop.train(classifier, task)
        return np.array([progress.history[-1]["loss"]])

    return run


def transformers(texts: list[str], y: np.ndarray, device: str) -> Callable[[], np.ndarray]:
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    folder, _ = hub.resolve(MINILM, REVISION)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=LABELS).float()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def run() -> np.ndarray:
        tokens = tokenizer(texts, truncation=True, max_length=TOKENS)["input_ids"]
        rows = [{"input_ids": ids, "label": int(label)} for ids, label in zip(tokens, y, strict=True)]
        trainer = Trainer(
            model,
            TrainingArguments(**_settings(device)),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        return np.array([trainer.train().training_loss])

    return run


def sentence_transformers(texts: list[str], y: np.ndarray, device: str) -> Callable[[], np.ndarray]:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
    )

    folder, _ = hub.resolve(MINILM, REVISION)
    model = SentenceTransformer(str(folder), device=device).float()
    model.max_seq_length = TOKENS
    rows = Dataset.from_dict({"sentence": texts, "label": y.tolist()})

    def run() -> np.ndarray:
        trainer = SentenceTransformerTrainer(
            model,
            SentenceTransformerTrainingArguments(**_settings(device)),
            train_dataset=rows,
            loss=losses.BatchAllTripletLoss(model),
        )
        return np.array([trainer.train().training_loss])

    return run


def _settings(device: str) -> dict[str, Any]:
    return {
        "output_dir": tempfile.gettempdir(),
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 1,
        "learning_rate": 1e-4,
        "bf16": device == "cuda",
        "use_cpu": device == "cpu",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def main() -> None:
    args = arguments.parse(__doc__, table=Path, device="cpu", rounds=3, rows=960)
    texts = csv.read_csv(args.table)["text"].to_pylist()
    random.Random(0).shuffle(texts)
    texts = texts[: args.rows]
    y = np.arange(len(texts)) % LABELS
    print(f"{args.table.name}: {len(texts):,} texts, batches of {BATCH}, {args.device}, {args.rounds} rounds")
    for name, theirs in (("transformers", transformers), ("sentence-transformers", sentence_transformers)):
        seconds, _ = pair.alternate(ours, theirs, arguments=(texts, y, args.device), rounds=args.rounds)
        here, there = (len(texts) / min(side) for side in seconds)
        print(
            f"{name}: ours {here:,.1f} rows/s ({here / BATCH:.1f} steps/s), theirs {there:,.1f} rows/s,"
            f" ratio {pair.ratio(*seconds):.2f}"
        )


if __name__ == "__main__":
    main()
