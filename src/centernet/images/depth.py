"""Images of more than 8 bits a channel: their values to 0..255, from the range that is stated or told by the largest.

16 bits often hold 10, 12 or 14 from a camera or scanner. Scaled as 16 bits such an image would be nearly black.
"""

from __future__ import annotations

import io
import re
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .limits import most_pixels, open_listed, read_whole

_FULL = 65535.0
_TOPS = {"u": (255.0, 1023.0, 4095.0, 16383.0, _FULL), "i": (1.0, 255.0, 1023.0, 4095.0, 16383.0, _FULL)}
_TOPS_OF_FLOATS = (1.0, 255.0, _FULL)

_ROWS = 256

# Tags of TIFF.
_BITS, _PHOTOMETRIC, _DESCRIPTION, _MAXIMUM, _ORIENTATION = 258, 262, 270, 281, 274


class RangeError(ValueError):
    """The values of an image can be no gray levels."""


class Depth(NamedTuple):
    """The range of an image of more than 8 bits a channel, as far as its file states it."""

    largest: float | None  # the value that is white, where the file states one
    colours: bool  # Pillow gives the upper 8 bits of each channel alone
    inverted: bool = False  # 0 is white


def depth_of(image: Image.Image, file: str | io.BytesIO) -> Depth | None:
    """Return the depth of an image that is not loaded yet; None up to 8 bits a channel."""
    gray = image.mode in ("I", "F") or image.mode.startswith("I;16")
    deep = image.format in ("PNG", "TIFF") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if not gray and not deep:
        return None
    if image.format in ("JPEG2000", "PPM") and image.mode != "F":  # Pillow brings the range of the file to 16 bits
        return Depth(_FULL if _is_scaled(file) else None, False)
    tags: Any = getattr(image, "tag_v2", {})
    bits = _significant_bits(file) if image.format == "PNG" else None
    largest = None
    if image.format == "TIFF" and image.mode != "F":
        found = re.search(r'SignificantBits="(\d+)"', str(tags.get(_DESCRIPTION, "")))
        stored = max(tags.get(_BITS, (16,)))
        bits = int(found[1]) if found else stored if 8 < stored < 16 else None
        maximum = tags.get(_MAXIMUM)
        largest = float(np.max(maximum)) if maximum is not None else None
    if bits is not None and 8 <= bits <= 16:
        largest = float((1 << bits) - 1)
    return Depth(largest, not gray, tags.get(_PHOTOMETRIC) == 0)


def _is_scaled(file: str | io.BytesIO) -> bool:
    """Return True if the range that a JPEG 2000 or PGM file states is not that of 16 bits, which need not be used."""
    with open(file, "rb") if isinstance(file, str) else io.BytesIO(file.getbuffer()) as stream:
        head = stream.read(4096)
    if head[:1] == b"P":
        largest = re.match(rb"P\d(?:\s+|#[^\n]*\n)*\d+(?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+(\d+)\s", head)
        return largest is None or int(largest[1]) != _FULL
    place = head.find(b"\xff\x51") + 40  # SIZ: bits of the first component, less one (ITU-T T.800, A.5.1)
    return not (40 <= place < len(head) and head[place] & 0x7F == 15)


def _significant_bits(file: str | io.BytesIO) -> int | None:
    """Return the bits that a PNG file says its samples had (chunk sBIT), the most of a channel."""
    with open(file, "rb") if isinstance(file, str) else io.BytesIO(file.getbuffer()) as stream:
        stream.seek(8)
        while len(head := stream.read(8)) == 8 and head[4:] != b"IDAT":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"sBIT":
                return max(stream.read(min(length, 4)), default=None)
            stream.seek(length + 4, io.SEEK_CUR)
    return None


def deep_pixels(image: Image.Image, file: str | io.BytesIO, depth: Depth) -> Image.Image | None:
    """Return a loaded image of more than 8 bits with 8, gray, RGB or RGBA; None where its upper 8 bits are right."""
    values = _deep_values(image, file, depth)
    if values is None:
        return None
    colours, alpha = (values[..., :3], values[..., 3:]) if values.ndim == 3 else (values, values[..., :0])
    pixels = to_8_bits(colours, depth.largest)
    if depth.inverted:
        pixels = 255 - pixels
    if alpha.size:
        pixels = np.concatenate([pixels, (alpha >> 8).astype(np.uint8)], axis=2)
    return Image.fromarray(pixels)


