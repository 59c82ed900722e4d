"""Any picture to an upright RGB array, and the one way from there to the network's input and back.

Arrays are uint8 H×W×3 in RGB. Sizes are (height, width). Coordinates are continuous: the whole image is ``0 0 W H``,
and the centre of its first pixel is at (.5, .5); OpenCV's pixel indices (first centre at 0) stay inside this file.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, get_args

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from centernet import boxes as box_ops

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.boxes import Array

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"
ResizeRule = Literal["letterbox", "stretch", "keep"]

# fmt: off
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".dib", ".tif",
    ".tiff", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ras", ".sr", ".pcx", ".ico",
    ".icns", ".dds", ".hdr", ".pic", ".sgi", ".rgb", ".qoi",
)
# fmt: on
"""Suffixes, in lower case, by which a file of a folder counts as a picture."""

_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture that cannot be used; the message names the file, what is wrong and what to do."""


def read_image(source: ImageSource) -> NDArray[np.uint8]:
    """Read a picture as a viewer shows it.

    The format is found from the content, not from the name. EXIF (and XMP) orientation is applied. Gray, two-colour and
    palette pictures become RGB; CMYK is converted; transparent pixels are laid over white; 16 bits a channel are scaled
    to 8 (integer and float pictures without a stated range from the smallest of 1, 255 and 65535 that holds them). Of
    several frames the first is taken. What Pillow doesn't know is tried with OpenCV.

    Args:
        source: a path, the bytes of a file, or a binary file object.

    Returns:
        uint8 H×W×3, RGB, contiguous and writable.

    Raises:
        ImageError: no such file, empty, cut off, no picture, or larger than ``2 * PIL.Image.MAX_IMAGE_PIXELS``.
    """
    name, file = _open(source)
    try:
        with Image.open(file) as image:
            image.load()
            orientation = _orientation(image)  # after loading: Pillow has already turned a TIFF
            rgb = _to_rgb(image, name)
            return np.array(rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb)
    except UnidentifiedImageError:
        return _read_with_opencv(name, file)
    except Exception as error:  # Pillow raises whatever the damaged bytes lead to
        raise _explain(name, error) from error


def image_size(source: ImageSource) -> tuple[int, int]:
    """The (height, width) of the upright picture, from the header alone.

    Args:
        source: as for `read_image`.

    Raises:
        ImageError: no such file, empty, or no picture. Damage behind the header is not seen.
    """
    name, file = _open(source)
    try:
        with Image.open(file) as image:
            width, height = image.size
            # Pillow gives a TIFF's size turned already.
            turned = image.format != "TIFF" and _orientation(image) in _TRANSPOSED
            return (width, height) if turned else (height, width)
    except UnidentifiedImageError:
        return _read_with_opencv(name, file).shape[:2]
    except Exception as error:  # Pillow raises whatever the damaged bytes lead to
        raise _explain(name, error) from error


