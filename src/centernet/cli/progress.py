"""Shows in one line how far a long run is, where a person looks on."""

from __future__ import annotations

import sys
import time


class Progress:
    """Draws a bar on standard error: share, count, speed and the time left. Silent where that is no terminal.

    Args:
        total: how much there is to do, None where nobody knows.
        unit: what is counted, in the plural.
        every: seconds between two looks of the line.
    """

    WIDTH = 24

    def __init__(self, total: int | None, *, unit: str = "frames", every: float = 0.1) -> None:
        self.total, self.unit, self.every, self.done = total, unit, every, 0
        self._shown = sys.stderr.isatty()
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count what is done."""
        self.done += count
        now = time.monotonic()
        if self._shown and now - self._last >= self.every:
            self._last = now
            print(f"\r\x1b[K{self.line(now - self._start)}", end="", file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """Return the line after so many seconds."""
        speed = self.done / max(seconds, 1e-9)
        if self.total is None:
            return f"{self.done} {self.unit}, {speed:.1f} a second"
        share = min(1.0, self.done / max(self.total, 1))  # a video's own count may be off
        bar = "█" * round(self.WIDTH * share)
        left = round(max(0, self.total - self.done) / max(speed, 1e-9))
        times = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
        return f"{bar:░<{self.WIDTH}} {share:4.0%}  {self.done}/{self.total} {self.unit}, {speed:.1f} a second, {times}"

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
