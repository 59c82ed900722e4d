"""Mosaic and MixUp: boxes are where their pixels are, nothing of a box gets lost, and the last epochs do without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.data import Annotation, Augment, Mosaic, Sample
from centernet.images import Preprocessing
from centernet.testing import check_transform

PLAIN: dict[str, Any] = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
INPUT = Preprocessing(size=(192, 256), pad_value=20)
COLOURS = [(240, 20, 20), (20, 240, 20), (20, 20, 240), (240, 240, 20), (20, 240, 240)]


def made(number: int, size: tuple[int, int] = (150, 200), ignore: bool = False) -> Sample:
    """A dark image with one box in a colour of its own."""
    height, width = size
    box = (width // 4, height // 4, width * 3 // 4, height * 2 // 3)
    image = np.full((*size, 3), 20, dtype=np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = COLOURS[number]
    boxes, labels = np.array([box], dtype=np.float32), np.array([number % 3])
    ids, flags, areas = np.array([number + 100]), np.array([ignore]), np.array([1.0], dtype=np.float32)
    truth = Annotation(Path(f"{number}.png"), number, *size, boxes, labels, ids, flags, areas)
    return Sample(image, boxes.copy(), labels.copy(), ids.copy(), flags.copy(), truth)


def mixed(transform: Mosaic, seed: int, samples: list[Sample], preprocessing: Preprocessing = INPUT) -> Sample:
    return transform.mix(samples[0], others(samples), np.random.default_rng(seed), preprocessing)


def others(samples: list[Sample]) -> Callable[[], Sample]:
    rest = iter(samples[1:])
    return lambda: next(rest)


def extent(image: Any, number: int) -> Any:
    """The box around what is in a colour, None if nothing is."""
    near = np.abs(image.astype(int) - COLOURS[number]).max(axis=2) < 110
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else None


SIZES = [(150, 200), (300, 90), (60, 70), (700, 1000)]


@pytest.mark.parametrize("options", [{}, {"aspect": 1.4}, {"quarter_turns": True, "vertical_flip": 0.5}])
@pytest.mark.parametrize("rule", ["letterbox", "stretch"])
def test_boxes_of_a_mosaic_are_where_their_pixels_are(options: dict[str, Any], rule: Any) -> None:
    transform = Mosaic(mosaic=1, mixup=0, **{**PLAIN, **options})
    preprocessing = Preprocessing(size=(192, 256), resize=rule, pad_value=20)
    checked = 0
    for seed in range(40):
        result = mixed(transform, seed, [made(i, SIZES[i]) for i in range(4)], preprocessing)
        assert result.image.shape == (192, 256, 3) and result.image.dtype == np.uint8
        assert result.annotation.image_id == 0
        for box, label, name in zip(result.boxes, result.labels, result.ids - 100, strict=True):
            assert label == name % 3
            if (box[2:] - box[:2] < 6).any():
                continue
            np.testing.assert_allclose(box, extent(result.image, name), atol=2.1)
            checked += 1
        gone = set(range(4)) - set((result.ids - 100).tolist())
        assert all(extent(result.image, name) is None for name in gone)
    assert checked > 100


def test_turned_images_stay_in_their_parts() -> None:
    transform = Mosaic(mosaic=1, mixup=0, rotate=20, shear=5, **PLAIN)
    for seed in range(30):
        result = mixed(transform, seed, [made(i) for i in range(4)])
        for box, name in zip(result.boxes, result.ids - 100, strict=True):
            found = extent(result.image, name)
            if found is not None:
                assert (box[:2] < np.array(found[:2]) + 2).all() and (box[2:] > np.array(found[2:]) - 2).all()


def test_what_a_part_cuts_away_is_ignored() -> None:
    """Parts show pieces of boxes of 100 × 63 pixels: the share decides."""
    flags: dict[bool, list[float]] = {True: [], False: []}
    transform = Mosaic(mosaic=1, mixup=0, mosaic_scale=(0.8, 0.8), min_visibility=0.5, **PLAIN)
    full = 100 * 63 * (256 / 200 / 0.8) ** 2
    for seed in range(60):
        result = mixed(transform, seed, [made(i) for i in range(4)])
        sides = result.boxes[:, 2:] - result.boxes[:, :2]
        for flag, share in zip(result.ignore.tolist(), sides.prod(axis=1) / full, strict=True):
            flags[flag].append(share)
    assert flags[False] and min(flags[False]) > 0.49 and max(flags[True]) < 0.51
    crowds = mixed(Mosaic(mosaic=1, mixup=1), 0, [made(i, ignore=True) for i in range(5)])
    assert crowds.ignore.all()


def test_a_mosaic_is_full_of_images_where_they_suffice() -> None:
    """Pictures as large as the input cover all parts; small ones touch the point where the four meet."""
    white = [made(i, (192, 256)) for i in range(4)]
    for sample in white:
        sample.image[:] = 255
    for seed in range(20):
        large = mixed(Mosaic(mosaic=1, mixup=0, mosaic_scale=(1, 1), **PLAIN), seed, white)
        assert (large.image[2:-2, 2:-2] == 255).mean() > 0.97  # but for the seams
        small = mixed(Mosaic(mosaic=1, mixup=0, mosaic_scale=(4, 4), **PLAIN), seed, white)
        rows, columns = (np.flatnonzero((small.image[..., 0] > 200).any(axis=axis)) for axis in (1, 0))
        assert rows[-1] - rows[0] <= 96 and columns[-1] - columns[0] <= 128  # four of 48 × 64 side by side


def test_mixup_keeps_the_boxes_and_blends_the_pixels_of_both() -> None:
    still: dict[str, Any] = {"scale": (1, 1), "translate": 0, "flip": 0, **PLAIN}
    transform = Mosaic(mosaic=0, mixup=1, **still)
    first, second = made(0), made(1)
    shares = []
    for seed in range(30):
        result = mixed(transform, seed, [first, second])
        alone = [Augment(**still)(s, np.random.default_rng(0), INPUT) for s in (first, second)]
        assert result.ids.tolist() == [100, 101] and result.labels.tolist() == [0, 1]
        np.testing.assert_allclose(result.boxes, np.concatenate([s.boxes for s in alone]))
        red, green = result.image[96, 128, :2].astype(float)
        assert abs(red + green - 260) <= 1
        shares.append((red - 20) / 220)
        expected = shares[-1] * alone[0].image + (1 - shares[-1]) * alone[1].image
        assert np.abs(result.image - expected).max() <= 1.5
    assert 0.4 < np.mean(shares) < 0.6 and np.std(shares) > 0.05 and min(shares) > 0.1


def test_probabilities_of_0_are_augment() -> None:
    """The same numbers are drawn for the same image, but for the two that decide."""
    item = made(2)
    rng = np.random.default_rng(7)
    rng.random()
    expected = Augment(rotate=5)(item, rng, INPUT)
    result = mixed(Mosaic(mosaic=0, mixup=0, rotate=5), 7, [item])
    assert np.array_equal(result.image, expected.image) and np.array_equal(result.boxes, expected.boxes)


def test_it_keeps_the_contract_of_transforms() -> None:
    check_transform(Mosaic(rotate=10), made(0), INPUT, 3)
    samples = [made(i) for i in range(5)]
    before = [(s.image.copy(), s.boxes.copy(), s.ignore.copy()) for s in samples]
    empty = samples[1].select(np.arange(0), image=samples[1].image, boxes=np.zeros((0, 4), np.float32))
    for seed in range(5):
        result = mixed(Mosaic(mosaic=1, mixup=1), seed, [samples[0], empty, *samples[2:]])
        assert result.boxes.dtype == np.float32 and result.boxes.shape[1:] == (4,)
        assert result.labels.dtype == result.ids.dtype == np.int64 and result.ignore.dtype == bool
    for sample, (image, boxes, ignore) in zip(samples, before, strict=True):
        assert np.array_equal(sample.image, image) and np.array_equal(sample.boxes, boxes)
        assert np.array_equal(sample.ignore, ignore)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"mosaic": 1.5}, "mosaic"), ({"mixup": -1}, "mixup"), ({"close": 2}, "close"), ({"flip": 3}, "flip"),
     ({"mosaic_scale": (2, 1)}, "mosaic_scale")],
)  # fmt: skip
def test_wrong_settings_are_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"augmentation\.{name}: expected"):
        Mosaic(**options)


def test_whole_boxes_of_an_amodal_set_have_their_centres_on_their_own_picture() -> None:
    def person(number: int) -> Sample:
        """An image of one colour, with a box that is half outside."""
        sample = made(number)
        image = np.full((150, 200, 3), COLOURS[number], dtype=np.uint8)
        boxes = np.array([[-60, 30, 70, 120], [90, 40, 150, 190], [80, 60, 120, 110]], dtype=np.float32)
        ids = np.array([0, 1, 2]) + 10 * number
        flags = np.zeros(3, dtype=bool)
        return Sample(image, boxes, np.full(3, number), ids, flags, sample.annotation, amodal=True)

    transform = Mosaic(mosaic=1, mixup=0, min_visibility=0.1, **PLAIN)
    beyond = ignored = 0
    for seed in range(60):
        result = mixed(transform, seed, [person(i) for i in range(4)])
        assert result.amodal
        height, width = result.image.shape[:2]
        for box, label, ignore in zip(result.boxes, result.labels.tolist(), result.ignore.tolist(), strict=True):
            if ignore:
                ignored += 1
                assert box.min() >= 0 and (box <= [width, height, width, height]).all()
                continue
            x, y = (box[:2] + box[2:]) / 2
            assert 0 <= x < width and 0 <= y < height
            colour = result.image[int(y), int(x)].astype(int)
            own = min(abs(colour - COLOURS[label]).max(), abs(colour - INPUT.pad_value).max())  # or beside the image
            assert own < 130
            beyond += bool(box.min() < 0 or box[2] > width or box[3] > height)
    assert beyond > 20 and ignored > 20
