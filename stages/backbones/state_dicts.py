"""State dicts of image networks: load one strictly, and tell equal weights in any file format."""

import hashlib
from collections.abc import Mapping

from torch import Tensor, nn

from stages.common.errors import HeadstartError, listed


def load(body: nn.Module, state: Mapping[str, Tensor], *, file: str) -> None:
    """Load a state dict with exactly the tensors of `body`.

    Args:
        file: names the weights in the error.

    Raises:
        HeadstartError: a tensor is missing, unexpected or of another shape.
    """
    if mismatch := misfit(body, state):
        raise HeadstartError(f"{file} does not fit backbone.name: it {mismatch}; use weights of the same model")
    body.load_state_dict(state)


def misfit(body: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Describe the tensors that are missing, unexpected or of another shape; empty if there are none."""
    expected = body.state_dict()
    problems = {
        "lacks": sorted(expected.keys() - state.keys()),
        "has unexpected": sorted(state.keys() - expected.keys()),
        "has another shape for": sorted(
            name for name in expected.keys() & state.keys() if expected[name].shape != state[name].shape
        ),
    }
    return " and ".join(f"{problem} {listed(names, limit=5)}" for problem, names in problems.items() if names)


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names and bytes of all tensors: equal for the same weights in any file format."""
    out = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        out.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        out.update(tensor.contiguous().numpy().tobytes())
    return out.hexdigest()
