"""Files of which Pillow alone would read less than is meant: raw photographs, HEIC, several pages, a band too many.

Most raw files are TIFF: a small preview first, the sensor's values in a directory of their own (TIFF/EP, ISO 12234-2;
Adobe's DNG specification). Read as plain TIFF they are that preview.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import PurePath
from typing import Any, BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

RAW_SUFFIXES = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".rwl", ".raf", ".pef"),
    *(".srw", ".x3f", ".3fr", ".fff", ".iiq", ".erf", ".mef", ".mos", ".mrw", ".kdc", ".dcr", ".gpr"),
)
"""Suffixes, in lower case, of cameras' raw files."""

_SIGNATURES = (
    (0, b"FUJIFILMCCD-RAW", "RAF of Fujifilm"),
    (0, b"IIRO", "ORF of Olympus"),
    (0, b"IIRS", "ORF of Olympus"),
    (0, b"MMOR", "ORF of Olympus"),
    (0, b"IIU\0", "RW2 of Panasonic"),
    (0, b"FOVb", "X3F of Sigma"),
    (0, b"\0MRM", "MRW of Minolta"),
    (4, b"ftypcrx ", "CR3 of Canon"),
    (6, b"HEAPCCDR", "CRW of Canon"),
    (8, b"CR\2\0", "CR2 of Canon"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")  # brands

# Tags of TIFF and DNG.
_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _SAMPLES, _SUBFILES, _EXTRA = 254, 256, 257, 262, 277, 330, 338
_BITS, _DNG_VERSION = 258, 50706
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3}  # samples of a colour, by PhotometricInterpretation
_ALPHA = (1, 2, 999)  # values of ExtraSamples; the last is CorelDRAW's
_SENSOR = (32803, 34892)  # values of PhotometricInterpretation: colour filter array, LinearRaw
_PAGES = 100  # directories that are looked at


def raw_problem(name: str, file: str | io.BytesIO) -> str | None:
    """Say what a raw photograph, or a file that begins with its own thumbnail, is; None for any other file."""
    with open(file, "rb") if isinstance(file, str) else io.BytesIO(file.getbuffer()) as stream:
        head = stream.read(16)
        kind = next((kind for at, mark, kind in _SIGNATURES if head[at:].startswith(mark)), None)
        if kind is None and not head.startswith(_TIFF):
            return None
        directories, damaged = _directories(stream) if kind is None else ([{}], 0)
    first, *others = directories
    sizes = [(int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))) for tags in (first, *others)]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    shown = f"; all that could be read of it is a preview of {sizes[0][0]}×{sizes[0][1]} pixels" if first else ""
    if kind is None and _DNG_VERSION in first:
        kind = "DNG"
    if kind is None and any(tags.get(_PHOTOMETRIC) in _SENSOR for tags in (first, *others)):
        kind = "the sensor's values in TIFF"
    if kind is None and (suffix := PurePath(name).suffix.lower()) in RAW_SUFFIXES:
        kind = suffix[1:].upper()
    if kind is not None:
        way = (
            "develop it to JPEG, PNG or TIFF (darktable, RawTherapee, the camera's program, rawpy), and give that file"
        )
        return f"{name}: a camera's raw file ({kind}){shown}; {way}"
    if largest[0] * largest[1] > sizes[0][0] * sizes[0][1]:
        text = f"its first image is a thumbnail of {sizes[0][0]}×{sizes[0][1]} pixels, the whole one has"
        return f"{name}: {text} {largest[0]}×{largest[1]}; save that as a file of its own, and give it"
    if damaged and _is_reduced(first):
        text = f"its first image is a thumbnail of {sizes[0][0]}×{sizes[0][1]} pixels, the whole one is damaged"
        return f"{name}: {text}; copy or download it again"
    return None


def describe_tiff(data: bytes) -> str | None:
    """Return the number of bands and bits of a TIFF that cannot be read; None for any other file."""
    if not data.startswith(_TIFF):
        return None
    tags = _directories(io.BytesIO(data))[0][0]
    bits = _numbers(tags.get(_BITS)) or (1,)
    return f"a TIFF with {int(tags.get(_SAMPLES, 1))} bands of {max(bits)} bits" if tags else None


def stated_size(head: bytes) -> tuple[int, int] | None:
    """Return the (height, width) that the beginning of a Radiance, PFM or PAM file states; None for any other file."""
    if head.startswith(b"#?"):
        found = re.search(rb"\n-Y\s+(\d{1,9})\s+\+X\s+(\d{1,9})\s", head)
    elif head.startswith(b"P7"):
        found = re.search(rb"\nWIDTH\s+(\d{1,9})\s", head)
        height = re.search(rb"\nHEIGHT\s+(\d{1,9})\s", head)
        return None if found is None or height is None else (int(height[1]), int(found[1]))
    else:
        found = re.match(rb"P[Ff]\s+(\d{1,9})\s+(\d{1,9})\s", head)
        return None if found is None else (int(found[2]), int(found[1]))
    return None if found is None else (int(found[1]), int(found[2]))


def tiff_size(data: bytes) -> tuple[int, int] | None:
    """Return the (height, width) that a TIFF states; None where it states none."""
    first = _directories(io.BytesIO(data))[0][0]
    try:
        return int(first[_HEIGHT]), int(first[_WIDTH])
    except (KeyError, TypeError, ValueError):
        return None


