"""Files as they lie about: wrapped, old, halved, of other class counts, and such as are none of ours."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet import CenterNet
from centernet.cli.main import main
from centernet.foreign import open_foreign
from tests.foreign import published

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state(shared: Path) -> State:
    return published.state_dict(shared, "centernet_res_18")


@pytest.fixture(scope="module")
def fairmot(shared: Path) -> State:
    return published.state_dict(shared, "fairmot_dla_34")


def heatmap(source: Path) -> Tensor:
    with torch.inference_mode():
        return CenterNet.from_foreign(source)(published.images((64, 64)))["heatmap"]


def test_wrappers_prefixes_and_the_serialisation_of_before(state: State, tmp_path: Path) -> None:
    plain = tmp_path / "plain.pth"
    torch.save(state, plain)
    expected = heatmap(plain)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=0.1, momentum=0.9).state_dict()
    parallel = {f"module.{key}": value for key, value in state.items()}
    averaged = {f"ema_{key.replace('.', '_')}": value for key, value in state.items()}
    untracked = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    wrapped: dict[str, Any] = {
        "original": {"epoch": 140, "state_dict": parallel, "optimizer": optimizer},
        "detectron": {"model": state, "iteration": 90000, "scheduler": {"last_epoch": 3}},
        "simple": {"model_state_dict": parallel, "epoch": 3, "best_mAP": np.float64(0.7)},
        "averaged": {"state_dict": state | averaged, "meta": {"epoch": 12}},
        "two": {"state_dict": {f"module.model.{key}": value for key, value in state.items()}},
        "before": {"state_dict": untracked},
    }
    for name, content in wrapped.items():
        path = tmp_path / f"{name}.pth"
        torch.save(content, path, _use_new_zipfile_serialization=name != "original")
        assert torch.equal(heatmap(path), expected), name
    notes = open_foreign(tmp_path / "original.pth").notes
    assert notes[0] == "taken: state_dict; left: epoch, optimizer"
    assert "averaged copies" in open_foreign(tmp_path / "averaged.pth").notes[1]


def test_half_precision(state: State, tmp_path: Path) -> None:
    torch.save({key: v.half() if v.is_floating_point() else v for key, v in state.items()}, tmp_path / "half.pth")
    torch.save(state, tmp_path / "whole.pth")
    found, expected = heatmap(tmp_path / "half.pth"), heatmap(tmp_path / "whole.pth")
    assert found.dtype == torch.float32 and (found - expected).abs().max() < 0.05 * expected.std()
    assert open_foreign(tmp_path / "half.pth").half


def test_other_classes_and_heads(fairmot: State, tmp_path: Path) -> None:
    """A FairMOT that was trained anew for three classes, with a head that nobody knows."""
    changed = dict(fairmot)
    changed["hm.2.weight"], changed["hm.2.bias"] = torch.randn(3, 256, 1, 1), torch.randn(3)
    changed["age.0.weight"], changed["age.0.bias"] = torch.randn(256, 64, 3, 3), torch.randn(256)
    changed["age.2.weight"], changed["age.2.bias"] = torch.randn(5, 256, 1, 1), torch.randn(5)
    changed["classifier.weight"] = torch.randn(500, 128)
    torch.save({"state_dict": changed}, tmp_path / "cars.pth")
    found = open_foreign(tmp_path / "cars.pth")
    assert found.network.num_classes == 3 and found.network.class_names is None
    assert list(found.network.heads) == ["heatmap", "box", "embedding", "age"]
    assert any("has none for its 3 classes" in note for note in found.notes)
    assert any("classifier.weight" in note for note in found.notes)
    names = ["person", "car", "bus"]
    assert CenterNet.from_foreign(tmp_path / "cars.pth", class_names=names).class_names == tuple(names)
    with pytest.raises(ValueError, match="2 class names are given, but its heatmap has 3 channels"):
        open_foreign(tmp_path / "cars.pth", class_names=["a", "b"])


def test_class_names_in_the_file(shared: Path, tmp_path: Path) -> None:
    state = published.state_dict(shared, "mmdet_centernet_r18")
    names = tuple(f"kind {i}" for i in range(80))
    for meta in ({"CLASSES": names}, {"dataset_meta": {"classes": list(names)}}):
        torch.save({"state_dict": state, "meta": meta}, tmp_path / "named.pth")
        assert open_foreign(tmp_path / "named.pth").network.class_names == names


class Runs:
    """Pickled, it would run a command."""

    def __reduce__(self) -> Any:
        return (print, ("it ran",))


class Yolo:
    """Stands for the class of a checkpoint of YOLO, as such files hold objects in place of tensors."""

    __module__ = "ultralytics.nn.tasks"
    __qualname__ = "DetectionModel"


def bad_files(state: State) -> dict[str, tuple[Any, str]]:
    other = {**state, "layer1.0.conv1.weight": torch.zeros(64, 64, 5, 5)}
    lacking = {key: value for key, value in state.items() if key != "layer2.1.bn1.bias"}
    yolo = {"model.0.conv.weight": torch.zeros(16, 3, 3, 3), "model.24.m.0.weight": torch.zeros(255, 128, 1, 1)}
    return {
        "empty": (b"", "is empty"),
        "text": (b"weights: see the other folder\n" * 30, "text"),
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n", "Git LFS"),
        "page": (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "HTML"),
        "cut": (state, "whole"),
        "code": (Runs(), "print"),
        "pickled yolo": ({"epoch": 3, "model": Yolo()}, r"needs ultralytics\.nn\.tasks\.DetectionModel"),
        "list": ([1, 2], "list"),
        "nothing": ({"epoch": 3}, "no tensors"),
        "shape": (other, r"layer1\.0\.conv1\.weight has the shape \[64, 64, 5, 5\], expected \[64, 64, 3, 3\]"),
        "lacking": (lacking, r"1 tensors are missing \(layer2\.1\.bn1\.bias\)"),
        "no box": ({k: v for k, v in state.items() if not k.startswith("wh.")}, r"begins with wh\."),
        "yolo": (yolo, "none of the networks that can be read"),
        "infinite": ({**state, "hm.2.bias": torch.full((80,), torch.inf)}, "not finite, first hm.2.bias"),
    }


CASES = list(bad_files({}))


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_such_file_is_told_in_a_line(
    state: State, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, expected = bad_files(state)[case]
    for name in ("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks"):  # where pickle looks for what it writes
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["ultralytics.nn.tasks"], "DetectionModel", Yolo, raising=False)
    path, output = tmp_path / f"{case}.pth", tmp_path / "output"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    if case == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=expected):
        open_foreign(path)
    assert main(["convert", str(path), "--output", str(output)]) == 1
    text = capsys.readouterr()
    assert len(text.err.strip().splitlines()) == 1 and str(path) in text.err
    assert "it ran" not in text.out and not output.exists()


def test_the_command_writes_a_model_that_detects(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = tmp_path / "weights.pth", tmp_path / "model"
    torch.save({"state_dict": published.state_dict(shared, "centernet_resdcn_18")}, path)
    assert main(["convert", str(path), "--output", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "resnet18 with deformable convolutions; 80 classes" in text and str(folder) in text.splitlines()[-1]
    with torch.inference_mode():
        found, expected = (
            m(published.images()) for m in (CenterNet.from_pretrained(folder), CenterNet.from_foreign(path))
        )
    for name, value in expected.items():
        assert torch.equal(found[name], value)
    assert CenterNet.from_pretrained(folder).preprocessing.channels == "bgr"
    assert main(["convert", str(path)]) == 2  # without a place to write to