def list_images(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """The pictures of a folder, sorted by name (by their path inside it when recursive).

    A picture is a file with one of `IMAGE_SUFFIXES`, in upper or lower case; hidden files (".name") are none.

    Raises:
        ImageError: no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    files = [p for p in (folder.rglob("*") if recursive else folder.iterdir()) if not p.name.startswith(".")]
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if not images:
        others = sorted({p.suffix.lower() or "none" for p in files if p.is_file()})
        found = f"only files with the suffixes {', '.join(others)}" if others else "no files"
        hint = "" if recursive or not any(p.is_dir() for p in files) else "; its subfolders were not searched"
        raise ImageError(f"{folder}: no pictures here, {found}{hint}. Expected e.g. .jpg, .png, .webp, .tif or .bmp")
    return sorted(images, key=lambda p: p.relative_to(folder).as_posix())


def warp(
    image: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    size_hw: tuple[int, int],
    border_value: int | tuple[int, int, int] = 114,
) -> NDArray[np.uint8]:
    """Map a picture by an affine matrix: one bilinear `cv2.warpAffine`.

    Where the matrix shrinks to less than half, the picture is first reduced by its area, so that nothing aliases.

    Args:
        image: uint8 H×W×3 (or H×W).
        matrix: 2×3, from the continuous coordinates of `image` to those of the result. It maps boxes as it is
            (`boxes.transform`); the half pixel between coordinates and OpenCV's indices is added here.
        size_hw: (height, width) of the result.
        border_value: the colour of what `image` doesn't cover.

    Returns:
        uint8, `size_hw` (×3).
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    height, width = image.shape[:2]
    image = _reduce(image, float(np.hypot(*matrix[:, 1])), float(np.hypot(*matrix[:, 0])))
    linear = matrix[:, :2] * [width / image.shape[1], height / image.shape[0]]
    shift = matrix[:, 2] + linear @ [0.5, 0.5] - 0.5
    border = (border_value,) * 3 if isinstance(border_value, int) else border_value
    warped = cv2.warpAffine(
        image,
        np.column_stack([linear, shift]),
        (size_hw[1], size_hw[0]),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )
    return warped.astype(np.uint8, copy=False)


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the network's input: plain values that travel in YAML, checkpoints and exported files.

    Attributes:
        size: (height, width) of the input in pixels; not used by ``keep``.
        resize: ``letterbox`` keeps the aspect, centres the picture and fills the rest with `pad_value`; ``stretch``
            fills the whole input; ``keep`` leaves the scale and pads right and below to multiples of `divisor`.
        mean: of RGB values in 0..1, subtracted before dividing by `std`.
        std: of RGB values in 0..1.
        pad_value: gray level of the padding, 0..255.
        divisor: for ``keep``.
    """

    size: tuple[int, int] = (512, 512)
    resize: ResizeRule = "letterbox"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    pad_value: int = 114
    divisor: int = 32

    def __post_init__(self) -> None:
        def put(key: str, value: Any) -> None:
            object.__setattr__(self, key, value)

        put("size", _numbers("size", self.size, 2, "two whole numbers of pixels (height, width)", whole=True))
        put("mean", _numbers("mean", self.mean, 3, "three numbers (red, green, blue)"))
        put("std", _numbers("std", self.std, 3, "three numbers above 0 (red, green, blue)"))
        for key in ("pad_value", "divisor"):
            put(key, _numbers(key, (getattr(self, key),), 1, "a whole number", whole=True)[0])
        if min(self.size) < 1:
            raise ValueError(f"preprocessing.size: expected (height, width) of at least 1, got {self.size}")
        if min(self.std) <= 0:
            raise ValueError(f"preprocessing.std: expected three numbers above 0, got {self.std}")
        if self.resize not in get_args(ResizeRule):
            raise ValueError(
                f"preprocessing.resize: expected one of {', '.join(get_args(ResizeRule))}, got {self.resize!r}"
            )
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"preprocessing.pad_value: expected a gray level 0..255, got {self.pad_value}")
        if self.divisor < 1:
            raise ValueError(f"preprocessing.divisor: expected at least 1, got {self.divisor}")

    def output_size(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the input that a picture of this size becomes."""
        if self.resize != "keep":
            return self.size
        height, width = image_hw
        return -(-height // self.divisor) * self.divisor, -(-width // self.divisor) * self.divisor

    def matrix(self, image_hw: tuple[int, int]) -> NDArray[np.float64]:
        """2×3 float64 from original pixels to input pixels, in continuous coordinates.

        The picture fills whole pixels of the input, so the two scales of a letterbox differ by less than a pixel over
        the picture.
        """
        top, left, height, width = self._placement(image_hw)
        return np.array([[width / image_hw[1], 0, left], [0, height / image_hw[0], top]], dtype=np.float64)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The input for a picture uint8 H×W×3: uint8, `output_size`×3.

        Raises:
            ImageError: another type or shape.
        """
        check_image(image)
        image_hw = (image.shape[0], image.shape[1])
        top, left, height, width = self._placement(image_hw)
        canvas_hw = self.output_size(image_hw)
        # The same map as warp(image, self.matrix(...)), but from whole pixels to whole pixels, so that the outermost
        # pixels of the picture are not mixed with the padding, and equal in OpenCV 4 and 5.
        resized = _reduce(image, height / image_hw[0], width / image_hw[1])
        if resized.shape[:2] != (height, width):
            resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
        if canvas_hw == (height, width):
            return np.ascontiguousarray(resized)
        canvas = np.full((*canvas_hw, 3), self.pad_value, dtype=np.uint8)
        canvas[top : top + height, left : left + width] = resized
        return canvas

    def to_input(self, boxes: Array, image_hw: tuple[int, int]) -> Array:
        """Boxes …×N×4 in original pixels to input pixels."""
        return box_ops.transform(boxes, self.matrix(image_hw))

    def to_original(self, boxes: Array, image_hw: tuple[int, int], *, clip: bool = True) -> Array:
        """Boxes …×N×4 in input pixels to original pixels: the inverse of `to_input`, clipped to the picture."""
        (scale_x, _, left), (_, scale_y, top) = self.matrix(image_hw)
        inverse = [[1 / scale_x, 0, -left / scale_x], [0, 1 / scale_y, -top / scale_y]]
        boxes = box_ops.transform(boxes, np.array(inverse, dtype=np.float64))
        return box_ops.clip(boxes, image_hw) if clip else boxes

    def normalize(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 N×H×W×3 to the network's float32 N×3×H×W: ``(value / 255 - mean) / std``."""
        scale = (1 / (255 * np.array(self.std))).astype(np.float32)
        offset = (-np.array(self.mean) / np.array(self.std)).astype(np.float32)
        return np.ascontiguousarray((images * scale + offset).transpose(0, 3, 1, 2))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, for YAML and JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`; keys that are left out have their defaults.

        Raises:
            ValueError: an unknown key, or a value out of range; the message names the key.
        """
        known = [field.name for field in fields(cls)]
        unknown = [str(key) for key in values if key not in known]
        if unknown:
            raise ValueError(f"preprocessing: unknown key {', '.join(unknown)}; expected any of {', '.join(known)}")
        return cls(**values)

    def _placement(self, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the picture in the input, in whole pixels."""
        height, width = image_hw
        if height < 1 or width < 1:
            raise ImageError(f"the picture is {height}×{width} pixels (height×width): expected at least 1×1")
        if self.resize == "keep":
            return 0, 0, height, width
        if self.resize == "stretch":
            return 0, 0, *self.size
        scale = min(self.size[0] / height, self.size[1] / width)
        new_height = min(self.size[0], max(1, round(height * scale)))
        new_width = min(self.size[1], max(1, round(width * scale)))
        return (self.size[0] - new_height) // 2, (self.size[1] - new_width) // 2, new_height, new_width


def check_image(image: Any) -> None:
    """Raise ImageError unless `image` is a uint8 H×W×3 array with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"expected a uint8 array H×W×3 (RGB), got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(f"expected a uint8 array H×W×3 (RGB), got {image.dtype} of shape {image.shape}")


def _reduce(image: NDArray[np.uint8], scale_y: float, scale_x: float) -> NDArray[np.uint8]:
    """Average over areas by whole factors along each axis, leaving a scale between 1/2 and 1 to be interpolated."""
    height, width = image.shape[:2]
    factor_y, factor_x = (max(1, math.floor(1 / max(scale, 1e-6))) for scale in (scale_y, scale_x))
    if factor_y == 1 and factor_x == 1:
        return image
    # A size that isn't a multiple of the factor is reduced by slightly more, so that no edge is lost.
    size = (max(1, width // factor_x), max(1, height // factor_y))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM")


def _open(source: ImageSource) -> tuple[str, str | BinaryIO]:
    """A name for messages, and what Pillow opens."""
    if isinstance(source, bytes):
        if not source:
            raise ImageError("the picture in memory is empty (0 bytes)")
        return "the picture in memory", io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise ImageError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty (0 bytes); copy or download it again")
        return str(path), str(path)
    return str(getattr(source, "name", "the picture in memory")), source


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or the block is damaged (the picture itself may be fine)."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # Pillow raises whatever the damaged bytes lead to
        return 1


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
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
        raise ImageError(f"{name}: pictures of the kind {image.mode!r} cannot be read; save it as RGB") from error


def _to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Gray levels of more than 8 bits to 0..255."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        largest = 65535.0
    else:
        values = np.nan_to_num(values.astype(np.float64))
        peak = float(values.max())
        largest = next((top for top in (1.0, 255.0, 65535.0) if peak <= top), peak)
    return np.round(values.clip(0, largest) * (255 / largest)).astype(np.uint8)


def _read_with_opencv(name: str, file: str | BinaryIO) -> NDArray[np.uint8]:
    """Formats that only OpenCV knows (Radiance HDR and float TIFF in colour among them)."""
    if isinstance(file, str):
        data = Path(file).read_bytes()
    else:
        file.seek(0)
        data = file.read()
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes); copy or download it again")
    if data.startswith(_SIGNATURES):  # Pillow's own, but damaged: OpenCV would fill up what is missing without a word
        raise ImageError(f"{name}: the file is cut off or damaged near its beginning; copy or download it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(
            f"{name}: not a picture in any known format (it begins with {data[:12]!r}); "
            "open it in a viewer, and replace or remove it"
        )
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if data.startswith(b"#?"):  # Radiance: 1 is white, what is brighter is cut
        rgb = rgb.clip(0, 1)
    return rgb.astype(np.uint8, copy=False) if rgb.dtype == np.uint8 else _to_8_bits(rgb)


def _explain(name: str, error: BaseException) -> ImageError:
    if isinstance(error, ImageError):
        return error
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageError(f"{name}: {error}. If the file is meant, raise PIL.Image.MAX_IMAGE_PIXELS")
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return ImageError(f"{name}: the file is cut off ({error}); copy or download it again")
    return ImageError(f"{name}: cannot be read ({error}); open it in a viewer, and replace or remove it")


def _numbers(key: str, values: Any, count: int, expected: str, *, whole: bool = False) -> tuple[Any, ...]:
    """`values` as a tuple of plain ints or floats, or a ValueError that names the key."""
    kind = int if whole else float
    try:
        numbers = tuple(kind(v) for v in values)
        exact = not isinstance(values, str) and all(kind(v) == v and math.isfinite(v) for v in values)
    except (TypeError, ValueError, OverflowError):
        numbers, exact = (), False
    if len(numbers) != count or not exact:
        raise ValueError(f"preprocessing.{key}: expected {expected}, got {values!r}")
    return numbers
