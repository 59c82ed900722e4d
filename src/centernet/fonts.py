"""Fonts that have the letters of a text: a given one, Pillow's own, or one of the system's."""

from __future__ import annotations

import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

PREFERRED = (  # that many systems have, with many letters
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc"),  # Linux
    *("Arial Unicode.ttf", "PingFang.ttc", "msyh.ttc", "arial.ttf"),  # macOS, Windows
)
_FACES = ("bold", "italic", "oblique", "light", "thin", "black", "medium", "condensed", "narrow", "mono", "serif")
_SHAPELESS = ("Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp")  # categories of characters that need no shape of their own
_NO_LETTER = "\U0010fffe"
_told: set[str | None] = set()  # the fonts of which it was said that they lack letters


def font_for(text: str, size: int, file: str | None = None) -> tuple[Font, str]:
    """Return a font that has the letters of a text, and the text.

    Letters that no font has become their codes, such as ``\\u4eba``; a warning says so once.

    Args:
        text: in any script.
        size: in pixels.
        file: the font to take where it has the letters; None for Pillow's own.

    Raises:
        ValueError: a file that is no font.
    """
    letters = frozenset(letter for letter in text if not letter.isascii())
    chosen, missing = _choose(letters, file) if letters else (file, letters)
    if missing:
        _tell(file, "".join(sorted(missing)))
        coded = missing | {letter for letter in letters if unicodedata.category(letter)[0] == "M"}  # marks of letters
        text = "".join(ascii(letter)[1:-1] if letter in coded else letter for letter in text)
    return open_font(chosen, size), text


@lru_cache(maxsize=64)
def open_font(file: str | None, size: int) -> Font:
    """Open a font file, or Pillow's own font; a ValueError names a file that is none."""
    if file is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(file, size)
    except OSError as error:
        text = (
            f"{file}: no font that can be read ({error}); give a file such as NotoSansSC-Regular.otf (.ttf, .otf, .ttc)"
        )
        raise ValueError(text) from error


@lru_cache(maxsize=1024)
def _choose(letters: frozenset[str], file: str | None) -> tuple[str | None, frozenset[str]]:
    """Return the first font that has all letters, else the one that lacks fewest, and the letters that it lacks."""
    best, fewest = file, _missing(open_font(file, 32), letters)
    for other in _others():
        if not fewest:
            break
        try:
            missing = _missing(open_font(other, 32), letters | {"a", "0"})
        except ValueError:  # a font of bitmaps, or one of another version of the system
            continue
        if len(missing) < len(fewest):
            best, fewest = other, missing
    return best, fewest


def _missing(font: Font, letters: frozenset[str]) -> frozenset[str]:
    """Return the letters that have the shape of a letter which no font has."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return frozenset(letter for letter in letters if not letter.isascii())
    nothing = _shape(font, _NO_LETTER)
    shown = (letter for letter in letters if unicodedata.category(letter) not in _SHAPELESS)
    return frozenset(letter for letter in shown if _shape(font, letter) == nothing)


def _shape(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _others() -> Iterator[str | None]:
    yield None
    yield from PREFERRED
    yield from _system_fonts()


@lru_cache(maxsize=1)
def _system_fonts() -> list[str]:
    """Return the font files of the system, plain faces first."""
    home, environment = Path.home(), os.environ
    if sys.platform == "win32":
        places = [(environment.get("WINDIR"), "Fonts"), (environment.get("LOCALAPPDATA"), "Microsoft/Windows/Fonts")]
        folders = [Path(base, name) for base, name in places if base]
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        shared = environment.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        own = environment.get("XDG_DATA_HOME") or str(home / ".local/share")
        folders = [Path(base, "fonts") for base in (*shared.split(":"), own)] + [home / ".fonts"]
    files = {path for folder in folders for suffix in ("ttf", "otf", "ttc") for path in folder.rglob(f"*.{suffix}")}
    return sorted(map(str, files), key=lambda file: (sum(face in Path(file).name.lower() for face in _FACES), file))


def _tell(file: str | None, letters: str) -> None:
    if file in _told:
        return
    _told.add(file)
    lacks = f", and {file} does not" if file else ""
    text = f"no font of this system has some letters of the labels, such as {letters[:5]}{lacks}"
    warnings.warn(f"{text}; they are drawn as codes. Give a font that has them: --font FILE, font=…", stacklevel=2)
