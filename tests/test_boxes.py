"""Box formats and overlaps: values from outside, both kinds of array, degenerate boxes, tracing."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import boxes

KINDS = ("iou", "giou", "diou", "ciou")
NAMES = {"iou": "IoULoss", "giou": "GIoULoss", "diou": "DIoULoss", "ciou": "CIoULoss"}
BOXES = [[10.0, 20.0, 30.0, 60.0], [-5.0, 0.0, 5.0, 8.0], [3.0, 3.0, 3.0, 3.0]]


def random_boxes(count: int, seed: int = 0, high: float = 100.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, high, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, high / 2, (count, 2))], 1).astype(np.float32)


@pytest.fixture(params=["numpy", "torch"])
def kind_of_array(request: pytest.FixtureRequest) -> Any:
    return np.asarray if request.param == "numpy" else torch.as_tensor


def test_formats_are_what_they_say_and_invert_each_other(kind_of_array: Any) -> None:
    given = kind_of_array(np.array(BOXES, dtype=np.float32))
    xywh = boxes.xyxy_to_xywh(given)
    cxcywh = boxes.xyxy_to_cxcywh(given)
    assert type(xywh) is type(given) and xywh.dtype == given.dtype
    np.testing.assert_array_equal(xywh, [[10, 20, 20, 40], [-5, 0, 10, 8], [3, 3, 0, 0]])
    np.testing.assert_array_equal(cxcywh, [[20, 40, 20, 40], [0, 4, 10, 8], [3, 3, 0, 0]])
    np.testing.assert_array_equal(boxes.xywh_to_xyxy(xywh), BOXES)
    np.testing.assert_array_equal(boxes.cxcywh_to_xyxy(cxcywh), BOXES)


def test_area_counts_inverted_boxes_as_empty(kind_of_array: Any) -> None:
    given = kind_of_array(np.array([[0, 0, 4, 5], [4, 5, 0, 0], [4, 0, 0, 5]], dtype=np.float32))
    np.testing.assert_array_equal(boxes.area(given), [20, 0, 0])


def test_clip_keeps_boxes_inside_height_and_width(kind_of_array: Any) -> None:
    given = kind_of_array(np.array([[-5, -5, 500, 500], [10, 20, 30, 40]], dtype=np.float32))
    np.testing.assert_array_equal(boxes.clip(given, (100, 200)), [[0, 0, 200, 100], [10, 20, 30, 40]])


def test_clip_takes_a_size_for_each_image_of_a_batch(kind_of_array: Any) -> None:
    batch = kind_of_array(np.tile(np.array([-5, -5, 500, 500], dtype=np.float32), (2, 3, 1)))
    height, width = kind_of_array(np.array([[10.0], [20.0]])), kind_of_array(np.array([[30.0], [40.0]]))
    clipped = boxes.clip(batch, (height, width))
    assert clipped.dtype == batch.dtype
    np.testing.assert_array_equal(clipped[0, 2], [0, 0, 30, 10])
    np.testing.assert_array_equal(clipped[1, 0], [0, 0, 40, 20])


def test_transform_is_the_box_around_the_four_mapped_corners(kind_of_array: Any) -> None:
    given = random_boxes(20)
    matrix = np.array([[0.8, -0.6, 7.0], [0.6, 0.8, -3.0]])
    x1, y1, x2, y2 = given.T
    corners = np.stack([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], 0)  # 4×2×N
    mapped = np.einsum("ij,cjn->cin", matrix[:, :2], corners) + matrix[:, 2, None]
    expected = np.concatenate([mapped.min(0), mapped.max(0)]).T
    result = boxes.transform(kind_of_array(given), matrix)
    assert result.dtype == kind_of_array(given).dtype
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_transform_takes_a_matrix_for_each_image_of_a_batch(kind_of_array: Any) -> None:
    given = np.stack([random_boxes(5, 1), random_boxes(5, 2)])
    matrices = np.array([[[2.0, 0, 1], [0, 2, 1]], [[1, 0, -4], [0, -1, 50]]])
    both = boxes.transform(kind_of_array(given), matrices)
    for i in range(2):
        np.testing.assert_allclose(both[i], boxes.transform(kind_of_array(given[i]), matrices[i]))


def test_overlaps_of_hand_computed_boxes(kind_of_array: Any) -> None:
    a = kind_of_array(np.array([[0, 0, 10, 10], [20, 20, 30, 30]], dtype=np.float32))
    b = kind_of_array(np.array([[5, 0, 15, 10], [0, 0, 10, 10], [25, 20, 45, 30]], dtype=np.float32))
    np.testing.assert_allclose(boxes.iou(a, b), [[1 / 3, 1, 0], [0, 0, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(boxes.intersection_over_area(a, b), [[0.5, 1, 0], [0, 0, 0.5]], rtol=1e-6)
    # Inclusive sides: 11×11 pixels each, 6×11 of them shared.
    np.testing.assert_allclose(boxes.iou(a, b, inclusive=True)[0, 0], 66 / (2 * 121 - 66), rtol=1e-6)


def test_matrix_and_elementwise_forms_agree(kind_of_array: Any) -> None:
    a, b = kind_of_array(random_boxes(30, 1)), kind_of_array(random_boxes(30, 2))
    for inclusive in (False, True):
        matrix = boxes.iou(a, b, inclusive=inclusive)
        pairs = boxes.elementwise_iou(a, b, inclusive=inclusive)
        np.testing.assert_allclose(np.diagonal(np.asarray(matrix)), pairs, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_iou_family_equals_the_reference(shared: Path, kind: Any) -> None:
    with np.load(shared / "data/oracles/upstream/losses.npz") as oracle:
        first, second = oracle["lightning.boxes1"], oracle["lightning.boxes2"]
        losses = oracle[f"lightning.{NAMES[kind]}"]
        gradients = oracle[f"lightning.{NAMES[kind]}.grad_boxes1"]
    predicted = torch.from_numpy(first).requires_grad_()
    loss = 1 - boxes.elementwise_iou(predicted, torch.from_numpy(second), kind)
    loss.sum().backward()
    np.testing.assert_allclose(loss.detach().numpy(), losses, atol=1e-5)
    assert predicted.grad is not None
    np.testing.assert_allclose(predicted.grad.numpy(), gradients, atol=1e-5)
    np.testing.assert_allclose(1 - boxes.elementwise_iou(first, second, kind), losses, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_finite_differences(kind: Any) -> None:
    a = torch.from_numpy(random_boxes(12, 3)).double().requires_grad_()
    b = torch.from_numpy(random_boxes(12, 4)).double()

    assert torch.autograd.gradcheck(lambda first: boxes.elementwise_iou(first, b, kind), (a,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("inclusive", [False, True])
def test_degenerate_boxes_give_finite_values_and_gradients(kind: Any, dtype: torch.dtype, inclusive: bool) -> None:
    point, flat, thin = [5.0, 5, 5, 5], [2.0, 7, 9, 7], [4.0, 1, 4, 8]
    inverted, zero, usual, far = [9.0, 9, 1, 1], [0.0, 0, 0, 0], [1.0, 2, 8, 9], [90.0, 90, 95, 99]
    each = torch.tensor([point, flat, thin, inverted, zero, usual, far], dtype=dtype)
    a = each.repeat_interleave(len(each), 0).requires_grad_()
    b = each.repeat(len(each), 1)
    value = boxes.elementwise_iou(a, b, kind, inclusive=inclusive)
    (1 - value).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(value).all() and torch.isfinite(a.grad).all()
    if dtype == torch.float32:
        with np.errstate(all="raise"):
            arrays = boxes.elementwise_iou(a.detach().numpy(), b.numpy(), kind, inclusive=inclusive)
        np.testing.assert_allclose(arrays, value.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_boxes_of_a_big_picture_do_not_overflow(dtype: torch.dtype) -> None:
    given = torch.tensor([[0, 0, 4000, 3000], [1000, 0, 4000, 3000]], dtype=dtype)
    torch.testing.assert_close(boxes.iou(given, given), torch.tensor([[1, 0.75], [0.75, 1]]), atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_is_wholly_on_itself(kind: Any, kind_of_array: Any) -> None:
    given = kind_of_array(random_boxes(10))
    np.testing.assert_allclose(boxes.elementwise_iou(given, given, kind), np.ones(10), atol=1e-6)


def test_no_boxes_give_no_values(kind_of_array: Any) -> None:
    none, some = kind_of_array(np.zeros((0, 4), np.float32)), kind_of_array(random_boxes(3))
    assert tuple(boxes.iou(none, some).shape) == (0, 3)
    assert tuple(boxes.iou(some, none).shape) == (3, 0)
    assert tuple(boxes.elementwise_iou(none, none, "ciou").shape) == (0,)
    assert tuple(boxes.transform(none, np.eye(3)[:2]).shape) == (0, 4)


def test_unsigned_integers_do_not_wrap_around() -> None:
    a = np.array([[10, 10, 20, 20]], dtype=np.uint8)
    b = np.array([[100, 100, 200, 200]], dtype=np.uint8)
    assert boxes.iou(a, b)[0, 0] == 0
    assert boxes.elementwise_iou(a, b, "giou")[0] < 0


def test_errors_name_the_shape_or_the_kind() -> None:
    with pytest.raises(ValueError, match=r"\(3, 5\)"):
        boxes.area(np.zeros((3, 5)))
    with pytest.raises(TypeError, match="list"):
        boxes.area([[0, 0, 1, 1]])  # type: ignore[type-var]
    with pytest.raises(ValueError, match="'giuo'"):
        boxes.elementwise_iou(np.zeros((1, 4)), np.zeros((1, 4)), "giuo")  # type: ignore[arg-type]


class Decode(torch.nn.Module):
    def forward(self, maps: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return boxes.clip(boxes.cxcywh_to_xyxy(maps), (images.shape[2], images.shape[3]))


def test_what_decoding_uses_exports_and_traces() -> None:
    maps, images = torch.rand(1, 5, 4) * 60, torch.zeros(1, 3, 32, 48)
    expected = Decode()(maps, images)
    free = torch.export.Dim.DYNAMIC
    exported = torch.export.export(
        Decode(), (maps, images), dynamic_shapes={"maps": {1: free}, "images": {2: free, 3: free}}
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.trace")  # deprecated, and still what many deploy
        traced = torch.jit.trace(Decode(), (maps, images))
    other_maps, other_images = torch.rand(1, 7, 4) * 90, torch.zeros(1, 3, 64, 40)
    other = Decode()(other_maps, other_images)
    for program in (exported.module(), traced):
        torch.testing.assert_close(program(maps, images), expected)
        torch.testing.assert_close(program(other_maps, other_images), other)


def test_arrays_need_no_torch() -> None:
    code = (
        "import sys, numpy as np; from centernet import boxes;"
        "b = np.array([[0., 0, 2, 2]]); boxes.iou(b, b); boxes.clip(b, (1, 1)); boxes.transform(b, np.eye(3)[:2]);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(Path(boxes.__file__).parents[1])})
