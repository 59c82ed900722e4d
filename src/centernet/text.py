"""Names and texts of others as they are shown on a terminal, and written into files."""

from __future__ import annotations

import re
import unicodedata

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_KEPT = "\n\t"
_DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"


def shown(text: object) -> str:
    """Return a text for one line of a terminal: what would control it is escaped, as ``\\x1b`` and ``\\n``.

    Control characters, line breaks of all kinds, marks that change the direction of writing, and bytes of a name that
    are no text become escapes; everything else stays.
    """
    return _escaped(str(text), "")


def shown_lines(text: object) -> str:
    """Return a text of several lines for a terminal, as `shown`, but line feeds and tabs stay."""
    return _escaped(str(text), _KEPT)


def writable(text: str) -> str:
    """Return a text that any encoding of Unicode can hold: bytes that are no text become escapes such as ``\\xfc``."""
    if text.isascii():
        return text
    return re.sub("[\ud800-\udfff]", lambda found: _escape(found[0]), text)


def csv_cell(text: str) -> str:
    """Return a text as a cell that spreadsheets take for text: before what would be a formula stands an apostrophe."""
    text = writable(text)
    return f"'{text}" if text.lstrip(" \u00a0'").startswith(_FORMULA) else text


def without_apostrophe(cell: str) -> str:
    """Return the text that `csv_cell` made a cell of."""
    return cell[1:] if cell[:1] == "'" and csv_cell(cell[1:]) == cell else cell


def file_name(text: str) -> str:
    """Return a text as the name of a file or folder, without what leads elsewhere or stands in no line of a list."""
    name = "".join("_" if one in "/\\" or (_controls(one) and not "\udc80" <= one <= "\udcff") else one for one in text)
    return name if name.strip(". ") else "_"


def in_xml(text: str) -> str:
    """Return a text that XML can hold, in one line: other characters are escaped as `shown` does."""
    return "".join(_escape(one) if one in "\ufffe\uffff" else one for one in shown(text))


def _escaped(text: str, kept: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in kept or not _controls(one) else _escape(one) for one in text)


def _controls(one: str) -> bool:
    """Return True for control characters, halves of pairs, separators of lines and marks of direction."""
    return unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in _DIRECTION


def _escape(one: str) -> str:
    number = ord(one)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return one.encode("unicode_escape").decode("ascii") if number < 0xD800 or number > 0xDFFF else f"\\u{number:04x}"
