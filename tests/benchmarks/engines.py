"""Put another runtime behind an encoder: it computes the same batches, on as many threads.

The engines are installed by `pip install openvino onnx onnxruntime onnxscript`.
"""

import importlib.util
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.backbones import onednn
from stages.backbones.encoder import Encoder
from tests.benchmarks import pair

ENGINES = {"OpenVINO": "openvino", "ONNX Runtime": "onnxruntime"}  # name to module
Compute = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def installed() -> list[str]:
    return [name for name, module in ENGINES.items() if importlib.util.find_spec(module)]


def install(encoder: Encoder, name: str, example: Any) -> None:
    """Make `encoder` compute by an engine, or by `plain` or `packed` linear layers: torch's own or oneDNN's.

    Args:
        example: the content of a batch.
    """
    if name in ("plain", "packed"):
        onednn.is_faster = lambda: name == "packed"
        return
    inputs = dict(example) if isinstance(example, Mapping) else {"pixels": example}
    graph = _Graph(encoder.body, tuple(inputs)).eval()
    threads = torch.get_num_threads()
    torch.backends.mha.set_fastpath_enabled(False)  # OpenVINO knows no joint attention, and traces it one time of two
    build = _openvino if name == "OpenVINO" else _onnxruntime
    encoder._optimized = (_Engine(build(graph, inputs, threads, encoder.batch_per_core)),)


class _Graph(nn.Module):
    """A network as a function of tensors in order, which returns one tensor."""

    def __init__(self, body: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.body, self.names = body, names

    def forward(self, *tensors: Tensor) -> Any:
        if self.names == ("pixels",):
            return self.body(*tensors)
        return self.body(**dict(zip(self.names, tensors, strict=True)), use_cache=False).last_hidden_state


class _Engine(nn.Module):
    """Takes what the network takes, and returns what it returns."""

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self._compute = compute

    def forward(self, pixels: Tensor | None = None, **tensors: Any) -> Any:
        inputs = tensors if pixels is None else {"pixels": pixels}
        arrays = {key: value.contiguous().numpy() for key, value in inputs.items() if isinstance(value, Tensor)}
        out = torch.from_numpy(self._compute(arrays))
        return SimpleNamespace(last_hidden_state=out) if pixels is None else out


def _openvino(graph: nn.Module, inputs: Mapping[str, Tensor], threads: int, batch_per_core: bool) -> Compute:
    import openvino

    tensors = tuple(inputs.values())
    model = openvino.convert_model(graph, example_input=tensors)
    if not batch_per_core:  # all batches have one shape
        model.reshape({0: list(tensors[0].shape)})
    compiled = openvino.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",  # by default bfloat16, where the processor multiplies it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads if batch_per_core else 1,
        },
    )
    local = threading.local()

    def compute(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        if not hasattr(local, "request"):
            local.request = compiled.create_infer_request()
        result: np.ndarray = local.request.infer([arrays[name] for name in inputs], share_inputs=True)[0]
        return result

    return compute


def _onnxruntime(graph: nn.Module, inputs: Mapping[str, Tensor], threads: int, batch_per_core: bool) -> Compute:
    import onnxruntime

    rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
    shapes = tuple({0: rows, 1: length} for _ in inputs) if batch_per_core else None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 if batch_per_core else threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            dynamo=True,
            dynamic_shapes=(shapes,) if shapes else None,
            external_data=False,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = [node.name for node in session.get_inputs()]
    return lambda arrays: session.run(None, {name: arrays[name] for name in wanted})[0]


def limit() -> tuple[float, str]:
    """Measure the best float32 product on all cores, in 10^9 operations a second, and tell which library reaches it.

    Layers of 2048 x 2048 and of 384 x 1536 at 1,024 rows, by torch, by oneDNN with packed weights and by every engine,
    each core with its own product.
    """
    threads = torch.get_num_threads()
    speeds = {}
    for width, out in ((2048, 2048), (384, 1536)):
        linear, x = nn.Linear(width, out), torch.rand(2, 512, width)
        graph = _Graph(linear, ("pixels",)).eval()
        packed = onednn.PackedLinear(linear)
        products: dict[str, Callable[[], object]] = {"torch": partial(linear, x), "oneDNN": partial(packed, x)}
        for name in installed():
            build = _openvino if name == "OpenVINO" else _onnxruntime
            products[name] = partial(build(graph, {"pixels": x}, threads, True), {"pixels": x.numpy()})
        for name, product in products.items():
            speed = 2 * x[..., 0].numel() * width * out / _seconds(product, threads) / 1e9
            speeds[f"{name}, {width} x {out}"] = speed
    best = max(speeds, key=speeds.__getitem__)
    return speeds[best], best


def _seconds(product: Callable[[], object], threads: int, calls: int = 20) -> float:
    """Time a product that every core computes: the shortest of several rounds, per product."""

    def repeat(_: int) -> None:
        with torch.no_grad():
            for _ in range(calls):
                product()

    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        rounds = []
        for _ in range(8):
            start = time.perf_counter()
            list(pool.map(repeat, range(threads)))
            rounds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return min(rounds) / calls / threads


def print_table(
    names: Sequence[str], seconds: Sequence[list[float]], vectors: Sequence[np.ndarray], *, unit: str, operations: int
) -> None:
    """Print the speed of every side, the ratio of the first to it, and how far their vectors are from each other.

    Args:
        seconds: for every side, of every round.
        operations: of a round.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # away from threads that this process started
        gflops, library = pool.apply(limit)
    print(f"processor: torch calls it {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads")
    print(f"limit: {gflops:.0f} GFLOP/s ({library})")
    for name, rounds, Y in zip(names, seconds, vectors, strict=True):
        speed, share = len(Y) / min(rounds), operations / min(rounds) / 1e9 / gflops
        distance = np.abs(vectors[0] - Y).max() / np.abs(Y).max()
        print(
            f"{name:<22}{speed:8.1f} {unit}, {share:4.0%} of the limit, Headstart is"
            f" {pair.ratio(seconds[0], rounds):.2f} times as fast, largest difference {distance:.1e}"
        )
