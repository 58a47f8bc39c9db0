"""Trace a backbone with its classifier as one ONNX graph: from tokens, pixels or counts to probabilities."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from stages.common.errors import HeadstartError, one_line
from stages.exporting.endings import Ending, softmax
from stages.heads.layers import Layers

OUTPUT = "probabilities"
OPSET = 20
DIMENSIONS = ("rows", "length")  # that differ from batch to batch

Vectors = Callable[[Mapping[str, Tensor]], Tensor]


class Graph(nn.Module):
    """ending(layers(vectors(inputs)))."""

    def __init__(
        self,
        body: nn.Module,
        vectors: Vectors,
        layers: Layers,
        *,
        names: Sequence[str],
        dtype: str,
        ending: Ending = softmax,
    ) -> None:
        """Put a network and its classifier together.

        Args:
            body: the network that `vectors` calls, whose weights are those of the graph.
            vectors: computes (rows, dim) of the inputs by name.
            layers: the classifier.
            names: of the inputs, in order.
            dtype: to which feature tables round vectors, and so the classifier's training rows.
            ending: makes what the task gives of scores.
        """
        super().__init__()
        self.body, self._vectors, self._names = body, vectors, tuple(names)
        self._dtype, self._ending = getattr(torch, dtype), ending
        self.layers = nn.ModuleList(map(_linear, layers))
        self.requires_grad_(False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute probabilities, (rows, labels); the inputs are in the order of their names."""
        X = self._vectors(dict(zip(self._names, inputs, strict=True)))
        X = X.to(self._dtype).to(torch.float32)
        for number, layer in enumerate(self.layers):
            X = layer(torch.relu(X) if number else X)
        return self._ending(X)


def trace(graph: Graph, example: Mapping[str, Tensor], *, lengths: bool, name: str) -> onnx.ModelProto:
    """Trace a network on two rows.

    Args:
        example: inputs by name, of (2, …), in the order of the graph's.
        lengths: whether the second dimension differs from batch to batch too.
        name: of the backbone, for errors.

    Raises:
        HeadstartError: the network cannot be traced, as it branches on values or has an operation that ONNX lacks.
    """
    dynamic = dict.fromkeys(range(2 if lengths else 1), torch.export.Dim.DYNAMIC)
    try:
        with quiet(), torch.enable_grad():  # without, steps after the pooling compute every row alone
            program = torch.export.export(
                graph.eval(), tuple(example.values()), dynamic_shapes=(tuple(dynamic for _ in example),)
            )
            exported = torch.onnx.export(
                program, input_names=list(example), output_names=[OUTPUT], opset_version=OPSET, dynamo=True,
                verbose=False,
            )  # fmt: skip
            assert exported is not None
            model = exported.model_proto
    except Exception as error:  # of many types
        raise HeadstartError(
            f"{name} cannot be traced as one ONNX graph ({one_line(_root(error))}); use another model,"
            " such as a BERT, a ViT or a ResNet"
        ) from None
    return cleaned(model)


def unrounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that keeps vectors as they are, where `Graph` rounds them to float16."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16:
                attribute.i = onnx.TensorProto.FLOAT
    return copy


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write a model: the same bytes for the same model."""
    path.write_bytes(model.SerializeToString(deterministic=True))


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what is no part of the function: traces of the code with its paths, versions, and shapes inside."""
    model.producer_name, model.producer_version = "headstart", ""
    model.doc_string, model.graph.doc_string = "", ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:], model.graph.value_info[:]
    parts = (model.graph.node, model.graph.input, model.graph.output, model.graph.initializer, model.functions)
    for part in (*(part for kind in parts for part in kind), *(node for f in model.functions for node in f.node)):
        part.doc_string = ""
        del part.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        for name, dimension in zip(DIMENSIONS, value.type.tensor_type.shape.dim, strict=False):
            if dimension.dim_param:
                dimension.dim_param = name
    return model


def _linear(layer: tuple[np.ndarray, np.ndarray]) -> nn.Linear:
    weight, bias = (torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in layer)
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of tracing and quantising off the terminal; errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _root(error: BaseException) -> BaseException:
    """Return the error that led to `error`, whose own text is advice for developers of torch."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
