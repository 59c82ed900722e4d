"""The public contract of a detector: maps, boxes, files, figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from centernet import CenterNet, build_centernet
from centernet.images import Preprocessing


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("b.png", (60, 80)), ("a.jpg", (90, 50)), ("c.jpg", (40, 40))):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    return folder


def test_the_same_objects_from_the_repository_root() -> None:
    from src.models import CenterNet as RootCenterNet, build_centernet as root_build

    assert RootCenterNet is CenterNet
    assert root_build is build_centernet


def test_decode(model: CenterNet) -> None:
    with torch.inference_mode():
        encoded = model(torch.randn(2, 3, 96, 128))
        detections = model.decode_detections(encoded, num_detections=100)
    assert {name: (tuple(v.shape), v.dtype) for name, v in detections.items()} == {
        "bboxes": ((2, 100, 4), torch.float32),
        "labels": ((2, 100), torch.int64),
        "scores": ((2, 100), torch.float32),
    }
    assert (detections["scores"].diff(dim=1) <= 0).all()
    with torch.inference_mode():
        few = model.decode_detections(encoded, num_detections=10**6, score_threshold=0.5)
    assert few["scores"].shape[1] == 3 * 24 * 32  # limited to the map
    assert ((few["scores"] >= 0.5) | (few["scores"] == 0)).all()


def test_nms_on_request(config: dict[str, Any]) -> None:
    model = build_centernet(config, overrides=["model.nms_iou=0.5"]).eval()
    heatmap = torch.full((1, 3, 24, 32), -9.0)
    heatmap[0, 1, 10, 10], heatmap[0, 1, 10, 13], heatmap[0, 2, 10, 13] = 3.0, 2.0, 1.0
    sizes = torch.full((1, 4, 24, 32), 20.0)  # the two boxes of class 1 overlap by far more than half
    detections = model.decode_detections({"heatmap": heatmap, "box": sizes}, num_detections=10)
    scores, labels = detections["scores"][0], detections["labels"][0]
    assert labels[:2].tolist() == [1, 2]
    assert scores[:2].tolist() == pytest.approx(torch.tensor([3.0, 1.0]).sigmoid().tolist())
    assert scores[2] < 1e-3


def test_padding_inside_leaves_the_map_of_the_picture(model: CenterNet) -> None:
    image = torch.randn(1, 3, 70, 90)
    padded = torch.nn.functional.pad(image, (0, 6, 0, 26))
    with torch.inference_mode():
        cut, whole = model(image)["heatmap"], model(padded)["heatmap"]
    assert cut.shape[-2:] == (18, 23)
    assert torch.allclose(cut, whole[:, :, :18, :23], atol=1e-5)


def test_normalize_is_the_preprocessing(model: CenterNet) -> None:
    array = np.random.default_rng(0).integers(0, 255, (2, 96, 128, 3), dtype=np.uint8)
    tensor = model.normalize(torch.from_numpy(array).permute(0, 3, 1, 2))
    np.testing.assert_allclose(tensor, model.preprocessing.normalize(array), atol=1e-5)


def test_inference_on_a_folder(model: CenterNet, pictures: Path) -> None:
    found = model.inference_detection(pictures, num_detections=7)
    assert [Path(path).name for path in found["paths"]] == ["a.jpg", "b.png", "c.jpg"]
    bboxes, labels, scores = (np.asarray(found[name]) for name in ("bboxes", "labels", "scores"))
    assert bboxes.shape == (3, 7, 4) and bboxes.dtype == np.float32
    assert labels.shape == (3, 7) and labels.dtype == np.int64
    assert scores.shape == (3, 7) and scores.dtype == np.float32
    assert (bboxes[0, :, [0, 2]] <= 50).all() and (bboxes[0, :, [1, 3]] <= 90).all()  # original pixels


def test_inference_equals_decode_by_hand(model: CenterNet, pictures: Path) -> None:
    path = pictures / "b.png"
    image = cv2.imread(str(path))[..., ::-1]
    array = model.preprocessing(np.ascontiguousarray(image))
    with torch.inference_mode():
        detections = model.decode_detections(model(torch.from_numpy(model.preprocessing.normalize(array[None]))), 5)
    boxes = model.preprocessing.to_original(detections["bboxes"][0].numpy(), image.shape[:2])
    found = model.inference_detection(path, num_detections=5)
    np.testing.assert_allclose(np.asarray(found["bboxes"])[0], boxes, atol=1e-2)
    np.testing.assert_allclose(np.asarray(found["scores"])[0], detections["scores"][0], atol=1e-5)


def test_checkpoint_needs_nothing_beside_it(model: CenterNet, tmp_path: Path) -> None:
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    loaded = CenterNet.load_from_checkpoint(tmp_path / "model.ckpt")
    assert loaded.class_names == ("cat", "dog", "bird")
    assert loaded.preprocessing == Preprocessing(size=(96, 128))
    assert not loaded.training
    image = torch.randn(1, 3, 96, 128)
    with torch.inference_mode():
        assert torch.equal(loaded(image)["heatmap"], model(image)["heatmap"])


def test_pretrained_weights_are_not_fetched_for_a_checkpoint(config: dict[str, Any], tmp_path: Path) -> None:
    model = build_centernet(config)
    model.hparams["backbone"]["init_args"] |= {"pretrained": True, "weights": "gone.pth"}
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    CenterNet.load_from_checkpoint(tmp_path / "model.ckpt")


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.ckpt"):
        CenterNet.load_from_checkpoint(tmp_path / "missing.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"text\.ckpt"):
        CenterNet.load_from_checkpoint(tmp_path / "text.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="state_dict"):
        CenterNet.load_from_checkpoint(tmp_path / "other.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "bare.ckpt")
    with pytest.raises(ValueError, match="no configuration"):
        CenterNet.load_from_checkpoint(tmp_path / "bare.ckpt")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "sprung").touch, ())

    torch.save({"state_dict": {}, "trap": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(ValueError, match=r"trap\.ckpt"):
        CenterNet.load_from_checkpoint(tmp_path / "trap.ckpt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("size", [(96, 128), (70, 90)])
def test_onnx_has_the_decode(model: CenterNet, tmp_path: Path, size: tuple[int, int]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = model.to_onnx(tmp_path / "model.onnx", torch.rand(1, 3, *size), num_detections=20)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = torch.randn(3, 3, *size)
    bboxes, labels, scores = session.run(["bboxes", "labels", "scores"], {"images": images.numpy()})
    with torch.inference_mode():
        eager = model.decode_detections(model(images), 20)
    np.testing.assert_allclose(scores, eager["scores"], atol=1e-5)
    np.testing.assert_array_equal(labels, eager["labels"])
    inside = eager["bboxes"].numpy().clip(0, [size[1], size[0]] * 2)
    np.testing.assert_allclose(bboxes, inside, atol=0.05)
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["centernet"])
    assert metadata["class_names"] == ["cat", "dog", "bird"]
    assert Preprocessing.from_dict(metadata["preprocessing"]) == model.preprocessing
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]  # no data beside it


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_torchscript_has_the_decode(model: CenterNet, tmp_path: Path) -> None:
    model.to_torchscript(tmp_path / "model.pt", torch.rand(1, 3, 96, 128), num_detections=20)
    loaded = torch.jit.load(str(tmp_path / "model.pt"))
    images = torch.randn(2, 3, 96, 128)
    with torch.inference_mode():
        bboxes, _, scores = loaded(images)
        eager = model.decode_detections(model(images), 20)
    torch.testing.assert_close(scores, eager["scores"], atol=1e-5, rtol=0)
    inside = eager["bboxes"].clamp(min=0).minimum(torch.tensor([128.0, 96, 128, 96]))
    torch.testing.assert_close(bboxes, inside, atol=0.05, rtol=0)


def test_a_wrong_sample_is_refused(model: CenterNet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="N×3×H×W"):
        model.to_torchscript(None, torch.zeros(1, 1, 96, 128))
