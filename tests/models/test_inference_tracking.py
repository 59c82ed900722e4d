"""A network that tracks: from frames to identities, and the same from its exported file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from centernet import CenterNet, Detector, Tracker, build_centernet
from centernet.inference import collect, track


@pytest.fixture(scope="module")
def tracker_model(config: dict[str, Any]) -> CenterNet:
    """The small detector with embeddings. Its scores are low, so it asks for a tracker that takes them."""
    heads = config["model"]["heads"] | {
        "embedding": {"class_path": "EmbeddingHead", "init_args": {"dim": 8, "width": 16}}
    }
    own = {"high_score": 0.01, "new_score": 0.01, "low_score": None}
    torch.manual_seed(0)
    return build_centernet({"model": config["model"] | {"heads": heads, "tracker": own}}).eval()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still picture, five times: whatever is found stays where it is."""
    folder = tmp_path_factory.mktemp("frames")
    coarse = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((150, 110), Image.Resampling.BICUBIC)
    for number in range(5):
        picture.save(folder / f"{number:03d}.png")
    return folder


def test_each_frame_has_its_arrays(tracker_model: CenterNet, frames: Path) -> None:
    tracks = tracker_model.inference_tracking(frames, num_detections=20)
    assert tracks.keys() == {"bboxes", "labels", "scores", "track_ids", "paths"}
    assert tracks["paths"] == [str(frames / f"{number:03d}.png") for number in range(5)]
    for boxes, labels, scores, ids in zip(
        *(tracks[k] for k in ("bboxes", "labels", "scores", "track_ids")), strict=True
    ):
        assert isinstance(boxes, np.ndarray) and boxes.shape == (len(ids), 4) and boxes.dtype == np.float32
        assert labels.shape == scores.shape == ids.shape and labels.dtype == ids.dtype == np.int64
        assert len(set(ids.tolist())) == len(ids) > 0
    first, *rest = (set(ids.tolist()) for ids in tracks["track_ids"])
    assert all(ids == first for ids in rest), "a still picture: everything keeps its identity"


def test_settings_are_the_model_s_unless_given(tracker_model: CenterNet, frames: Path) -> None:
    assert sum(map(len, tracker_model.inference_tracking(frames, new_score=1.0)["track_ids"])) == 0
    assert sum(map(len, tracker_model.inference_tracking(frames, preset="bytetrack")["track_ids"])) == 0
    with pytest.raises(ValueError, match="preset"):
        tracker_model.inference_tracking(frames, preset="nothing")


@pytest.mark.slow
def test_the_exported_file_tracks_alike_by_the_model_s_settings(
    tracker_model: CenterNet, frames: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tracker_model.to_onnx(tmp_path / "model.onnx", num_detections=20)
    detector = Detector(path, score_threshold=0.0, num_detections=20)
    exported = collect(track(detector, Tracker(**detector.tracker), frames))
    expected = tracker_model.inference_tracking(frames, num_detections=20)
    for ours, theirs in zip(exported["track_ids"], expected["track_ids"], strict=True):
        assert ours.tolist() == theirs.tolist()
    for a, b in zip(exported["bboxes"], expected["bboxes"], strict=True):
        np.testing.assert_allclose(a, b, atol=0.05)

    command = ["track", str(frames), "--model", str(path), "--num-detections", "20", "--format", "json"]
    code = "import sys; sys.modules['torch'] = sys.modules['lightning'] = None\n"
    code += f"from centernet.cli.main import main; sys.exit(main({command!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "tracks" / "tracks.json").read_text())["annotations"]
    assert [row["track_id"] for row in found] == np.concatenate(expected["track_ids"]).tolist()
    boxes = np.array([row["bbox"] for row in found])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, np.concatenate(expected["bboxes"]), atol=0.1)


def test_a_frame_rate_is_no_setting_of_a_model(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"model\.tracker: frame_rate"):
        build_centernet({"model": config["model"] | {"tracker": {"frame_rate": 25}}})