def _directories(stream: BinaryIO) -> tuple[list[dict[int, Any]], int]:
    """Return the tags of a TIFF's first image, and of those that may be the one that it is a thumbnail of.

    Beside them how many of the places of the latter hold none.
    """
    try:
        first, *pages = list(_chain(stream, 0))
    except Exception:  # Pillow raises whatever the damaged bytes lead to; reading the image says it
        return [{}], 0
    others, damaged = pages if _is_reduced(first) else [], 0  # else they are pages of their own
    for place in _numbers(first.get(_SUBFILES))[:_PAGES]:
        try:
            found = list(_chain(stream, place))
        except Exception:
            found = []
        others += (whole := [tags for tags in found if tags.get(_WIDTH) and tags.get(_HEIGHT)])
        damaged += not whole or len(whole) < len(found)
    return [first, *others], damaged


def _is_reduced(tags: dict[int, Any]) -> bool:
    return bool(int(tags.get(_SUBFILE, 0)) & 1)


def _chain(stream: BinaryIO, place: int) -> Iterator[dict[int, Any]]:
    """Yield the tags of the directories that follow one another from a place on; 0 for the file's first."""
    end = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(8)
    large = head[2:4] in (b"\x2b\0", b"\0\x2b")  # BigTIFF, whose head, counts and entries are longer
    directory = ImageFileDirectory_v2(head + stream.read(8) if large else head)
    number, entry = (8, 20) if large else (2, 12)
    place, seen = place or directory.next, set[int]()
    while place and place not in seen and len(seen) < _PAGES:
        seen.add(place)
        stream.seek(place)
        count = int.from_bytes(stream.read(number), "little" if head.startswith(b"II") else "big")
        if place + number + count * entry > end:  # Pillow would warn, of no file
            raise ValueError("a directory beyond the end of the file")
        stream.seek(place)
        directory.load(stream)
        yield {tag: directory.get(tag) for tag in directory}
        place = directory.next


def _numbers(value: Any) -> tuple[int, ...]:
    return () if value is None else tuple(value) if isinstance(value, tuple) else (int(value),)


def register_heif(name: str, file: str | io.BytesIO) -> bool:
    """Have Pillow read HEIC from now on, by pi-heif; False for a file that is none.

    Raises:
        ImportError: the package isn't installed; the message names the file and the command that installs it.
    """
    with open(file, "rb") if isinstance(file, str) else io.BytesIO(file.getbuffer()) as stream:
        head = stream.read(12)
    if head[4:8] != b"ftyp" or head[8:] not in _HEIF:
        return False
    try:
        import_module("pi_heif").register_heif_opener()
    except ImportError as error:
        way = "pip install 'centernet[heif]', or save it as JPEG"
        raise ImportError(f"{name}: a HEIC image, as phones take them, needs the package pi-heif: {way}") from error
    return True


def undeclared_bands(image: Image.Image) -> int:
    """Return the bands of a TIFF beside its colours, such as infrared, that the file does not declare to be alpha."""
    tags: Any = getattr(image, "tag_v2", {})
    colours = _COLOURS.get(tags.get(_PHOTOMETRIC, -1))
    if colours is None or any(kind in _ALPHA for kind in _numbers(tags.get(_EXTRA))):
        return 0
    return max(0, int(tags.get(_SAMPLES, 1)) - colours)


def left_unread(image: Image.Image) -> tuple[str, ...]:
    """Say what of an opened image is not read: its further frames or pages, and bands that are no colour.

    The second image of a stereo camera's MPO and smaller versions of the first page are no pages of their own.
    """
    found = []
    if bands := undeclared_bands(image):
        which = "a band" if bands == 1 else f"{bands} bands"
        text = f"has {which} beside its colours that the file does not declare to be alpha (ExtraSamples)"
        found.append(f"{text}; the colours alone are looked at")
    if image.format == "TIFF" and (damaged := _damaged(image)):
        found.append(f"names {damaged} further image{'s' * (damaged > 1)} that cannot be read, as from a damaged file")
    if image.format in ("GIF", "WEBP", "PNG", "TIFF", "HEIF") and getattr(image, "is_animated", False):
        number = _pages(image) if image.format == "TIFF" else int(getattr(image, "n_frames", 1))
        if number > 1:
            noun = "pages" if image.format == "TIFF" else "images" if image.format == "HEIF" else "frames"
            found.append(f"has {number} {noun}, of which the first alone is looked at")
    return tuple(found)


def _damaged(image: Image.Image) -> int:
    """Return how many images an opened TIFF names by their places (SubIFDs) that hold none."""
    stream = getattr(image, "fp", None)
    if stream is None or _SUBFILES not in getattr(image, "tag_v2", {}):
        return 0
    here = stream.tell()
    try:
        return _directories(stream)[1]
    finally:
        stream.seek(here)


def _pages(image: Image.Image) -> int:
    """Return the pages of a TIFF, less those that are smaller versions or masks of another."""
    number, here = 0, image.tell()
    try:
        for page in range(getattr(image, "n_frames", 1)):
            image.seek(page)
            number += not int(getattr(image, "tag_v2", {}).get(_SUBFILE, 0)) & 5
    except Exception:  # damage behind the first page
        number += 1
    finally:
        image.seek(here)
    return number
