"""The schedule of learning rates."""

import pytest
import torch
import transformers

from stages.common.params import FinetuneParams
from stages.finetuning import optimizer


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0.25), (10, 0.0), (1, 0.1)])
def test_the_schedule_is_that_of_transformers(steps: int, warmup: float) -> None:
    settings = FinetuneParams(method="full", warmup=warmup)
    rates = []
    for build in (
        optimizer.schedule,
        lambda sgd, *_: transformers.get_linear_schedule_with_warmup(sgd, -(-steps * warmup // 1), steps),
    ):
        sgd = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
        schedule = build(sgd, settings, steps)
        rates.append([])
        for _ in range(steps + 1):
            rates[-1].append(schedule.get_last_lr())
            sgd.step()
            schedule.step()
    assert rates[0] == rates[1]
