"""Learning rates, parameter groups and averaged weights."""

from __future__ import annotations

import itertools
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from centernet.training import EMA, Optimization


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)


def test_cosine_with_warmup() -> None:
    made = Optimization(warmup=0.1)
    factors = [made.factor(step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-9)
    assert all(a < b for a, b in itertools.pairwise(factors[:11]))


def test_steps_of_the_original() -> None:
    """×.1 at 90 and 120 of 140 epochs."""
    made = Optimization(warmup=0, schedule="step")
    assert [made.factor(step, 140) for step in (0, 89, 90, 119, 120)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_frozen_norms_keep_their_statistics_and_learn_their_weights() -> None:
    network = Network().train()
    Optimization().set_norms(network)
    assert network.backbone[1].training
    Optimization(frozen_norms=True).set_norms(network)
    before = network.backbone[1].running_mean.clone()
    network.head(network.backbone(torch.randn(2, 3, 4, 4))).sum().backward()
    assert torch.equal(network.backbone[1].running_mean, before) and network.backbone[1].weight.grad is not None
    assert network.head.training


def test_groups() -> None:
    groups = Optimization(lr=1.0, backbone_lr_factor=0.1, weight_decay=0.5).groups(Network(), lr=1.0)
    found = {(group["lr"], group["weight_decay"]): sum(p.numel() for p in group["params"]) for group in groups}
    assert found == {(0.1, 0.5): 12, (0.1, 0.0): 4 + 8, (1.0, 0.5): 8, (1.0, 0.0): 2}


@pytest.mark.parametrize(("devices", "accumulate", "expected"), [(1, 1, 0.25), (2, 1, 0.5), (2, 4, 2.0)])
def test_rate_is_scaled_to_the_batch(devices: int, accumulate: int, expected: float) -> None:
    model: Any = SimpleNamespace(network=Network())
    model.trainer = SimpleNamespace(
        datamodule=SimpleNamespace(batch_size=16),
        world_size=devices,
        accumulate_grad_batches=accumulate,
        estimated_stepping_batches=100,
    )
    configured = Optimization(lr=1.0, warmup=0).configure(model)
    assert configured["optimizer"].param_groups[0]["lr"] == pytest.approx(expected)
    assert configured["lr_scheduler"]["interval"] == "step"


@pytest.mark.parametrize("values", [{"lr": 0}, {"lr": -1}, {"warmup": 1.0}])
def test_senseless_values_are_named(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Optimization(**values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decay"):
        EMA(1.0)


def test_average_warms_up() -> None:
    """After n steps the share that is kept is (1 + n) / (10 + n), until that reaches the decay."""
    average = EMA(decay=0.9)._kwargs["multi_avg_fn"]
    for n, kept in ((0, 0.1), (8, 0.5), (1000, 0.9)):
        held = [torch.ones(3)]
        average(held, [torch.zeros(3)], n)
        assert held[0].tolist() == pytest.approx([kept] * 3)


@pytest.mark.parametrize(("name", "value"), [("lr", 0.5), ("weight_decay", 0.3)])
def test_a_rate_of_the_optimizer_itself_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} {value:g}, which is not used.*optimization\.{name}"):
        Optimization(partial(torch.optim.AdamW, **{name: value}))
    Optimization(partial(torch.optim.AdamW, **{name: value}), **{name: value})
    Optimization(partial(torch.optim.SGD, momentum=0.9))
