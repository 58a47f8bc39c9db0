"""Linear layers by oneDNN."""

import pytest
import torch
from torch import nn

from stages.backbones import inference, onednn
from stages.backbones.row_groups import GroupedLinear


def test_a_linear_layer_by_onednn_has_the_gradients_of_torch() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(24, 40)
    fast = onednn.TrainableLinear(plain)
    outputs = []
    for layer in (plain, fast):
        plain.zero_grad()
        x = torch.arange(2 * 5 * 24, dtype=torch.float32).reshape(2, 5, 24).div(240).requires_grad_()
        out = layer(x)
        out.pow(2).sum().backward()
        assert plain.weight.grad is not None and plain.bias.grad is not None and x.grad is not None
        outputs.append([out.detach(), x.grad, plain.weight.grad.clone(), plain.bias.grad.clone()])
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 5, 24), (2, 1, 5, 24), (0, 24)])
def test_its_output_may_be_changed_in_place(shape: tuple[int, ...]) -> None:
    """As Longformer's queries and Swin's logits are."""
    plain = nn.Linear(24, 40)
    fast = onednn.TrainableLinear(plain)
    x = torch.ones(shape)
    out = fast(x)
    out /= 4
    out.sum().backward()
    torch.testing.assert_close(out, plain(x) / 4)
    torch.testing.assert_close(onednn.PackedLinear(plain)(x), plain(x))
    assert plain.bias.grad is not None
    torch.testing.assert_close(plain.bias.grad.sum(), torch.tensor(out.numel() / 4))


@pytest.mark.parametrize(
    ("capability", "inference_layer", "training_layer"),
    [
        ("AVX512", onednn.PackedLinear, onednn.TrainableLinear),
        ("AVX512_BF16", onednn.PackedLinear, onednn.TrainableLinear),
        ("AVX2", GroupedLinear, nn.Linear),
        ("DEFAULT", GroupedLinear, nn.Linear),
    ],
)
def test_only_processors_with_avx512_compute_by_it(
    capability: str, inference_layer: type, training_layer: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    body = nn.Sequential(nn.Linear(4, 4))
    assert type(inference.optimized(body)[0]) is inference_layer
    onednn.make_trainable(body)
    assert type(body[0]) is training_layer
