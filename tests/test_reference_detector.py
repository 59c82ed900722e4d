"""A detector that others trained on COCO, fed and decoded by this package, has the figures that its authors' way gives.

The network's maps come from onnxruntime, so that reading, letterbox, decode, the way back and evaluation are what is
tested, on fifty pictures of COCO's val2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import Detections, Preprocessing
from centernet.data import COCO
from centernet.evaluation import CocoEvaluator
from centernet.ops import find_peaks, gather_at

AP, AP50 = 0.276, 0.468  # by pycocotools, on these files


@pytest.fixture(scope="module")
def maps(shared: Path) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(shared / "weights/mbv3_centernet_coco.onnx"), options)
    dataset = COCO(
        shared / "data/coco/annotations.json", shared / "data/coco/images", subset=shared / "data/coco/val2017.txt"
    )
    preprocessing = Preprocessing(size=(512, 512), pad_value=0)
    found = []
    for i in range(len(dataset)):
        sample = dataset[i]
        array = preprocessing(sample.image).transpose(2, 0, 1)[None].astype(np.float32)
        found.append((sample.annotation, *session.run(["heatmap", "ltrb"], {"image": array})))
    return preprocessing, dataset.class_names, found


def decode(heatmap: Any, ltrb: Any) -> tuple[Any, Any, Any]:
    peaks = find_peaks(torch.from_numpy(heatmap).logit(), 100)
    left, top, right, bottom = gather_at(torch.from_numpy(ltrb), peaks.cells)[0].unbind(-1)
    x, y = 4 * peaks.x[0], 4 * peaks.y[0]
    boxes = torch.stack([x - left, y - top, x + right, y + bottom], -1)
    return boxes.numpy(), peaks.labels[0].numpy(), peaks.scores[0].numpy()


def decode_in_numpy(heatmap: Any, ltrb: Any) -> tuple[Any, Any, Any]:
    scores = heatmap[0]
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).max((-1, -2))
    peaks = np.where(scores == around, scores, 0).ravel()
    best = np.argsort(-peaks, kind="stable")[:100]
    labels, y, x = np.unravel_index(best, scores.shape)
    left, top, right, bottom = ltrb[0][:, y, x]
    x, y = x.astype(np.float32), y.astype(np.float32)
    return np.stack([4 * x - left, 4 * y - top, 4 * x + right, 4 * y + bottom], -1), labels, peaks[best]


def test_the_figures_of_its_authors_way(maps: Any) -> None:
    preprocessing, class_names, found = maps
    assert len(found) == 50
    evaluator = CocoEvaluator(class_names)
    for annotation, heatmap, ltrb in found:
        boxes, labels, scores = decode(heatmap, ltrb)
        boxes = preprocessing.to_original(boxes, (annotation.height, annotation.width))
        evaluator.update(annotation, Detections(boxes, labels, scores))
    stats = evaluator.compute().stats
    assert stats["AP"] == pytest.approx(AP, abs=0.015)
    assert stats["AP50"] == pytest.approx(AP50, abs=0.015)


def test_the_boxes_of_ten_lines_of_numpy(maps: Any) -> None:
    for _, heatmap, ltrb in maps[2]:
        ours, theirs = decode(heatmap, ltrb), decode_in_numpy(heatmap, ltrb)
        # Where scores are equal in the last bit their order is free.
        order = [np.lexsort((*boxes.T, labels)) for boxes, labels, _ in (ours, theirs)]
        np.testing.assert_array_equal(ours[0][order[0]], theirs[0][order[1]])
        np.testing.assert_array_equal(ours[1][order[0]], theirs[1][order[1]])
        np.testing.assert_allclose(ours[2][order[0]], theirs[2][order[1]], atol=1e-6)
