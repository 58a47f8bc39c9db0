"""Trace a backbone with a random head, and compute probabilities by run.py and by the backbone itself."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from stages.common import json_file
from stages.common.params import BackboneParams
from stages.exporting import checking, graph, inputs, runner_file


def write(folder: Path, backbone: Any, spec: BackboneParams, layer: tuple[np.ndarray, np.ndarray]) -> Any:
    """Write what run.py needs to classify by one layer on a backbone; give the loaded model."""
    taken = inputs.from_backbone(backbone, spec, None)
    whole = graph.Graph(taken.body, taken.vectors, [layer], names=list(taken.example), dtype="float32")
    model = graph.trace(whole, taken.example, lengths=taken.reading["kind"] == "tokens", name=spec.name)
    folder.mkdir(exist_ok=True)
    graph.write(model, folder / "model.onnx")
    taken.write(folder)
    labels = [str(number) for number in range(len(layer[1]))]
    json_file.write(folder / "model.json", {"labels": labels, "reading": taken.reading})
    runner_file.write(folder, taken.reading["kind"])
    return checking.load(folder, "model.onnx")


def both(folder: Path, backbone: Any, spec: BackboneParams, contents: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Give the probabilities of three labels: by run.py, and by the backbone with the same layer."""
    X = backbone.encode(contents)
    X = X if isinstance(X, np.ndarray) else X.toarray()
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(3, X.shape[1])) / (X.std() * X.shape[1] ** 0.5)
    bias = -(X @ weight.T).mean(axis=0)
    return write(folder, backbone, spec, (weight, bias)).probabilities(contents), softmax(X @ weight.T + bias, axis=1)
