"""Large image files are read by windows where they can be, and refused where they would take too much memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from centernet.images import ImageError, image_size, open_image, read_image, windows
from centernet.images.windows import Windows, limited, look_in_tiles

by_windows = pytest.mark.skipif(find_spec("rasterio") is None, reason="the extra `large` is not installed")
WIDTH, HEIGHT = 701, 533


def scene() -> Image.Image:
    """Return an image of smooth colours and edges."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([x % 256, y % 256, 128 + 80 * np.sin(x / 30) * np.cos(y / 20)], axis=-1).astype(np.uint8)
    return Image.fromarray(cv2.rectangle(pixels, (90, 60), (400, 300), (250, 240, 10), -1))


def transparent() -> Image.Image:
    image = scene().convert("RGBA")
    image.putalpha(scene().convert("L"))
    return image


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    scene().save(path, exif=exif)


WINDOWED: dict[str, Callable[[Path], Any]] = {
    "plain.tif": lambda path: scene().save(path),
    "lzw.tif": lambda path: scene().save(path, compression="tiff_lzw"),
    "deflate.tif": lambda path: transparent().save(path, compression="tiff_adobe_deflate"),
    "jpeg.tif": lambda path: scene().save(path, compression="jpeg"),
    "big.tif": lambda path: scene().save(path, big_tiff=True),
    "gray.tif": lambda path: scene().convert("L").save(path),
    "plain.png": lambda path: scene().save(path),
    "transparent.png": lambda path: transparent().save(path),
    "gray.png": lambda path: scene().convert("L").save(path),
    "plain.jpg": lambda path: scene().save(path, subsampling=0),
    "subsampled.jpg": lambda path: scene().save(path),
    "gray.jpg": lambda path: scene().convert("L").save(path),
}
WHOLE: dict[str, Callable[[Path], Any]] = {
    "palette.png": lambda path: scene().convert("P").save(path),
    "bits.tif": lambda path: scene().convert("1").save(path),
    "deep.png": lambda path: Image.fromarray(np.asarray(scene().convert("L")).astype(np.uint16) * 250).save(path),
    "inverted.tif": lambda path: scene().convert("L").save(path, tiffinfo={262: 0}),
    "turned.tif": lambda path: scene().save(path, tiffinfo={274: 6}),
    "turned.jpg": turned,
    "turned.png": turned,
    "progressive.jpg": lambda path: scene().save(path, progressive=True),
    "cmyk.jpg": lambda path: scene().convert("CMYK").save(path),
    "plain.webp": lambda path: scene().save(path),
}


@pytest.mark.parametrize("name", [*WINDOWED, *WHOLE])
def test_windows_are_the_parts_of_the_image(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ROWS", 64)
    path = tmp_path / name
    (WINDOWED | WHOLE)[name](path)
    whole = read_image(path)
    image = open_image(path)
    assert (image.windowed is not None) == (name in WINDOWED)
    height, width = image.size_hw
    parts = Windows(image, (50, width - 20), 4.0)
    # JPEG leaves the rounding, and the interpolation of its colours, to the decoder.
    mean, most = (1.0, 99) if "subsampled" in name else (0.05, 2)
    for y in (0, 90, 100, 250, height - 200):
        for x in (50, 200, width - 220):
            difference = np.abs(parts.read((x, y, x + 200, y + 200)).astype(int) - whole[y : y + 200, x : x + 200])
            assert difference.max() <= most and difference.mean() <= mean
    area, size_hw = (50, 10, width - 20, height), ((height - 10) // 3, (width - 70) // 4)
    averaged, part = parts.read(area, size_hw), np.ascontiguousarray(whole[10:, 50 : width - 20])
    if averaged.shape == part.shape:
        np.testing.assert_array_equal(averaged, part)
    else:
        expected = cv2.resize(part, size_hw[::-1], interpolation=cv2.INTER_AREA)
        assert averaged.shape == expected.shape and np.abs(averaged.astype(int) - expected).max() <= most + 1
    parts.close()


@by_windows
def test_a_file_is_read_without_its_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plain.tif", "plain.png", "plain.jpg"):
        WINDOWED[name](tmp_path / name)
        image = limited(open_image(tmp_path / name), 1e-4)
        with pytest.raises(ImageError, match="GB to decode"):
            image.read()
        assert Windows(image, (0, 100), 0.001).read((0, 0, 100, 100)).shape == (100, 100, 3)
        with pytest.raises(ImageError, match=r"take smaller tiles, or allow it \(--max-memory\)"):
            Windows(image, (0, WIDTH), 1e-4).read((0, 0, WIDTH, HEIGHT))


@by_windows
def test_damage_is_told_where_it_is_reached(tmp_path: Path) -> None:
    for name in ("deflate.tif", "plain.png"):
        path = tmp_path / name
        WINDOWED[name](path)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
        path.write_bytes(data)
        parts = Windows(open_image(path), (0, WIDTH), 4.0)
        with pytest.raises(ImageError, match=rf"{name}: cannot be read"):
            parts.read((0, 0, WIDTH, HEIGHT))


def header_of_png(side: int) -> bytes:
    """Return a small file that claims to be a square of this side."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))
    packed = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_what_an_image_would_take_is_said_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "find_spec", lambda name: None)
    path = tmp_path / "bomb.png"
    path.write_bytes(header_of_png(40_000))
    image = open_image(path)  # only its pixels are refused
    assert image.size_hw == (40_000, 40_000)
    for read in (image.read, lambda: read_image(path), lambda: image_size(path)):
        with pytest.raises(ImageError, match=r"bomb.png: 40000×40000 pixels are more than .*MAX_IMAGE_PIXELS"):
            read()
    with pytest.raises(ImageError, match=r"bomb.png: 40000×40000 .*, --tile .* --region"):
        look_in_tiles(image).read()
    text = (
        r"bomb.png: 40000×40000 pixels take 11.2 GB to decode, more than the 4 GB.*--max-memory 12 .*centernet\[large\]"
    )
    with pytest.raises(ImageError, match=text):
        Windows(limited(image, 4.0), (0, 40_000), 4.0)
    with pytest.raises(ImageError, match=r"take 25.6 GB to draw on, .* --format json or csv.* --max-memory 26"):
        limited(image, 4.0, drawn=True).read()
    pixels = np.zeros((9, 9, 3), np.uint8)
    assert limited(image.of(pixels), 1e-9).read()[0] is pixels, "what is in memory takes no more"


def test_the_header_of_a_png_file_is_read_without_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene().save(tmp_path / "plain.png")
    turned(tmp_path / "turned.png")
    data = (tmp_path / "turned.png").read_bytes()
    place = data.index(b"eXIf") - 4
    end = place + 12 + int.from_bytes(data[place : place + 4], "big")
    (tmp_path / "late.png").write_bytes(data[:place] + data[end:-12] + data[place:end] + data[-12:])
    assert image_size(tmp_path / "late.png") == image_size(tmp_path / "turned.png") == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_image(tmp_path / "late.png"), read_image(tmp_path / "turned.png"))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("decoded"))
    assert image_size(tmp_path / "plain.png") == (HEIGHT, WIDTH)
