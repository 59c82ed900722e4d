"""Flags of a file: values that say yes or no, and the others, which are named and never taken for one of the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .problems import Reports

_SAYS = {"": False, "0": False, "0.0": False, "false": False, "no": False, "none": False}
_SAYS |= {"1": True, "1.0": True, "true": True, "yes": True}


class Flags:
    """Reads one flag of many entries: ``0``, ``1``, true, false and null, also as text. Another value counts as 0.

    Args:
        name: of the flag.
        unset: what an entry is whose flag is not set, for messages.
    """

    def __init__(self, name: str, unset: str) -> None:
        self.name, self._unset = name, unset
        self._odd: dict[str, tuple[int, str]] = {}  # by value: how many entries, and the place of the first

    def read(self, value: Any, where: Callable[[Any], str], place: Any) -> bool:
        """Return the flag; an unknown value is kept for `report`, with the place of the first, named by `where`."""
        if value is None or (type(value) is int and value in (0, 1)):
            return bool(value)
        says = _SAYS.get(str(value).strip().lower())
        if says is None:
            text = f"{value!r:.40}"
            count, first = self._odd.get(text, (0, ""))
            self._odd[text] = count + 1, first or where(place)
            return False
        return says

    def report(self, path: Path, report: Reports) -> None:
        """Report each unknown value once."""
        for value, (count, first) in self._odd.items():
            text = f"{first}: {self.name} is {value}, expected 0 or 1; in {count} entries, which count as {self._unset}"
            report(path, "unknown-value", text)
