"""Measure text extraction by the packaged MiniLM against sentence-transformers and other engines, and against the
machine's limit.

    pip install sentence-transformers openvino onnx onnxruntime onnxscript
    python -m tests.benchmarks.texts TABLE [ROUNDS] [ROWS]

TABLE is a .csv with a column `text`, for example data/reviews.csv. All sides pool by the mean, normalise, and cut at
256 tokens; the engines get the batches that Headstart gets. `plain` and `packed` are Headstart with linear layers by
torch and by oneDNN. The limit is 2 operations per weight (without embeddings) and token (without padding), at the best
float32 product of any of the libraries in the same run.
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from pyarrow import csv

from stages import backbones
from stages.backbones.encoder import Encoder
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.benchmarks import arguments, engines, pair
from tests.projects import MINILM, REVISION


def ours(texts: list[str], device: str = "cpu", engine: str = "") -> Callable[[], np.ndarray]:
    encoder = _encoder(device)
    if engine:
        engines.install(encoder, engine, next(iter(encoder.batches(texts[:32]))).content)
    return lambda: encoder.encode(texts)


def theirs(texts: list[str], device: str = "cpu") -> Callable[[], np.ndarray]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    from stages.backbones import hub

    folder, _ = hub.resolve(MINILM, REVISION)
    body = Transformer(str(folder), max_seq_length=256)
    model = SentenceTransformer(modules=[body, Pooling(body.get_word_embedding_dimension())], device=device)
    return lambda: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def _encoder(device: str = "cpu") -> Encoder:
    spec = BackboneParams(family="transformers", name=MINILM, revision=REVISION)
    return backbones.load_encoder(spec, ExtractParams(), RuntimeParams(device=device), "text")


def main() -> None:
    args = arguments.parse(__doc__, table=Path, rounds=5, rows=2_000)
    texts = csv.read_csv(args.table)["text"].to_pylist()
    random.Random(0).shuffle(texts)
    texts = texts[: args.rows]
    sides = {"Headstart": ours, "sentence-transformers": theirs}
    sides |= {name: partial(ours, engine=name) for name in ("plain", "packed", *engines.installed())}
    seconds, vectors = pair.alternate(*sides.values(), arguments=(texts,), rounds=args.rounds)
    encoder = _encoder()
    tokens = sum(len(row["input_ids"]) for row in encoder.training_rows(texts))
    weights = sum(weight.numel() for name, weight in encoder.body.named_parameters() if "embeddings" not in name)
    print(f"{args.table.name}: {len(texts):,} texts, {tokens / len(texts):.1f} tokens a text, {args.rounds} rounds")
    engines.print_table(list(sides), seconds, vectors, unit="texts/s", operations=2 * weights * tokens)


if __name__ == "__main__":
    main()
