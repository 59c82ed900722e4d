"""Copies are found whatever was done to them on the way; other images are not."""

from __future__ import annotations

import io
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from centernet.data import Synthetic
from centernet.data.near_duplicates import FINGERPRINT, fingerprint, group_alike, nearest_pairs
from centernet.data.sample import Pixels


def fingerprints(images: list[Pixels]) -> Pixels:
    return np.array([fingerprint(image) for image in images], np.uint8).reshape(-1, FINGERPRINT)


@pytest.fixture(scope="module")
def images() -> list[Pixels]:
    scenes = Synthetic(150, size=(120, 160), objects=(3, 8), seed=5)
    return [scenes.image(index).read()[0] for index in range(len(scenes))]


def recompressed(image: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=25)
    return np.array(Image.open(buffer))


CHANGES = {
    "same": lambda image: image,
    "recompressed": recompressed,
    "halved": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "squashed": lambda image: cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA),
    "brighter": lambda image: (image * 1.1 + 5).clip(0, 255).astype(np.uint8),
    "noisy": lambda image: (image + np.random.default_rng(0).normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(images: list[Pixels], change: str) -> None:
    copies = [np.ascontiguousarray(CHANGES[change](image)) for image in images]
    pairs = nearest_pairs(fingerprints(images), fingerprints(copies))
    assert sum(a == b for a, b, _ in pairs) >= 0.97 * len(images)
    assert all(0.95 <= alike <= 1 for _, _, alike in pairs)


def test_other_images_are_not_found(images: list[Pixels]) -> None:
    assert nearest_pairs(fingerprints(images[:75]), fingerprints(images[75:])) == []


def test_plain_images_are_like_nothing() -> None:
    plain = [np.full((40, 60, 3), value, dtype=np.uint8) for value in (0, 128, 255)]
    assert nearest_pairs(fingerprints(plain), fingerprints(plain)) == []
    nothing = fingerprints([])
    assert nearest_pairs(nothing, fingerprints(plain)) == nearest_pairs(fingerprints(plain), nothing) == []


def test_the_best_of_several_is_named(images: list[Pixels]) -> None:
    first = [recompressed(images[0]), images[0], images[1]]
    assert nearest_pairs(fingerprints(first), fingerprints(images[:1])) == [(1, 0, pytest.approx(1, abs=1e-5))]


def test_hashes_that_differ_in_more_than_ten_bits_are_not_alike(images: list[Pixels]) -> None:
    first = fingerprints(images[:1])
    for bits, pairs in ((10, 1), (11, 0)):
        second = first.copy()
        second[:, :bits] ^= 1
        assert len(nearest_pairs(first, second)) == pairs


def test_frames_of_a_still_camera_take_no_memory_of_their_square() -> None:
    """Of 4,000 frames each is near each other: sixteen million pairs of thumbnails would be 30 GB."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    frames = np.repeat(fingerprint(image)[None], 4000, axis=0)
    frames[:, -1] += np.arange(4000, dtype=np.uint8) % 3
    tracemalloc.start()
    groups, pairs = group_alike(frames), nearest_pairs(frames[:2000], frames[2000:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (groups == 0).all() and len(pairs) == 2000 and peak < 500 << 20


def test_groups_are_those_of_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    kinds = [fingerprint(rng.integers(0, 256, (9, 9, 3), np.uint8)) for _ in range(40)]
    frames = np.stack([kinds[one] for one in rng.integers(0, 40, 300)])
    _, first, members = np.unique(frames, axis=0, return_index=True, return_inverse=True)
    assert np.array_equal(group_alike(frames), first[members.reshape(-1)])
