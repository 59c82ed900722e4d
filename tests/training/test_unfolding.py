"""Norms that were multiplied into their convolutions: steps of an optimiser do not take the network apart."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from torch import nn

from centernet.network import Network, load_network
from centernet.training import Optimization
from centernet.training.module import DetectionModule
from centernet.training.unfolding import unfold_norms

IMAGES = torch.linspace(-1, 1, 64).sin() * torch.linspace(3, 40, 3 * 64).view(1, 3, 64, 1).sin()


@torch.no_grad()
def maps(network: Network) -> dict[str, torch.Tensor]:
    return network.named_maps(network.eval()(IMAGES))


@torch.no_grad()
def moved(network: Network) -> float:
    """How far one step of Adam's length moves the regression of joints, as a share of itself."""
    before = maps(network)["keypoints_regression"]
    generator = torch.Generator().manual_seed(0)
    for module in network.neck.modules():
        if isinstance(module, nn.Conv2d):
            module.weight += 5e-4 * torch.randn(module.weight.shape, generator=generator).sign()
    return float((maps(network)["keypoints_regression"] - before).norm() / before.norm())


def test_a_training_begins_with_what_was_computed_and_steps_are_small() -> None:
    given, module = load_network("person-pose"), DetectionModule(load_network("person-pose"))
    module.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    for optimization, scaled in ((Optimization(), False), (Optimization(frozen_norms=True), True)):
        module.optimization = optimization
        module.setup("fit")
        begun, came = (
            dict(network.named_parameters())["neck.merge.2.0.1.weight"] for network in (module.network, given)
        )
        assert torch.equal(begun, came) != scaled
    state = {name: value.clone() for name, value in module.network.state_dict().items()}
    module.setup("fit")
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, state[name]), f"a second time {name} changes"
    for (name, value), expected in zip(maps(module.network).items(), maps(given).values(), strict=True):
        assert torch.allclose(value, expected, rtol=1e-5, atol=1e-4), name
    assert moved(module.network) < 0.1 < 1 < moved(given)


def test_trained_and_new_norms_stay() -> None:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    layers = nn.Sequential(convolution, norm).train()
    assert unfold_norms(layers) == 0
    layers(torch.randn(8, 4, 8, 8))
    assert unfold_norms(layers) == 0
