"""Weights into backbones: whole, told, and refused where they do not fit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from centernet.network.backbones import MobileNetV2, ResNet, ShuffleNetV2, Timm
from centernet.network.backbones.backbone import Conv2dSame
from centernet.network.backbones.shufflenet import Unshuffled


def test_weights_from_a_file_and_what_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from torchvision.models import resnet18

    whole = resnet18()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    with caplog.at_level(logging.INFO, logger="centernet"):
        backbone = ResNet("resnet18", weights=tmp_path / "resnet18.pth")
    assert torch.equal(backbone.layer4[1].conv2.weight, whole.layer4[1].conv2.weight)
    assert "120 tensors loaded" in caplog.text  # 122 of the network, but for fc's weight and bias
    assert "2 left out" in caplog.text
    with pytest.raises(ValueError, match="another variant"):
        ResNet("resnet50", weights=tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match="another network"):
        MobileNetV2(weights=tmp_path / "resnet18.pth")


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        ResNet("resnet18", weights=tmp_path / "missing.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pth"):
        ResNet("resnet18", weights=tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.safetensors"):
        ResNet("resnet18", weights=tmp_path / "text.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="state dict"):
        ResNet("resnet18", weights=tmp_path / "list.pth")


def test_pretrained_without_a_network_names_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"weights: path/to/resnet18"):
        ResNet("resnet18", pretrained=True)


def test_weights_of_the_shared_folder(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shared / "weights"
    with caplog.at_level(logging.INFO, logger="centernet"):
        MobileNetV2(weights=folder / "mobilenet_v2_openimages_detection.safetensors", last_conv=True, padding="same")
        MobileNetV2(weights=folder / "mobilenet_v2_imagenet.safetensors")
        pytest.importorskip("timm")
        Timm("tf_efficientnet_lite0", weights=folder / "tf_efficientnet_lite0_imagenet.safetensors")
    assert "260 tensors loaded" in caplog.text
    assert "no place in the network" not in caplog.text


def test_frozen_stages_stay() -> None:
    backbone = MobileNetV2(frozen_stages=2).train()
    stages = backbone.stages()
    assert not any(p.requires_grad for stage in stages[:2] for p in stage.parameters())
    assert all(p.requires_grad for stage in stages[2:] for p in stage.parameters())
    assert not any(m.training for stage in stages[:2] for m in stage.modules() if isinstance(m, torch.nn.BatchNorm2d))
    before = [b.clone() for stage in stages[:2] for b in stage.buffers()]
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(a, b) for a, b in zip(before, (b for s in stages[:2] for b in s.buffers()), strict=True))
    with pytest.raises(ValueError, match="4 stages"):
        MobileNetV2(frozen_stages=5)


def test_same_padding_is_tensorflows() -> None:
    """On an even size SAME pads one row at the bottom, none at the top: the first output sees pixels 0 … 2."""
    conv = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False)
    torch.nn.init.ones_(conv.weight)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    out = Conv2dSame.from_conv(conv)(image)
    assert out.flatten().tolist() == [
        0 + 1 + 2 + 4 + 5 + 6 + 8 + 9 + 10,
        2 + 3 + 6 + 7 + 10 + 11,
        8 + 9 + 10 + 12 + 13 + 14,
        10 + 11 + 14 + 15,
    ]


def test_simplifying_cuts_constant_channels_and_changes_nothing() -> None:
    torch.manual_seed(0)
    backbone = MobileNetV2(padding="same")
    for module in backbone.modules():  # norms as training leaves them
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 96, 128)
    backbone.eval()
    stem, second = backbone.features[1].conv[0], backbone.features[2].conv[1]
    with torch.no_grad():
        stem[0].weight[:17] = 0  # constant 0 and above 0: what the norm alone gives
        stem[1].bias[:17] = torch.linspace(-1, 8, 17)
        second[0].weight[10:50] = -second[0].weight[10:50].abs()  # never above 0
        second[1].weight[10:50], second[1].bias[10:50], second[1].running_mean[10:50] = 1.0, -0.1, 0.0
        expected = backbone(images)
    backbone.simplify()
    assert backbone.features[0][0].out_channels == 16  # 15 that differ, in a whole block
    assert stem[0].groups == 16 and backbone.features[1].conv[1].in_channels == 16
    assert second[0].out_channels == 64  # 56 that differ
    with torch.no_grad():
        for given, wanted in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(given, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"width": "0.5", "finest": 8}, {"width": "1.5", "norm": False, "finest": 8}, {"width": "1.0", "padding": "same"}],
)
def test_simplifying_leaves_out_the_shuffling_of_channels_and_changes_nothing(options: Any, gather: bool) -> None:
    torch.manual_seed(0)
    backbone = ShuffleNetV2(**options).eval()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = backbone(images)
        names = [name for name, _ in backbone.named_modules() if "branch2.0" in name]
        backbone.simplify(gather=gather)
        for given, wanted in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(given, wanted, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in backbone.named_modules() if "branch2.0" in name] == names  # graphs refer to weights
    assert backbone.conv1[0].out_channels == (32 if backbone.out_strides[0] == 8 else 24)
    assert isinstance(backbone.stage3, Unshuffled) is gather


def test_timms_same_padding_is_ours() -> None:
    timm = pytest.importorskip("timm")
    backbone = Timm("tf_efficientnet_lite0").eval()
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=[1, 2, 3, 4]).eval()
    theirs.load_state_dict(backbone.model.state_dict())
    assert any(isinstance(module, timm.layers.Conv2dSame) for module in theirs.modules())
    assert not any(isinstance(module, timm.layers.Conv2dSame) for module in backbone.modules())
    images = torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        for given, wanted in zip(backbone(images), theirs(images), strict=True):
            torch.testing.assert_close(given, wanted)
