"""An image that Pillow has opened: upright, and in RGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {  # by EXIF orientation: H×W×3 as it is to be shown
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}


class ImageError(ValueError):
    """An image cannot be used. The message names the file, what is wrong and what to do."""


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8; 1 where there is none or the block is damaged (the pixels may be fine)."""
    try:
        # Of a PNG file Pillow decodes the pixels, to look behind them.
        ahead = image.format == "PNG" and "exif" not in image.info and not _has_late_notes(getattr(image, "fp", None))
        return int((Image.Image.getexif(image) if ahead else image.getexif()).get(0x0112, 1))
    except Exception:  # Pillow raises whatever the damaged bytes lead to
        return 1


def _has_late_notes(stream: Any) -> bool:
    """Return True if a PNG file that is not decoded yet has EXIF or text behind its pixels."""
    if stream is None:
        return True
    place, pixels = stream.tell(), False
    stream.seek(len(b"\x89PNG\r\n\x1a\n"))
    try:
        while len(head := stream.read(8)) == 8:
            pixels |= head[4:] == b"IDAT"
            if pixels and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            stream.seek(int.from_bytes(head[:4], "big") + 4, io.SEEK_CUR)
        return False
    finally:
        stream.seek(place)


def upright(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Turn the pixels H×W×3 of an opened image as its EXIF says."""
    return np.ascontiguousarray(_UPRIGHT.get(orientation_of(image), np.asarray)(pixels))


def to_rgb(image: Image.Image, name: str, *, opaque: bool = False) -> Image.Image:
    """Return an image in RGB, transparent pixels over white; `opaque`: its last band is no alpha."""
    if opaque and image.mode in ("RGBA", "LA"):  # infrared, say, which Pillow takes for alpha
        bands = image.split()[:-1]
        return Image.merge("RGB", bands * (3 // len(bands)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            background = Image.new("RGBA", rgba.size, "white")
            return Image.alpha_composite(background, rgba).convert("RGB")
        return rgba.convert("RGB")
    if image.mode == "RGB":
        return image
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"{name}: images of the kind {image.mode!r} cannot be read; save it as RGB") from error
