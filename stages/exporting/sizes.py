"""Make a graph smaller: weights in half precision, or products of 8-bit numbers."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stages.common.errors import HeadstartError, one_line
from stages.exporting import graph

MIN_VALUES = 256  # of a weight that is worth an operation more


def halve(model: onnx.ModelProto, name: str) -> None:
    """Store the weights as float16; they are computed in float32, which every processor does fast.

    Raises:
        HeadstartError: a weight of the backbone `name` is too large for float16.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < MIN_VALUES:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise HeadstartError(f"{name} has weights above 65,504, which float16 cannot hold; leave out --float16")
        casts.append(helper.make_node("Cast", [f"{tensor.name}_float16"], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(half, f"{tensor.name}_float16"))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def quantize(path: Path, name: str) -> None:
    """Give the graph in a file 8-bit weights, and products of 8-bit numbers whose scale follows the input.

    Raises:
        HeadstartError: the graph of the backbone `name` cannot be quantised.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    try:
        with graph.quiet():
            quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=True)
    except Exception as error:  # of many types
        raise HeadstartError(f"{name} cannot be quantised ({one_line(error)}); leave out --int8") from None
    graph.write(graph.cleaned(onnx.load(path)), path)
