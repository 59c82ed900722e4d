"""A backbone that comes to its maps several times: training looks at each, inference at the last."""

from __future__ import annotations

import torch

from centernet.data.batch import Batch
from centernet.network import build_network

SECTION = {
    "num_classes": 2,
    "backbone": {"class_path": "Hourglass", "init_args": {"channels": [16, 16, 24], "blocks": [1, 1, 2]}},
    "neck": {"class_path": "Direct"},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 8}},
        "box": {"class_path": "SizeOffsetHead", "init_args": {"width": 8}},
    },
}


def test_each_stack_is_trained_by_heads_of_its_own() -> None:
    network = build_network({"model": SECTION}).train()
    images = torch.randn(2, 3, 61, 70)  # no multiples of 16, the hourglass's
    encoded = network(images)
    assert set(encoded) == {"heatmap", "box", "heatmap.0", "box.0"}
    assert {tuple(value.shape[2:]) for value in encoded.values()} == {(16, 18)}
    batch = Batch(
        images=images,
        boxes=torch.tensor([[[4.0, 4, 40, 36]], [[8.0, 8, 30, 50]]]),
        labels=torch.tensor([[0], [1]]),
        ids=torch.tensor([[-1], [-1]]),
        ignore=torch.zeros(2, 1, dtype=torch.bool),
        counts=torch.tensor([1, 1]),
        annotations=[],
    )
    terms = network.losses(encoded, batch)
    sum(terms.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
    last = network.losses({**encoded, "heatmap.0": encoded["heatmap"], "box.0": encoded["box"]}, batch)
    network.training = False
    torch.testing.assert_close(last, network.losses(encoded, batch))  # of twice the same: their mean is it
    assert set(network.eval()(images)) == {"heatmap", "box"}
