"""Measure text extraction by the packaged MiniLM against sentence-transformers, and against the machine's limit.

    pip install sentence-transformers
    python -m tests.benchmarks.texts TABLE [ROUNDS] [ROWS]

TABLE is a .csv with a column `text`, for example data/reviews.csv. Both sides pool by the mean, normalise, and cut at
256 tokens. The limit is 2 operations per weight (without embeddings) and token (without padding), at the speed of a
large matrix product in the same run.
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pyarrow import csv

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, RuntimeParams
from tests.benchmarks import arguments, pair
from tests.projects import MINILM, REVISION


def ours(texts: list[str], device: str = "cpu") -> Callable[[], np.ndarray]:
    encoder = _encoder(device)
    return lambda: encoder.encode(texts)


def theirs(texts: list[str], device: str = "cpu") -> Callable[[], np.ndarray]:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    from stages.backbones import hub

    folder, _ = hub.resolve(MINILM, REVISION)
    body = Transformer(str(folder), max_seq_length=256)
    model = SentenceTransformer(modules=[body, Pooling(body.get_word_embedding_dimension())], device=device)
    return lambda: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def _encoder(device: str = "cpu") -> backbones.Backbone:
    spec = BackboneParams(family="transformers", name=MINILM, revision=REVISION)
    return backbones.load(spec, ExtractParams(), RuntimeParams(device=device), modality="text")


def main() -> None:
    args = arguments.parse(__doc__, table=Path, rounds=5, rows=2_000)
    texts = csv.read_csv(args.table)["text"].to_pylist()
    random.Random(0).shuffle(texts)
    texts = texts[: args.rows]
    seconds, (X, Y) = pair.alternate(ours, theirs, texts, rounds=args.rounds)
    cosine = (X * Y).sum(axis=1) / np.linalg.norm(X, axis=1) / np.linalg.norm(Y, axis=1)
    encoder = _encoder()
    tokens = sum(len(row["input_ids"]) for row in encoder.training_rows(texts))  # type: ignore[attr-defined]
    weights = sum(weight.numel() for name, weight in encoder.body.named_parameters() if "embeddings" not in name)  # type: ignore[attr-defined]
    fastest = min(seconds[0])
    share = 2 * weights * tokens / fastest / 1e9 / pair.gflops()
    print(f"{args.table.name}: {len(texts):,} texts, {tokens / len(texts):.1f} tokens a text, {args.rounds} rounds")
    print(f"ours   {len(texts) / fastest:7.1f} texts/s, {share:.0%} of the matrix-product limit")
    print(f"theirs {len(texts) / min(seconds[1]):7.1f} texts/s")
    print(f"ratio  {pair.ratio(seconds):7.2f}, lowest cosine between the vectors {cosine.min():.7f}")


if __name__ == "__main__":
    main()
