"""Reading image files as a viewer shows them, JPEG files no larger than they are needed."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from .depth import RangeError, deep_pixels, depth_of, to_8_bits
from .kinds import (
    describe_tiff,
    left_unread,
    raw_problem,
    register_heif,
    stated_size,
    tiff_size,
    undeclared_bands,
)
from .limits import ADVICE as LIMIT_ADVICE, FLOATS, load, most_pixels, open_listed, read_whole
from .opened import ImageError as ImageError, orientation_of, to_rgb, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"
Scaled: TypeAlias = "tuple[NDArray[np.uint8], tuple[float, float]]"  # pixels, and the scales of x and y

# Markers of JPEG (ITU-T T.81, table B.1).
_SEQUENTIAL = (0xC0, 0xC1)  # frame headers
_SCAN = 0xDA
_HARMLESS = (0xC4, 0xDB, 0xDD, 0xE0, 0xED, 0xFE)  # tables, restart interval, JFIF, Photoshop's notes, comment

_REDUCED = {  # what libjpeg decodes to 1/2, 1/4 and 1/8 costs less than the whole
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class Limit(NamedTuple):
    """The largest image that is decoded as a whole, and what is said of a larger one."""

    pixels: float
    problem: str


@dataclass(frozen=True, eq=False)
class LazyImage:
    """An image of the upright size (height, width) that is decoded when it is read, no larger than it is needed."""

    size_hw: tuple[int, int]
    decode: Callable[[float], Scaled]  # by the scale
    notes: tuple[str, ...] = ()  # what of the file is not read: further pages, bands that are no colour
    name: str = ""  # for messages
    limit: Limit | None = None  # None for pixels that are in memory already
    windowed: str | None = None  # format of a file whose windows, by any reader, are what the parts of the whole are

    def warn(self, said: set[str] | None = None) -> LazyImage:
        """Give its notes as warnings; those whose like is in `said`, of other images of a source, are passed over.

        Returns the image itself.
        """
        for note in self.notes:
            like = re.sub("[0-9]+", "", note)
            if said is None or like not in said:
                hint = "" if said is None else " (further such images are not named)"
                warnings.warn(f"{self.name}: {note}{hint}", stacklevel=3)
            if said is not None:
                said.add(like)
        return self

    def read(self, scale: float = 1.0) -> Scaled:
        """Return the pixels, upright.

        Args:
            scale: pixels that are needed for one of the image, along each side. From 1 on the image is read in its own
                size; below 1 it may come reduced, but not further than this.

        Returns:
            uint8 h×w×3, RGB, not to be written to; and the scales (x, y): a point (x, y) of the image is at
            (x · scale x, y · scale y) of the pixels, in continuous coordinates. Where a side is no multiple of the
            reduction, the last pixel reaches over the edge of the image.

        Raises:
            ImageError: it cannot be decoded, or is larger than its limit.
        """
        self.check()
        return self.decode(scale)

    def check(self) -> None:
        """Raise an ImageError if the image is larger than its limit."""
        height, width = self.size_hw
        if self.limit is not None and height * width > self.limit.pixels:
            raise ImageError(f"{self.name}: {width}×{height} pixels {self.limit.problem}")

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> LazyImage:
        """Wrap an image that is decoded already, uint8 H×W×3."""
        return cls((pixels.shape[0], pixels.shape[1]), lambda scale: (pixels, (1.0, 1.0)))


def read_image(source: ImageSource) -> NDArray[np.uint8]:
    """Read an image as a viewer shows it.

    The format is found from the content, not from the name. EXIF (and XMP) orientation is applied. Gray, two-colour and
    palette images become RGB; CMYK is converted; transparent pixels are laid over white; more than 8 bits a channel are
    scaled to 8, from the range that the file states or the smallest that holds them (`centernet.images.depth`). Of
    several frames or pages the first is taken, and of bands that are neither colour nor alpha none, with a warning.
    HEIC is read where pi-heif is installed (the extra `heif`), and by OpenCV what Pillow does not know of Radiance HDR,
    PFM, PAM and TIFF.

    Args:
        source: a path, the bytes of a file, or a binary file object.

    Returns:
        uint8 H×W×3, RGB, contiguous and writable.

    Raises:
        ImageError: no such file, empty, cut off, not an image, a camera's raw file (its preview is not the photograph),
            or larger than the limit (`centernet.images.limits.most_pixels`).
    """
    return open_image(source).warn().read()[0]


def open_image(source: ImageSource) -> LazyImage:
    """Read the header of an image now, and the rest when its pixels are asked for; see `read_image`.

    Only JPEG files come reduced: by 2, 4 or 8, by libjpeg's scaled DCT. One that EXIF turns or mirrors is reduced only
    by a factor that divides its sides. Until it is read a JPEG file is kept in memory as it is.

    Raises:
        ImageError: as `read_image`; damage behind the header, and a size beyond the limit, when the pixels are read.
    """
    image = _lazy(*_open(source))
    return image if isinstance(source, (str, os.PathLike)) else replace(image, windowed=None)


def image_size(source: ImageSource) -> tuple[int, int]:
    """Return the (height, width) of the upright image, from the header alone; see `read_image`.

    Raises:
        ImageError: no such file, empty, or not an image. Damage behind the header is not seen.
    """
    image = _lazy(*_open(source, header_only=True))
    image.check()
    return image.size_hw


def check_image(image: Any) -> None:
    """Raise ImageError unless `image` is a uint8 H×W×3 array with at least one pixel."""
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        got = f"{image.dtype} of shape {image.shape}" if is_array else type(image).__name__
        raise ImageError(f"expected a uint8 array H×W×3 (RGB), got {got}")


class _Header(NamedTuple):
    """The facts of a file that are known before its pixels are decoded."""

    size_hw: tuple[int, int]  # of the upright image
    orientation: int  # of EXIF, for JPEG files
    jpeg: bool  # it can be read reduced
    scan: int | None = None  # where the entropy-coded data begin, if it is known (`_read_plain_header`)
    windowed: str | None = None  # this and `notes` are those of `LazyImage`
    notes: tuple[str, ...] = ()

    def factor(self, scale: float) -> int:
        """Return the largest reduction, of 1, 2, 4 and 8, that leaves `scale` pixels for one of the image."""
        height, width = self.size_hw
        for factor in (8, 4, 2) if self.jpeg else ():
            # Turned, a last pixel that reaches over the edge would be a first one.
            exact = self.orientation == 1 or height % factor == width % factor == 0
            if factor * scale <= 1 + 1e-6 and factor <= min(height, width) and exact:
                return factor
        return 1


def _lazy(name: str, file: str | io.BytesIO) -> LazyImage:
    try:
        header = _read_header(name, file)
    except UnidentifiedImageError:
        try:
            if not register_heif(name, file):
                return LazyImage.of(_read_with_opencv(name, file))
            header = _read_header(name, file)
        except (ImportError, UnidentifiedImageError) as error:
            raise ImageError(str(error)) if isinstance(error, ImportError) else _explain(name, error) from error
    decode, most = partial(_decode, name, file, header), most_pixels()
    limit = Limit(most, f"are more than {most:.0f}; {LIMIT_ADVICE}")
    return LazyImage(header.size_hw, decode, header.notes, name, limit, header.windowed)


def _read_header(name: str, file: str | io.BytesIO) -> _Header:
    if isinstance(file, io.BytesIO):
        plain = _read_plain_header(file.getbuffer())
        if plain is not None:
            return plain
    try:
        with open_listed(file) as image:
            if image.format == "TIFF" and (problem := raw_problem(name, file)):
                raise ImageError(problem)
            width, height = image.size
            orientation = orientation_of(image)
            turned = 5 <= orientation <= 8 and image.format != "TIFF"  # whose size Pillow gives turned already
            size_hw, jpeg = (width, height) if turned else (height, width), image.format in ("JPEG", "MPO")
            notes = () if jpeg else left_unread(image)
            windowed = image.format if orientation == 1 and _is_plain(image) else None
            return _Header(size_hw, orientation, jpeg, notes=notes, windowed=windowed)
    except UnidentifiedImageError:
        raise
    except Exception as error:  # Pillow raises whatever the damaged bytes lead to
        raise _explain(name, error) from error


def _is_plain(image: Image.Image) -> bool:
    """Return True if the file holds its pixels in order, gray, RGB or RGBA of 8 bits: any reader finds the same."""
    rules = {str(tile[3][0] if isinstance(tile[3], tuple) else tile[3]) for tile in getattr(image, "tile", ())}
    tags: Any = getattr(image, "tag_v2", {})
    colours = tags.get(262, 2) in (1, 2) or (tags.get(262), tags.get(259)) == (6, 7)  # YCbCr by JPEG
    ordered = not {"progressive", "interlace", "transparency"} & {key for key, value in image.info.items() if value}
    known = image.format in ("JPEG", "MPO", "PNG", "TIFF") and rules == {image.mode}
    return known and colours and ordered and image.mode in ("L", "RGB", "RGBA") and not undeclared_bands(image)


def _read_plain_header(data: memoryview) -> _Header | None:
    """Read the header of a JPEG file as nearly all of a data set are: gray or YCbCr in one sequential scan, upright."""
    # None for any other, which Pillow then looks at: with EXIF or XMP (APP1), several images (APP2), progressive, in
    # another colour space (by APP14 or four components), very large, or not in order.
    place, size_hw = 2, None
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker in _SEQUENTIAL:
            height, width = (int.from_bytes(data[place + i : place + i + 2], "big") for i in (5, 7))
            known = data[place + 4] == 8 and data[place + 9] in (1, 3)
            if not known or 0 in (height, width) or height * width > most_pixels() / 2:
                return None
            size_hw = height, width
        elif marker == _SCAN:
            return None if size_hw is None else _Header(size_hw, 1, True, place + 2 + length, "JPEG")
        elif marker not in _HARMLESS:
            return None
        place += 2 + length
    return None


def _decode(name: str, file: str | io.BytesIO, header: _Header, scale: float) -> Scaled:
    factor, pixels = header.factor(scale), None
    if header.scan is not None and isinstance(file, io.BytesIO):
        pixels = _read_plain_jpeg(file.getbuffer(), header, header.scan, factor)
    if pixels is None:
        pixels, factor = _read_with_pillow(name, file, factor)
    return pixels, (1 / factor, 1 / factor)


def _read_plain_jpeg(data: memoryview, header: _Header, scan: int, factor: int) -> NDArray[np.uint8] | None:
    """Decode a plain JPEG file that is in good order, by OpenCV. Returns None for any other."""
    # OpenCV's pixels are those of Pillow, as both ask libjpeg-turbo, without Pillow's detour over four bytes a pixel.
    # But it fills up what is missing without a word, so files that may lack something are left to Pillow.
    if not _is_whole(data, scan):
        return None
    try:
        bgr = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    height, width = header.size_hw
    if bgr is None or bgr.dtype != np.uint8 or bgr.shape != (-(-height // factor), -(-width // factor), 3):
        return None
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr).astype(np.uint8, copy=False)


def _is_whole(data: memoryview, scan: int) -> bool:
    """Return True if a JPEG file is one scan from there to its last byte, neither cut off nor visibly damaged."""
    if data[-2:].tobytes() != b"\xff\xd9":
        return False
    coded = np.frombuffer(data, dtype=np.uint8)[scan:-2]
    # In a scan 255 is followed by 0, or is part of a restart marker.
    following = coded[1:][coded[:-1] == 0xFF]
    stray = following[following != 0]
    return len(coded) > 0 and coded[-1] != 0xFF and bool(((stray >= 0xD0) & (stray <= 0xD7)).all())


def _read_with_pillow(name: str, file: str | io.BytesIO, factor: int) -> tuple[NDArray[np.uint8], int]:
    """Return the upright pixels, and the factor by which they are reduced."""
    try:
        with open_listed(file) as image:
            depth = depth_of(image, file)
            reduced = -(-image.width // factor), -(-image.height // factor)
            if factor > 1:
                image.draft(None, (image.width // factor, image.height // factor))
            load(image)
            if image.size != reduced:
                factor = 1
            eight = None if depth is None else deep_pixels(image, file, depth)
            opaque = undeclared_bands(image) > 0
            pixels = np.array(to_rgb(image if eight is None else eight, name, opaque=opaque))
            return upright(pixels, image), factor  # after loading: Pillow has already turned a TIFF
    except Exception as error:  # Pillow raises whatever the damaged bytes lead to
        raise _explain(name, error) from error


_IN_MEMORY = 1 << 26  # bytes of a JPEG file that is read ahead of its being decoded
_JPEG = b"\xff\xd8\xff"
_SIGNATURES = (_JPEG, b"\x89PNG", b"GIF8", b"RIFF", b"BM")


def _open(source: ImageSource, *, header_only: bool = False) -> tuple[str, str | io.BytesIO]:
    """Return a name for messages, and the bytes of a JPEG file (unless `header_only`) or the path for Pillow."""
    if isinstance(source, bytes):
        if not source:
            raise ImageError("the image in memory is empty (0 bytes)")
        return "the image in memory", io.BytesIO(source)
    if not isinstance(source, (str, os.PathLike)):
        with suppress(OSError):  # of a pipe
            source.seek(0)
        return str(getattr(source, "name", "the image in memory")), io.BytesIO(source.read())
    name = os.fspath(source)
    try:
        status = os.stat(name)
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: no such file") from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name}: not a file")
    if status.st_size == 0:
        raise ImageError(f"{name}: the file is empty (0 bytes); copy or download it again")
    if header_only or status.st_size > _IN_MEMORY:
        return name, name
    try:
        with open(name, "rb", buffering=0) as file:
            if file.read(len(_JPEG)) != _JPEG:
                return name, name
            file.seek(0)
            return name, io.BytesIO(file.readall())
    except OSError as error:
        raise _explain(name, error) from error


def _read_with_opencv(name: str, file: str | io.BytesIO) -> NDArray[np.uint8]:
    """Read formats that only OpenCV knows, floats in colour: Radiance HDR, PFM and TIFF; also PAM."""
    with open(file, "rb") if isinstance(file, str) else io.BytesIO(file.getbuffer()) as stream:
        head = stream.read(1 << 12)
    if not head:
        raise ImageError(f"{name}: the file is empty (0 bytes); copy or download it again")
    if problem := raw_problem(name, file):
        raise ImageError(problem)
    if head.startswith(_SIGNATURES):  # Pillow's own, but damaged: OpenCV would fill up what is missing without a word
        raise ImageError(f"{name}: the file is cut off or damaged near its beginning; copy or download it again")
    try:
        data = read_whole(file) if isinstance(file, str) else file.getvalue()
    except OSError as error:
        raise _explain(name, error) from error
    stated, form = stated_size(head), describe_tiff(data)
    if form is not None:
        stated = tiff_size(data)
    if stated is None:
        raise ImageError(
            f"{name}: not an image in any known format (it begins with {head[:12]!r}); "
            "open it in a viewer, and replace or remove it"
        )
    (height, width), most = stated, most_pixels() / FLOATS
    if height * width > most:
        text = f"{width}×{height} pixels are more than the {most:.0f} that a file of floats may have"
        raise ImageError(f"{name}: {text}; {LIMIT_ADVICE}")
    flags, image = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, None
    with suppress(cv2.error):
        image = _by_opencv(file, data, flags)
    if image is None and form is not None:
        text = "cannot be read in this form; is it whole? Save three of its bands as RGB, with 8 or 16 bits"
        raise ImageError(f"{name}: {form}, which {text}")
    if image is None:
        raise ImageError(f"{name}: cannot be read, as it is cut off or damaged; copy or download it again")
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    if data.startswith(b"#?"):  # Radiance: 1 is white, what is brighter is cut
        np.clip(rgb, 0, 1, out=rgb)
    try:
        return rgb.astype(np.uint8, copy=False) if rgb.dtype == np.uint8 else to_8_bits(rgb)
    except RangeError as error:
        raise ImageError(f"{name}: {error}") from error


def _by_opencv(file: str | io.BytesIO, data: bytes, flags: int) -> NDArray[Any] | None:
    if isinstance(file, str) and data.startswith(b"#?"):
        with suppress(UnicodeError):  # of a name that OpenCV cannot be given
            return cv2.imread(file, flags)  # Radiance from memory goes through a file in the temporary folder
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def _explain(name: str, error: BaseException) -> ImageError:
    if isinstance(error, ImageError):
        return error
    if isinstance(error, RangeError):
        return ImageError(f"{name}: {error}")
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return ImageError(f"{name}: {error}; {LIMIT_ADVICE}")
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return ImageError(f"{name}: the file is cut off ({error}); copy or download it again")
    return ImageError(f"{name}: cannot be read ({error}); open it in a viewer, and replace or remove it")
