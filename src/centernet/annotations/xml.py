"""XML that is parsed safely, whole or element by element.

Files are parsed by expat with any document type declaration refused, so no entity can be defined in them (neither
expanded a billion times nor read from another file). What expat cannot decode, Python does: gb2312, big5, shift_jis …
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..files import open_file

XML_ERRORS = (ValueError, LookupError, expat.ExpatError)
"""Errors of a file that cannot be parsed; a LookupError is an unknown encoding."""

_BLOCK = 1 << 20  # bytes that are read at once


def parse_xml(data: bytes) -> Element:
    """Return the root of a document."""
    builder = TreeBuilder()
    encoding = _encoding(data)
    parser = _parser(encoding)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data if encoding is None else data.decode(encoding).encode("utf-8"), True)
    return builder.close()


def read_elements(path: Path) -> Iterator[Element]:
    """Read a document element by element: the root, without what is in it, then each child of it.

    No more than a block of the file and one child are in memory. Errors come when their place is reached.
    """
    with open_file(path) as file:
        encoding = _encoding(file.read(_BLOCK))
        file.seek(0)
        decode = None if encoding is None else codecs.getincrementaldecoder(encoding)().decode
        stream, parser = _Stream(), _parser(encoding)
        parser.StartElementHandler = stream.start
        parser.EndElementHandler = stream.end
        parser.CharacterDataHandler = stream.data
        while block := file.read(_BLOCK):
            try:
                parser.Parse(block if decode is None else decode(block).encode("utf-8"), False)
            finally:
                yield from stream.taken()
        parser.Parse(b"", True)
    yield from stream.taken()


class _Stream:
    """Collects the elements of the first two levels."""

    def __init__(self) -> None:
        self._depth = 0
        self._builder = TreeBuilder()
        self._done: list[Element] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self._done.append(Element(tag, attributes))
            return
        if self._depth == 2:
            self._builder = TreeBuilder()
        self._builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        if self._depth > 1:
            self._builder.end(tag)
        if self._depth == 2:
            self._done.append(self._builder.close())
        self._depth -= 1

    def data(self, text: str) -> None:
        if self._depth > 1:
            self._builder.data(text)

    def taken(self) -> list[Element]:
        """Return the elements that are complete, once."""
        done, self._done = self._done, []
        return done


_DECLARED = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"']")
_OWN = ("utf-8", "ascii", "iso8859-1")  # by Python's names: what expat decodes by itself
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "big5": "big5hkscs", "euc_kr": "cp949"}
"""Encodings that files name whose characters are those of a wider one (https://encoding.spec.whatwg.org)."""
_NO_TEXTS = ("punycode", "idna", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined")


def _encoding(data: bytes) -> str | None:
    """Return the encoding that the beginning of a document names, where it is Python that knows it; None of others."""
    if data.startswith(codecs.BOM_UTF8):  # whatever it says
        return "utf-8-sig"
    declared = _DECLARED.match(data)
    if declared is None:  # UTF-16 is known by its first bytes
        return None
    name = codecs.lookup(declared[1].decode("ascii")).name
    if name.startswith(("utf-16", "utf-32")):  # says so in single bytes, so it isn't
        return "utf-8"
    if name in _OWN:
        return None
    if name.replace("_", "-") in _NO_TEXTS:
        raise ValueError(f"the encoding {name} is refused")
    b"<".decode(name)  # a LookupError of what decodes to no text
    return _WIDER.get(name, name)


def _parser(encoding: str | None) -> expat.XMLParserType:
    parser = expat.ParserCreate(None if encoding is None else "utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: Any) -> None:
    raise ValueError("it has a document type declaration, which is refused for safety; remove the <!DOCTYPE ...> line")
