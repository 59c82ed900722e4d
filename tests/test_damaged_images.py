"""Damaged images, seeded at random: read, or refused by an ImageError that names the file; nothing is filled up."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.images import ImageError, image_size, read_image

COUNT, SLOW_COUNT = 50, 500

PICTURES: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 85, "exif": Image.Exif()},
    "progressive": {"format": "jpeg", "progressive": True},
    "png": {},
    "webp": {"quality": 80},
    "bmp": {},
    "tiff": {"compression": "tiff_lzw"},
    "gif": {},
    "ppm": {},
    "tga": {},
    "pcx": {},
    "jpeg2000": {},
    "avif": {},
    "ico": {"sizes": [(32, 32)]},
}


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    values = bytearray(data)
    for place in rng.integers(len(values), size=rng.integers(1, 4)):
        values[place] = rng.integers(256)
    return bytes(values)


def cut_off(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def encode(kind: str) -> bytes:
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    options = {"format": kind, **PICTURES[kind]}
    if "exif" in options:
        options["exif"][0x0112] = 6
    file = BytesIO()
    coarse.resize((60, 48), Image.Resampling.BICUBIC).save(file, **options)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Pillow warns of damage that it then gets over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_images(kind: str, path: Path, cases: range) -> None:
    good = encode(kind)
    path.write_bytes(good)
    pixels, size = read_image(path), image_size(path)
    assert pixels.shape[:2] == size
    for case in cases:
        rng = np.random.default_rng([9, case])
        damage = (flip, cut_off)[case % 3 // 2]
        data = damage(good, rng)
        path.write_bytes(data)
        try:
            image_size(path)
        except ImageError as error:
            assert str(path) in str(error)
        try:
            image = read_image(path)
        except ImageError as error:
            assert str(path) in str(error)
            continue
        except Exception as error:
            raise AssertionError(f"case {case} of {kind}, {damage.__name__}") from error
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if damage is cut_off:  # nothing is filled up without a word
            assert np.array_equal(image, pixels), f"case {case} of {kind}: {len(data)} of {len(good)} bytes were read"


@pytest.mark.parametrize("kind", PICTURES)
def test_damaged_images(kind: str, tmp_path: Path) -> None:
    check_images(kind, tmp_path / "image.bin", range(COUNT))


@pytest.mark.slow
@pytest.mark.parametrize("kind", PICTURES)
def test_many_damaged_images(kind: str, tmp_path: Path) -> None:
    check_images(kind, tmp_path / "image.bin", range(SLOW_COUNT))
