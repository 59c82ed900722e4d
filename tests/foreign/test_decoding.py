"""Boxes of the projects' own decoders, from the same maps: heads with the options that converted networks have."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet.boxes import transform
from centernet.images import Preprocessing
from centernet.images.published import affine_matrix
from centernet.network.heads import EmbeddingHead, HeatmapHead, LTRBHead, SizeOffsetHead
from tests.foreign.published import arrays as arrays_of

CLASSES = 6


@pytest.fixture(scope="module")
def arrays(shared: Path) -> Any:
    return arrays_of(shared / "data/oracles/upstream/decode.npz")


def maps(arrays: Any, *names: str) -> Tensor:
    return torch.cat([torch.from_numpy(arrays[name]) for name in names], dim=1)


def rows(heatmap: Tensor, box: Any, output: Tensor, count: int, stride: int = 1, **options: Any) -> np.ndarray:
    """N×K×6: box, score, class."""
    peaks = HeatmapHead(8, stride, heatmap.shape[1], **options).find_peaks(heatmap, count)
    boxes = box(8, stride, heatmap.shape[1]).decode(output, peaks)["bboxes"]
    return torch.cat([boxes, peaks.scores[..., None], peaks.labels[..., None]], dim=-1).detach().numpy()


@pytest.mark.parametrize(
    ("expected", "names", "options", "stride"),
    [
        ("orig.ctdet.K100", ("wh", "reg"), {}, 1),
        ("orig.ctdet.K40", ("wh", "reg"), {}, 1),
        ("orig.ctdet.K100_noreg", ("wh",), {"offset": False}, 1),
        ("orig.ctdet.K100_catspec", ("wh_catspec", "reg"), {"class_specific": True}, 1),
        ("mmdet.K100", ("wh", "reg"), {}, 4),
        ("mmdet.K40", ("wh", "reg"), {}, 4),
        ("better_plus.K100", ("wh", "reg"), {}, 1),
    ],
)
def test_size_and_offset(
    arrays: Any, expected: str, names: tuple[str, ...], options: dict[str, Any], stride: int
) -> None:
    output = maps(arrays, *(f"input.{name}" for name in names))
    wanted = arrays[expected]
    found = rows(maps(arrays, "input.hm_logits"), partial(SizeOffsetHead, **options), output, wanted.shape[1], stride)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def to_pixels(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return transform(boxes, np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2])


@pytest.mark.parametrize("case", ["post0", "post1"])
def test_the_original_s_way_to_pixels(arrays: Any, case: str) -> None:
    """Rows are grouped by class there, which counts from 1."""
    found = arrays["orig.ctdet.K100"][0]
    side = float(np.max(arrays[f"{case}.s"]))
    matrix = affine_matrix(tuple(arrays[f"{case}.c"]), side, (32, 40))
    np.testing.assert_allclose(matrix, arrays[f"{case}.trans"], atol=1e-6)
    boxes = to_pixels(found[:, :4], matrix)
    order = np.argsort(found[:, 5], kind="stable")
    expected = np.concatenate([boxes, found[:, 4:5], found[:, 5:] + 1], axis=1)[order]
    np.testing.assert_allclose(expected, arrays[f"{case}.ctdet"], rtol=1e-5, atol=1e-4)
    expected[:, :4] /= 1.25
    np.testing.assert_allclose(expected, arrays[f"{case}.ctdet_scale1.25"], rtol=1e-5, atol=1e-4)


def test_our_way_to_pixels_is_the_projects_own(arrays: Any) -> None:
    fixed = Preprocessing(size=(128, 160), resize="fix_res")
    boxes = 4 * arrays["orig.ctdet.K100"][0, :, :4]
    found = fixed.to_original(boxes, (427, 640), clip=False)
    order = np.argsort(arrays["orig.ctdet.K100"][0, :, 5], kind="stable")
    np.testing.assert_allclose(found[order], arrays["post0.ctdet"][:, :4], rtol=1e-5, atol=1e-3)
    kept = Preprocessing(resize="keep_res")
    top, bottom, left, right = arrays["mmdet.predict.border"][1]
    size = (int(bottom - top), int(right - left))
    assert kept.output_size(size) == tuple(arrays["mmdet.predict.batch_input_shape"])
    found = kept.to_original(arrays["mmdet.K100"][1, :, :4], size, clip=False)
    found /= np.tile(arrays["mmdet.predict.scale_factor"][1], 2)
    expected = arrays["mmdet.predict.img1"][:, :4].reshape(-1, 2, 2)  # one has a height below 0: ours is turned round
    np.testing.assert_allclose(found, np.sort(expected, axis=1).reshape(-1, 4), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(arrays["mmdet.K100"][0], arrays["mmdet.predict.img0"], atol=1e-4)
    width, height = arrays["better_plus.size"]
    matrix = affine_matrix(tuple(arrays["better_plus.center"]), width, (int(height) // 4, int(width) // 4))
    found = to_pixels(arrays["better_plus.K100"][0, :, :4], matrix)
    np.testing.assert_allclose(found, arrays["better_plus.img0_pixels"], rtol=1e-5, atol=1e-4)


def test_peaks_are_the_original_s(arrays: Any) -> None:
    heatmap = maps(arrays, "input.hm_logits")
    peaks = HeatmapHead(8, 4, CLASSES).find_peaks(heatmap, heatmap[0].numel())
    found = torch.zeros(heatmap.shape[0], heatmap[0].numel(), dtype=torch.uint8)
    index = peaks.labels * heatmap[0, 0].numel() + peaks.cells
    found.scatter_(1, index, (peaks.scores > 0).to(torch.uint8))
    np.testing.assert_array_equal(found.view_as(heatmap), arrays["orig.nms"])


@pytest.mark.parametrize(("name", "specific"), [("ctdet_flip", False), ("ctdet_flip_catspec", True)])
def test_the_original_s_flip_test(arrays: Any, name: str, specific: bool) -> None:
    """The second map stands for that of the mirror image."""
    heatmap = maps(arrays, "input.hm_logits")
    box = SizeOffsetHead(8, 1, CLASSES, class_specific=specific)
    output = maps(arrays, "input.wh_catspec" if specific else "input.wh", "input.reg")
    averaged = HeatmapHead(8, 1, CLASSES).with_mirror(heatmap[:1], heatmap[1:].flip(-1))
    output = box.with_mirror(output[:1], output[1:].flip(-1))
    found = rows(averaged, partial(SizeOffsetHead, class_specific=specific), output, 100)
    np.testing.assert_allclose(found, arrays[f"orig.{name}.K100"], atol=1e-4)


def test_simple_centernet(arrays: Any) -> None:
    output = maps(arrays, "input.wh", "input.reg")
    options = {"kernel": 7, "order": "class_maximum"}
    found = rows(maps(arrays, "input.hm_logits"), SizeOffsetHead, output, 100, 4, **options)
    label, x, y, width, height, score = np.moveaxis(arrays["simple.K100"], -1, 0)
    x, y, width, height = (part * side for part, side in zip((x, y, width, height), (160, 128) * 2, strict=True))
    boxes = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    np.testing.assert_allclose(found, np.stack([*boxes, score, label], axis=-1), atol=1e-4)


def test_fairmot_and_its_embeddings(arrays: Any) -> None:
    heatmap, output = maps(arrays, "pose.input.hm_logits"), maps(arrays, "fairmot.input.wh_ltrb", "input.reg")
    found = rows(heatmap, partial(SizeOffsetHead, size="sides"), output, 100)
    np.testing.assert_allclose(found, arrays["fairmot.mot_decode.K100"], atol=1e-4)
    peaks = HeatmapHead(8, 4, 1).find_peaks(heatmap, 100)
    np.testing.assert_array_equal(peaks.cells, arrays["fairmot.mot_decode.K100_inds"])
    embeddings = EmbeddingHead(8, 4, 1, dim=16).decode(maps(arrays, "fairmot.input.id"), peaks)["embeddings"]
    np.testing.assert_allclose(embeddings, arrays["fairmot.mot_decode.K100_id"], atol=1e-5)


def test_centernet_lightning(arrays: Any) -> None:
    box = partial(SizeOffsetHead, size="sides", offset=False)
    output = maps(arrays, "fairmot.input.wh_ltrb")
    found = rows(maps(arrays, "input.hm_logits"), box, output, 100, 4, order="class_maximum")
    np.testing.assert_allclose(found, arrays["lightning.K100"], atol=1e-4)


@pytest.mark.parametrize(("name", "threshold"), [("ttf", 0.01), ("ttf_thr0p75", 0.75), ("ttf_aware", 0.01)])
def test_ttfnet(arrays: Any, name: str, threshold: float) -> None:
    specific = name == "ttf_aware"
    box = partial(LTRBHead, form="relu", origin="corner", multiplier=4.0, class_specific=specific)
    output = maps(arrays, "ttf.input.wh_aware" if specific else "ttf.input.wh") / 16
    found = rows(maps(arrays, "input.hm_logits"), box, output, 100, 4)
    height, width = arrays["ttf.pad_shape_hw"] - 1  # the last pixel, as that project counts
    found[..., :4] = found[..., :4].clip(0, [width, height, width, height])
    for image in range(2):
        kept = found[image][found[image][:, 4] > threshold]
        np.testing.assert_allclose(kept, arrays[f"{name}.img{image}.raw"], atol=1e-4)
        scale = arrays["ttf.scale_factor"] if image else 1
        scaled = np.concatenate([kept[:, :4] / scale, kept[:, 4:]], axis=1)
        np.testing.assert_allclose(scaled, arrays[f"{name}.img{image}.rescaled"], atol=1e-4)
