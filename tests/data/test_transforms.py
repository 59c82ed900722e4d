"""Augmentation: where pixels go the boxes go, what is cut away is ignored, and colours change as the settings say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.data import Annotation, Augment, Resize, Sample, Synthetic
from centernet.images import LazyImage, Preprocessing, open_image
from centernet.testing import check_transform

SQUARE = Preprocessing(size=(128, 128))
PLAIN: dict[str, Any] = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
STILL: dict[str, Any] = {"scale": (1, 1), "translate": 0, "flip": 0, **PLAIN}
GRAY = np.array([0.299, 0.587, 0.114])


def sample(boxes: Any, size: tuple[int, int] = (100, 150), image: Any = None, ignore: Any = None) -> Sample:
    """An image with the given boxes; each has its own identity."""
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    count = len(boxes)
    flags = np.zeros(count, dtype=bool) if ignore is None else np.asarray(ignore, dtype=bool)
    labels, ids = np.arange(count) % 3, np.arange(count) + 100
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    truth = Annotation(Path("a.jpg"), 0, *size, boxes, labels, ids, flags, areas)
    image = np.full((*size, 3), 60, dtype=np.uint8) if image is None else image
    return Sample(image, boxes.copy(), labels.copy(), ids.copy(), flags.copy(), truth)


def marked(box: tuple[int, int, int, int], size: tuple[int, int] = (100, 150)) -> Sample:
    """A dark image with one bright box."""
    image = np.full((*size, 3), 20, dtype=np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 240
    return sample([box], size, image)


def bright_extent(image: Any) -> Any:
    """The box around pixels nearer to the mark than to the background, with the parts of pixels at its edges."""
    share = (image[..., 0].astype(float) - 114) / 126 > 0
    rows, columns = np.flatnonzero(share.any(axis=1)), np.flatnonzero(share.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def call(transform: Any, item: Sample, seed: int = 0, preprocessing: Preprocessing = SQUARE) -> Sample:
    result: Sample = transform(item, np.random.default_rng(seed), preprocessing)
    return result


@pytest.mark.parametrize("rule", ["letterbox", "stretch", "keep"])
def test_resize_is_what_inference_does(rule: Any) -> None:
    preprocessing = Preprocessing(size=(128, 96), resize=rule)
    item = Synthetic(1, size=(90, 140))[0]
    result = call(Resize(), item, preprocessing=preprocessing)
    assert np.array_equal(result.image, preprocessing(item.image))
    np.testing.assert_allclose(preprocessing.to_original(result.boxes, (90, 140)), item.boxes, atol=1e-3)
    assert np.array_equal(result.labels, item.labels) and result.annotation is item.annotation


@pytest.mark.parametrize("options", [
    {},
    {"vertical_flip": 0.5, "flip": 0.5},
    {"quarter_turns": True},
    {"aspect": 1.5},
    {"scale": (0.4, 2.0), "translate": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("rule", ["letterbox", "stretch"])
def test_boxes_go_where_their_pixels_go(options: dict[str, Any], rule: Any) -> None:
    augment = Augment(**{**PLAIN, "translate": 0.2, **options})
    preprocessing = Preprocessing(size=(160, 128), resize=rule, pad_value=20)
    seen = set()
    for seed in range(40):
        result = call(augment, marked((60, 30, 100, 70)), seed, preprocessing)
        if len(result.boxes) == 0 or result.ignore[0]:
            continue
        np.testing.assert_allclose(result.boxes[0], bright_extent(result.image), atol=1.6)
        seen.add(tuple(result.boxes[0].round().tolist()))
    assert len(seen) > 25  # each time another place


@pytest.mark.parametrize("options", [{}, {"quarter_turns": True, "vertical_flip": 0.5}, {"rotate": 20, "shear": 5}])
def test_a_picture_that_is_decoded_small_gives_the_same_sample(options: dict[str, Any]) -> None:
    """The scale that the image is read at is one that the window needs, and nothing moves."""
    item = marked((403, 204, 701, 507), (1001, 1203))
    file = io.BytesIO()
    Image.fromarray(item.image).save(file, "JPEG", quality=95, subsampling=0)
    image = open_image(file.getvalue())
    asked: list[float] = []

    def read(scale: float) -> Any:
        asked.append(scale)
        return image.read(scale)

    augment = Augment(**{**PLAIN, "scale": (0.3, 1.4), "translate": 0.1, **options})
    most = augment.largest_scale((1001, 1203), SQUARE)
    for seed in range(30):
        watched = LazyImage(image.size_hw, read)
        small = Sample(watched, item.boxes, item.labels, item.ids, item.ignore, item.annotation)
        ours, theirs = call(augment, small, seed), call(augment, item, seed)
        assert np.array_equal(ours.ids, theirs.ids)
        if len(ours.boxes) == 0 or ours.ignore[0]:
            continue
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=2.1)
        if not options.get("rotate"):
            x1, y1, x2, y2 = ours.boxes[0]
            inside = ours.image[int(y1) + 2 : int(y2) - 1, int(x1) + 2 : int(x2) - 1]
            assert inside.min() > 200 and (ours.image > 130).all(axis=2).sum() <= (x2 - x1 + 2) * (y2 - y1 + 2)
        assert np.abs(ours.image.astype(int) - theirs.image).mean() < 4
    assert len(asked) == 30 and max(asked) <= most * (1 + 1e-9) and most < 1
    assert min(asked) < 1 / 8 < 1 / 4 < max(asked)


def test_turned_boxes_hold_their_pixels() -> None:
    augment = Augment(**{**PLAIN, "translate": 0.1, "rotate": 25, "shear": 10})
    preprocessing = Preprocessing(size=(160, 160), pad_value=20)
    for seed in range(30):
        result = call(augment, marked((60, 30, 100, 70)), seed, preprocessing)
        x1, y1, x2, y2 = bright_extent(result.image)
        box = result.boxes[0]
        assert box[0] < x1 + 1.5 and box[1] < y1 + 1.5 and box[2] > x2 - 1.5 and box[3] > y2 - 1.5
        # The corners of a turned square lie on all four sides of the box around it.
        np.testing.assert_allclose(box, [x1, y1, x2, y2], atol=3)


def test_a_still_window_is_the_evaluation_s_picture() -> None:
    item = Synthetic(1, size=(96, 144))[0]
    for preprocessing in (Preprocessing(size=(192, 192)), Preprocessing(size=(192, 100), resize="stretch")):
        ours = call(Augment(**STILL), item, preprocessing=preprocessing)
        theirs = call(Resize(), item, preprocessing=preprocessing)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1)
        assert np.abs(ours.image.astype(int) - theirs.image).mean() < 2


def test_scale_is_the_window_s_side() -> None:
    item = sample([[70, 45, 80, 55]])
    fitted = 128 / 150
    for scale in (0.5, 1.0, 1.4):
        result = call(Augment(**{**STILL, "scale": (scale, scale)}), item)
        # Pictures begin and end at whole pixels: half a pixel of 85 and more.
        np.testing.assert_allclose(result.boxes[0, 2:] - result.boxes[0, :2], 10 * fitted / scale, rtol=0.5 / 85)
        np.testing.assert_allclose(result.boxes[0, :2] + result.boxes[0, 2:], 128, atol=1)  # the centre stays
    mirrored = call(Augment(**{**STILL, "flip": 1}), sample([[0, 0, 30, 20]]))
    plain = call(Augment(**STILL), sample([[0, 0, 30, 20]]))
    np.testing.assert_allclose(mirrored.boxes[0, [0, 2]], 128 - plain.boxes[0, [2, 0]], atol=1e-3)
    np.testing.assert_allclose(mirrored.boxes[0, [1, 3]], plain.boxes[0, [1, 3]], atol=1e-3)


def test_quarter_turns_fill_the_input_with_the_turned_picture() -> None:
    augment = Augment(**{**STILL, "quarter_turns": True})
    sizes = set()
    for seed in range(20):
        result = call(augment, sample([[0, 0, 150, 100]]), seed)
        sizes.add(tuple((result.boxes[0, 2:] - result.boxes[0, :2]).round().tolist()))
    assert sizes == {(128, 85), (85, 128)}


def test_what_is_cut_away_is_ignored_and_what_is_gone_is_dropped() -> None:
    # The window is the middle half of the image: x 37.5 .. 112.5, and more than its height.
    boxes = [
        [50, 40, 60, 50],  # inside
        [17.5, 40, 47.5, 50],  # a third inside
        [0, 40, 47.5, 50],  # a fifth
        [0, 40, 37, 50],  # nothing
        [60, 40, 60.2, 50],  # narrower than a pixel
    ]
    augment = Augment(**{**STILL, "scale": (0.5, 0.5)})
    result = call(augment, sample(boxes, ignore=[False] * 5))
    assert result.ids.tolist() == [100, 101, 102, 104] and result.labels.tolist() == [0, 1, 2, 1]
    assert result.ignore.tolist() == [False, False, True, True]
    assert result.boxes[1, 0] == result.boxes[2, 0] == 0  # cut at the input's edge
    crowd = call(augment, sample(boxes, ignore=[True] * 5))
    assert crowd.ignore.all() and len(crowd.boxes) == 4
    strict = call(Augment(**{**STILL, "scale": (0.5, 0.5), "min_visibility": 0.5, "min_size": 0}), sample(boxes))
    assert strict.ignore.tolist() == [False, True, True, False]


def test_ids_labels_and_flags_stay_with_their_boxes() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, [130, 80], (30, 2))
    item = sample(np.concatenate([corners, corners + rng.uniform(3, 20, (30, 2))], axis=1), ignore=rng.random(30) < 0.3)
    for seed in range(20):
        result = call(Augment(), item, seed)
        rows = result.ids - 100
        assert np.array_equal(result.labels, item.labels[rows])
        assert (result.ignore >= item.ignore[rows]).all()
        check_transform(Augment(rotate=10, aspect=1.3, quarter_turns=True), item, SQUARE, 3)


def test_no_boxes_stay_no_boxes() -> None:
    for transform in (Augment(), Resize()):
        result = call(transform, sample([]))
        assert result.boxes.shape == (0, 4) and result.labels.shape == result.ignore.shape == (0,)


@pytest.mark.parametrize("seed", range(8))
def test_the_border_has_the_colour_of_inference_s_padding(seed: int) -> None:
    item = sample([], image=np.full((100, 150, 3), (90, 160, 40), dtype=np.uint8))
    result = call(Augment(scale=(1.4, 1.4), translate=0, flip=0, hue=0.1), item, seed)
    assert np.abs(result.image[:8].astype(int) - 114).max() <= 2
    assert np.abs(result.image[60, 64].astype(int) - 114).max() > 5


def colours(item: Sample, seed: int, **options: Any) -> Any:
    augment = Augment(**{**STILL, **options})
    return augment.colour_matrix(item.image, np.random.default_rng(seed))


def test_colours_change_as_the_settings_say() -> None:
    rng = np.random.default_rng(3)
    item = sample([], image=rng.integers(30, 220, (64, 64, 3), dtype=np.uint8))
    pixels = item.image.reshape(-1, 3).astype(float)
    subsampled = item.image[::8, ::8].reshape(-1, 3).astype(float)
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    for seed in range(10):
        np.testing.assert_allclose(homogeneous @ colours(item, seed).T, pixels, atol=1e-9)
        bright = homogeneous @ colours(item, seed, brightness=0.4).T
        np.testing.assert_allclose(bright / pixels, (bright / pixels)[0, 0])
        assert 0.6 <= (bright / pixels)[0, 0] <= 1.4
        matrix = colours(item, seed, contrast=0.4)
        mean = subsampled.mean(axis=0) @ GRAY
        np.testing.assert_allclose(matrix @ [mean, mean, mean, 1], [mean] * 3)  # the mean gray stays
        saturated = homogeneous @ colours(item, seed, saturation=0.4).T
        np.testing.assert_allclose(saturated @ GRAY, pixels @ GRAY, rtol=1e-4)  # so does each pixel's gray
        turned = homogeneous @ colours(item, seed, hue=0.1).T
        np.testing.assert_allclose(turned @ GRAY, pixels @ GRAY, rtol=1e-4)
        grays = colours(item, seed, hue=0.1, saturation=0.4) @ [77, 77, 77, 1]
        np.testing.assert_allclose(grays, [77] * 3, rtol=1e-3)  # gray has no hue


def test_a_third_of_a_turn_makes_red_greenish() -> None:
    item = sample([], image=np.full((16, 16, 3), (200, 60, 60), dtype=np.uint8))
    turned = [colours(item, seed, hue=1 / 3) @ [200, 60, 60, 1] for seed in range(40)]
    assert any(green > red + 40 for red, green, _ in turned) and any(blue > red + 40 for red, _, blue in turned)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"scale": (1.4, 0.6)}, "scale"),
        ({"scale": (0, 1)}, "scale"),
        ({"aspect": 0.5}, "aspect"),
        ({"flip": 1.5}, "flip"),
        ({"vertical_flip": -0.1}, "vertical_flip"),
        ({"brightness": 1.0}, "brightness"),
        ({"hue": float("nan")}, "hue"),
        ({"shear": 80}, "shear"),
        ({"min_visibility": 2}, "min_visibility"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"augmentation\.{name}: expected"):
        Augment(**options)


def amodal(boxes: Any, size: tuple[int, int] = (100, 150), ignore: Any = None) -> Sample:
    whole = sample(boxes, size, ignore=ignore)
    whole.amodal = True
    return whole


def test_boxes_of_an_amodal_set_are_not_cut() -> None:
    boxes = [[-30, 20, 40, 90], [100, 50, 190, 130], [10, 10, 50, 40]]
    result = call(Augment(**STILL), amodal(boxes))
    np.testing.assert_allclose(result.boxes, SQUARE.to_input(np.float32(boxes), (100, 150)), atol=1e-4)
    assert result.amodal and not result.ignore.any() and result.ids.tolist() == [100, 101, 102]
    cut = call(Augment(**STILL), sample(boxes))
    width, top = 128, 128 / 150 * 100
    assert cut.boxes[:, 0].min() == 0 and cut.boxes[:, 2].max() == width and cut.boxes[:, 3].max() > top
    for seed in range(30):  # a window cuts neither; regions to ignore are cut
        whole = call(Augment(**PLAIN, rotate=20, min_visibility=0.1), amodal(boxes, ignore=[0, 0, 1]), seed)
        check_transform(Augment(rotate=20), amodal(boxes), SQUARE, 3, amodal=True)
        same = call(Augment(**PLAIN, rotate=20, min_visibility=0.0, min_size=0), sample(boxes), seed)
        assert np.array_equal(whole.image, same.image)
        ignored = whole.boxes[whole.ignore]
        assert (ignored >= 0).all() and (ignored <= 128).all()
        objects = ~whole.ignore
        kept = [same.ids.tolist().index(identity) for identity in whole.ids[objects].tolist()]
        clipped = np.clip(whole.boxes[objects], 0, 128)
        assert (abs(clipped - same.boxes[kept]) <= 1e-3).all()


def test_how_much_of_an_amodal_object_is_seen_is_judged_by_its_picture() -> None:
    """A window with a border shows no more of what lies beyond the image."""
    wide = {**STILL, "scale": (2, 2)}
    boxes = [[-80, 40, 20, 60], [-60, 40, 40, 60]]  # 20 % and 40 % in the image
    result = call(Augment(**wide), amodal(boxes))
    assert result.ignore.tolist() == [True, False]
    input_scale = 128 / 150 / 2
    left = 64 - 75 * input_scale  # of the image in the window
    np.testing.assert_allclose(result.boxes[0, [0, 2]], [left, left + 20 * input_scale], atol=1e-3)
    np.testing.assert_allclose(result.boxes[1, [0, 2]], [left - 60 * input_scale, left + 40 * input_scale], atol=1e-3)
