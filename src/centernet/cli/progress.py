"""Shows in one line how far a long run is, where a person looks on."""

from __future__ import annotations

import os
import sys
import time

from centernet.text import shown_lines

CLEAR = "\r\x1b[K"


class Progress:
    """Draws a bar on standard error: share, count, speed and the time left. Silent where that is no terminal.

    The line is never longer than the terminal is wide, since one that wraps cannot be drawn over. It stays at the end,
    at 100 % where everything was done, whatever number was expected.

    Args:
        total: how much there is to do, None where nobody knows.
        unit: what is counted, in the plural.
        every: seconds between two looks of the line.
    """

    WIDTH = 24

    def __init__(self, total: int | None, *, unit: str = "frames", every: float = 0.1) -> None:
        self.total, self.unit, self.every, self.done = total, unit, every, 0
        self._shown, self._begun = is_terminal(), False
        self._start = self._last = time.monotonic()

    def begin(self) -> None:
        """Count the time from now on, not from the loading of a model."""
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count what is done."""
        self.done += count
        now = time.monotonic()
        if self._shown and now - self._last >= self.every:
            self._last = now
            self._draw(self.line(now - self._start))

    def line(self, seconds: float) -> str:
        """Return the line after so many seconds."""
        speed = f"{self.done / max(seconds, 1e-9):.1f} a second"
        if self.total is None or self.done > self.total:  # a video's own count may be off
            return f"{self.done} {self.unit}, {speed}"
        left = round((self.total - self.done) * seconds / max(self.done, 1))
        return f"{self._bar(self.total)}  {self.done}/{self.total} {self.unit}, {speed}, {_clock(left)} left"

    def close(self, *, whole: bool = True) -> None:
        """Leave the last line, if there was one; `whole` says that everything was done."""
        if not self._begun:
            return
        seconds = time.monotonic() - self._start
        total = self.done if whole else max(self.done, self.total or self.done)
        share = f"{self._bar(total)}  " if whole or self.total is not None else ""
        speed = self.done / max(seconds, 1e-9)
        self._draw(f"{share}{self.done} {self.unit} in {_clock(round(seconds))}, {speed:.1f} a second\n")

    def _bar(self, total: int) -> str:
        share = self.done / max(total, 1)
        return f"{'█' * int(self.WIDTH * share):░<{self.WIDTH}} {int(100 * share):3d}%"

    def _draw(self, text: str) -> None:
        """Draw over the line; a console without these characters gets others."""
        self._begun = True
        width = _columns() - 1
        shown = text.rstrip("\n")
        shown = shown if len(shown) <= width else shown[: max(shown.rfind(", ", 0, width), 0)] or shown[:width]
        shown += "\n" * text.endswith("\n")
        encoding = sys.stderr.encoding or "utf-8"
        try:
            shown.encode(encoding)
        except UnicodeEncodeError:
            shown = shown.replace("█", "#").replace("░", ".")
        print(f"{CLEAR}{shown}", end="", file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Return True where standard error is a terminal that can go back to the beginning of a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """Print a line on standard error, in the place of a bar that may stand there."""
    print(f"{CLEAR if is_terminal() else ''}{shown_lines(text)}", file=sys.stderr)


def _columns() -> int:
    """Return the width of the terminal that standard error is."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