def _deep_values(image: Image.Image, file: str | io.BytesIO, depth: Depth) -> NDArray[Any] | None:
    """Return the values of a loaded image, gray H×W or in colours H×W×3 or 4; None where all 16 bits are used."""
    if not depth.colours:
        return np.asarray(image)
    upper = np.asarray(image)
    channels = 3 if image.mode in ("RGB", "RGBA") else 1
    if image.mode not in ("RGB", "RGBA", "LA") or "transparency" in image.info:
        return None
    if upper[..., :channels].max(initial=0) > 63 and depth.largest in (None, _FULL):
        return None
    data = read_whole(file) if isinstance(file, str) else file.getvalue()
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    turned = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_ORIENTATION, 1) != 1
    whole = values is not None and values.dtype == np.uint16 and values.ndim == 3 and values.shape[2] > 2
    if values is not None and whole and not turned and values.shape[:2] == upper.shape[:2]:
        return np.concatenate([values[..., 2::-1], values[..., 3:]], axis=2)
    rgb = np.asarray(image.convert("RGB" if image.mode == "RGB" else "RGBA"))  # the upper bits are what there is
    return rgb.astype(np.uint16) * 256 + 255 * (rgb > 0)


def to_8_bits(values: NDArray[Any], largest: float | None = None) -> NDArray[np.uint8]:
    """Scale values of more than 8 bits to 0..255.

    Args:
        values: of an image, all channels.
        largest: the value that is white, if it is known; else the smallest range that holds them (see `white_of`).

    Raises:
        RangeError: they are negative, so that nothing says which of them is black.
    """
    if values.dtype.kind != "u":
        values = np.nan_to_num(values, posinf=0, neginf=0)
        low, peak = float(values.min(initial=0)), float(values.max(initial=0))
        if low < -0.01 * max(peak, 1e-9):
            text = f"its values go from {low:g} to {peak:g}, and nothing says which of them is black"
            raise RangeError(f"{text}; save it with 8 or 16 bits without sign")
    white = white_of(values, largest)
    result = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _ROWS):  # double precision takes eight times the memory
        part = values[top : top + _ROWS].astype(np.float64)
        result[top : top + _ROWS] = np.round(part.clip(0, white) * (255 / white))
    return result


def white_of(values: NDArray[Any], largest: float | None = None) -> float:
    """Return the value that is white: the largest of 8, 10, 12, 14 or 16 bits, of floats of 1, 255 or 65535.

    Of floats the hundredth that is brightest may lie above; where they fill no sixteenth of a range, and above all
    ranges, it is the largest of them.
    """
    peak = float(values.max(initial=0))
    if largest is not None and largest > 0:
        return largest if peak <= largest else _FULL
    if values.dtype.kind == "u":
        return next((top for top in _TOPS["u"] if peak <= top), peak)
    if (values == np.trunc(values)).all():
        return next((top for top in _TOPS["i"] if peak <= top), peak)
    most = float(np.quantile(values, 0.99))
    top = next((top for top in _TOPS_OF_FLOATS if most <= top), peak)
    return peak if peak < top / 16 else top


def unstated_range(source: str) -> str | None:
    """Say by which range the values of an image file are read where the file states none; None where it is plain."""
    try:
        with open_listed(source) as image:
            depth = depth_of(image, source)
            if depth is None or depth.largest is not None or image.width * image.height > most_pixels():
                return None
            image.load()
            values = _deep_values(image, source, depth)
    except Exception:  # of what cannot be read there is another word
        return None
    if values is None:
        return None
    values = np.nan_to_num(values if values.ndim == 2 else values[..., :3])
    peak, white = float(values.max(initial=0)), white_of(values)
    if white in (1.0, _FULL) or (values.dtype.kind != "u" and white == 255.0):
        return None
    text = f"the file does not state the range of its values, of which the largest is {peak:g}"
    bits = int(white).bit_length()
    return f"{text}: read as {bits} bits" if white == 2**bits - 1 else f"{text}: it is white"
