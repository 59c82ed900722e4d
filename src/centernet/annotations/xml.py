"""XML that is parsed safely, whole or element by element.

Files are parsed by expat with any document type declaration refused, so no entity can be defined in them (neither
expanded a billion times nor read from another file).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

XML_ERRORS = (ValueError, LookupError, expat.ExpatError)
"""What is raised for a file that cannot be parsed; a LookupError is an unknown encoding."""

_BLOCK = 1 << 20  # bytes that are read at once


def parse_xml(data: bytes) -> Element:
    """Return the root of a document."""
    builder = TreeBuilder()
    parser = _parser()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close()


def read_elements(path: Path) -> Iterator[Element]:
    """Read a document element by element: the root, without what is in it, then each child of it.

    No more than a block of the file and one child are in memory. Errors come when their place is reached.
    """
    stream, parser = _Stream(), _parser()
    parser.StartElementHandler = stream.start
    parser.EndElementHandler = stream.end
    parser.CharacterDataHandler = stream.data
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            try:
                parser.Parse(block, False)
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


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: Any) -> None:
    raise ValueError("it has a document type declaration, which is refused for safety; remove the <!DOCTYPE ...> line")
