"""Training on what breaks trainings: pictures without objects, boxes of a pixel, two hundred objects in a picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from centernet.cli.fit import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*validation flatters.*"),  # the figures are not looked at
]

PICTURES, SIDE = 12, 128


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    """A third of the pictures empty, a third with one-pixel boxes, a third with 200 objects."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(PICTURES):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
        images.append({"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
        count = (0, 5, 200)[i % 3]
        corners = rng.uniform(0, SIDE - 2, (count, 2))
        sides = np.ones((count, 2)) if i % 3 == 1 else rng.uniform(1, 60, (count, 2))
        sides = np.minimum(sides, SIDE - corners)
        for corner, box in zip(corners, sides, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [*corner.tolist(), *box.tolist()],
                    "area": float(box.prod()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate("abc", start=1)]
    path = tmp_path / "awkward.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("quality", [0.0, 1.0])
def test_twenty_epochs_without_a_nan(awkward: Path, tmp_path: Path, precision: str, quality: float) -> None:
    data = f"{{class_path: COCO, init_args: {{annotations: {awkward}}}}}"
    config = tmp_path / "awkward.yaml"
    config.write_text(f"""
model:
  class_names: [a, b, c]
  backbone: {{class_path: MobileNetV2, init_args: {{padding: same}}}}
  neck: {{class_path: LiteFPN}}
  heads:
    heatmap: {{class_path: HeatmapHead, init_args: {{width: 32, convolution: separable}}}}
    box: {{class_path: LTRBHead, init_args: {{width: 32, convolution: separable, quality: {quality}}}}}
  preprocessing: {{size: [{SIDE}, {SIDE}]}}
data:
  train: {data}
  val: {data}
  augmentation: {{class_path: Mosaic, init_args: {{mosaic: 0.3, mixup: 0.3}}}}
  batch_size: 3
  num_workers: 0
optimization: {{lr: 4.0e-3, reference_batch: 0}}
pictures: {{every_n_epochs: 0}}
trainer:
  max_epochs: 20
  check_val_every_n_epoch: 10
  precision: {precision}
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
""")
    ended = run(["--config", str(config), "--output", str(tmp_path / "runs")], "fit")
    assert ended.trainer.current_epoch == 20 and ended.trainer.global_step == 20 * PICTURES // 3
    assert all(torch.isfinite(value).all() for value in ended.model.state_dict().values())
    log = (Path(ended.trainer.log_dir or "") / "metrics.csv").read_text()
    assert "nan" not in log and "inf" not in log
