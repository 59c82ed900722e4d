"""Images of more than 8 bits a channel, and other pixel formats: never black, never guessed without a word."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pytest
from PIL import Image

from centernet.data import COCO
from centernet.data.audit import audit
from centernet.images import ImageError, Preprocessing, image_size, read_image
from centernet.images.depth import unstated_range

PILLOW = tuple(map(int, PIL.__version__.split(".")[:2]))
RAMP = np.linspace(0, 255, 24 * 32).round().astype(np.uint8).reshape(24, 32)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


def in_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """8-bit values as a camera of so many bits has them."""
    return (pixels.astype(np.float64) * (2**bits - 1) / 255).round().astype(np.uint16)


def png(path: Path, values: np.ndarray, significant: int | None = None) -> Path:
    """Write 16 bits, gray or RGB or RGBA, perhaps with a chunk sBIT."""
    colour = {2: 0, 3: {3: 2, 4: 6}.get(values.shape[-1])}[values.ndim]
    rows = values.astype(">u2").reshape(len(values), -1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0))]
    if significant is not None:
        chunks.append((b"sBIT", bytes([significant] * (1 if values.ndim == 2 else values.shape[2]))))
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    text = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + text)
    return path


def tiff(path: Path, values: np.ndarray, **tags: Any) -> Path:
    """Write an uncompressed gray TIFF: `bits`, `format` (1 unsigned, 2 signed, 3 float), `maximum`, `description` …"""
    bits, data = tags.get("bits", values.dtype.itemsize * 8), values.astype(values.dtype.newbyteorder("<")).tobytes()
    if bits == 12:  # two values in three bytes
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = (pairs[:, 0] << 12) | pairs[:, 1]
        data = b"".join(int(value).to_bytes(3, "big") for value in packed)
    text = tags.get("description", "").encode() + b"\0"
    entries = [
        (256, 4, values.shape[1]), (257, 4, values.shape[0]), (258, 3, bits), (259, 3, 1),
        (262, 3, tags.get("photometric", 1)), (270, 2, None), (273, 4, None), (277, 3, 1), (278, 4, values.shape[0]),
        (279, 4, len(data)), (281, 3, tags.get("maximum")), (339, 3, tags.get("format", 1)),
    ]  # fmt: skip
    optional = {270: "description", 281: "maximum"}
    entries = [entry for entry in entries if entry[0] not in optional or tags.get(optional[entry[0]])]
    start = 8 + 2 + 12 * len(entries) + 4
    rows = b""
    for tag, kind, value in entries:
        count = len(text) if tag == 270 else 1
        value = start if tag == 270 else start + len(text) if tag == 273 else value
        rows += struct.pack("<HHII", tag, kind, count, value)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + b"\0\0\0\0" + text + data)
    return path


def close(path: Path, expected: np.ndarray, tolerance: int = 1) -> bool:
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    image = read_image(path)
    assert image.shape == expected.shape and image_size(path) == expected.shape[:2]
    return bool(np.abs(image.astype(int) - expected).max() <= tolerance)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("pixels", [RAMP, COLOURS], ids=["gray", "colours"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_range_is_told_by_the_largest_value_and_that_is_said(
    tmp_path: Path, pixels: np.ndarray, bits: int, suffix: str
) -> None:
    values, path = in_bits(pixels, bits), tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), values[..., ::-1] if values.ndim == 3 else values)
    assert close(path, pixels)
    said = unstated_range(str(path))
    assert said is None if bits == 16 else said is not None and f"read as {bits} bits" in said
    assert (read_image(path.read_bytes()) == read_image(path)).all()


@pytest.mark.parametrize("pixels", [RAMP, COLOURS], ids=["gray", "colours"])
def test_a_png_that_states_its_bits(tmp_path: Path, pixels: np.ndarray) -> None:
    dark = pixels // 8  # would be taken for fewer bits
    for bits in (10, 12, 14):
        path = png(tmp_path / f"{bits}.png", in_bits(dark, bits), bits)
        assert close(path, dark) and unstated_range(str(path)) is None
        # As the specification has it: moved to the upper end.
        assert close(png(path, in_bits(pixels, bits) << (16 - bits), bits), pixels)
    assert close(png(tmp_path / "16.png", in_bits(dark, 16), 16), dark)


def test_transparent_colours_of_16_bits(tmp_path: Path) -> None:
    alpha = np.where(RAMP > 127, 65535, 0)[..., None]
    path = png(tmp_path / "a.png", np.concatenate([in_bits(COLOURS, 12), alpha], axis=2))
    assert close(path, np.where(alpha > 0, COLOURS, 255))


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("how", ["maximum", "description"])
def test_a_tiff_that_states_its_range(tmp_path: Path, bits: int, how: str) -> None:
    dark = RAMP // 8
    stated = {"maximum": 2**bits - 1, "description": f'<OME><Pixels SignificantBits="{bits}" Type="uint16"/></OME>'}
    path = tiff(tmp_path / "a.tif", in_bits(dark, bits), **{how: stated[how]})
    assert close(path, dark) and unstated_range(str(path)) is None
    assert not close(tiff(path, in_bits(dark, bits)), dark)  # without a word it is guessed
    # What cannot be: values above it.
    assert close(tiff(path, in_bits(RAMP, 16), **{how: stated[how]}), RAMP)


def test_12_bits_packed(tmp_path: Path) -> None:
    assert close(tiff(tmp_path / "a.tif", in_bits(RAMP // 8, 12), bits=12), RAMP // 8)


def test_0_may_be_white(tmp_path: Path) -> None:
    assert close(tiff(tmp_path / "a.tif", in_bits(RAMP, 12), maximum=4095, photometric=0), 255 - RAMP)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP.astype(np.float32) / 255, RAMP),
        (RAMP.astype(np.float32) / 255 * 1.0002, RAMP),  # a rounding above 1
        (np.where(RAMP == 255, 40, RAMP / 255).astype(np.float32), np.where(RAMP == 255, 255, RAMP)),  # a hot pixel
        (RAMP.astype(np.float32), RAMP),
        (RAMP.astype(np.float32) * 257 + 0.25, RAMP),
        ((RAMP / 255 * 6.5).astype(np.float32), RAMP),  # neither 1 nor 255 is its white
        (in_bits(RAMP, 12).astype(np.int32), RAMP),
        (in_bits(RAMP, 16).astype(np.int32), RAMP),
        (RAMP.astype(np.int32) * 10_000, RAMP),
        (in_bits(RAMP, 12).astype(np.int16), RAMP),
        (in_bits(RAMP, 14).astype(np.int16), RAMP),
    ],
)
def test_floats_and_signed_integers(tmp_path: Path, values: np.ndarray, expected: np.ndarray) -> None:
    path = tiff(tmp_path / "a.tif", values, format=3 if values.dtype.kind == "f" else 2)
    assert close(path, expected)


@pytest.mark.parametrize(
    "values",
    [
        RAMP.astype(np.int16) - 100,  # Hounsfield units and the like
        RAMP.astype(np.int32) - 255,
        RAMP.astype(np.float32) / 127.5 - 1,
    ],
)
def test_negative_values_are_refused_with_the_reason(tmp_path: Path, values: np.ndarray) -> None:
    path = tiff(tmp_path / "a.tif", values, format=3 if values.dtype.kind == "f" else 2)
    with pytest.raises(ImageError, match=r"a.tif: its values go from -.* without sign"):
        read_image(path)


def test_other_pixel_formats(tmp_path: Path) -> None:
    gray, rgb = Image.fromarray(RAMP), Image.fromarray(COLOURS)
    bilevel = np.where(RAMP > 127, 255, 0).astype(np.uint8)
    saved: dict[str, tuple[Image.Image, np.ndarray, int]] = {
        "bilevel.png": (Image.fromarray(bilevel).convert("1"), bilevel, 0),
        "bilevel.tif": (Image.fromarray(bilevel).convert("1"), bilevel, 0),
        "cmyk.tif": (rgb.convert("CMYK"), COLOURS, 1),
        "cmyk.jpg": (rgb.convert("CMYK"), COLOURS, 40),
        **({"ycbcr.tif": (rgb.convert("YCbCr"), COLOURS, 3)} if PILLOW >= (12, 3) else {}),  # older ones cannot read it
        "gray.tif": (gray, RAMP, 0),
        "palette.png": (rgb.quantize(256), np.asarray(rgb.quantize(256).convert("RGB")), 0),
    }
    for name, (image, expected, tolerance) in saved.items():
        image.save(tmp_path / name)
        assert close(tmp_path / name, expected, tolerance), name
    transparent = rgb.quantize(16)
    transparent.save(tmp_path / "transparent.png", transparency=bytes([0] + [255] * 15))
    shown = np.asarray(transparent.convert("RGB")).copy()
    shown[np.asarray(transparent) == 0] = 255
    assert close(tmp_path / "transparent.png", shown)
    for bits in (2, 4):  # gray with fewer bits
        few = np.arange(8 * 16).reshape(8, 16) % 2**bits
        packed = np.packbits(((few[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).reshape(8, -1), axis=1)
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 16, 8, bits, 0, 0, 0, 0))]
        chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))), (b"IEND", b"")]
        text = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
        (tmp_path / "few.png").write_bytes(b"\x89PNG\r\n\x1a\n" + text)
        assert close(tmp_path / "few.png", few * (255 // (2**bits - 1)))


def test_formats_that_scale_themselves_are_left_alone(tmp_path: Path) -> None:
    dark = in_bits(RAMP // 8, 12)
    (tmp_path / "a.pgm").write_bytes(b"P5 32 24 4095\n" + dark.astype(">u2").tobytes())
    assert close(tmp_path / "a.pgm", RAMP // 8) and unstated_range(str(tmp_path / "a.pgm")) is None
    (tmp_path / "a.pgm").write_bytes(b"P5\n# made by\n32 24\n65535\n" + in_bits(RAMP, 12).astype(">u2").tobytes())
    assert close(tmp_path / "a.pgm", RAMP) and "12 bits" in str(unstated_range(str(tmp_path / "a.pgm")))


@pytest.mark.parametrize("bits", [12, 16])
def test_jpeg_2000(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "a.jp2"
    Image.fromarray(in_bits(RAMP, bits)).save(path)
    assert close(path, RAMP) and (unstated_range(str(path)) is None) == (bits == 16)


def test_a_check_names_images_whose_range_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), in_bits(RAMP, 12))
    cv2.imwrite(str(tmp_path / "images/b.png"), RAMP)
    entries = [{"id": i, "file_name": f"{name}.png", "height": 24, "width": 32} for i, name in enumerate("ab")]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [2, 2, 9, 9]} for i in range(2)]
    content = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    report = audit({"train": COCO(tmp_path / "train.json")}, preprocessing=Preprocessing(size=(32, 32)))
    (finding,) = [finding for finding in report.findings if finding.kind == "value-range"]
    assert finding.severity == "warning" and finding.path.endswith("a.png") and "read as 12 bits" in finding.message


def test_images_in_memory_are_read_like_files() -> None:
    file = io.BytesIO()
    Image.fromarray(in_bits(RAMP, 12)).save(file, "PNG")
    assert np.abs(read_image(file.getvalue())[..., 0].astype(int) - RAMP).max() <= 1
