"""The newest image of a camera or a stream: what comes while another is worked on is skipped, and counted."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator

from centernet.inference.frame import SourceError
from centernet.inference.shots import Shot, Video

RECONNECTIONS = 5
"""Tries in a row to open a stream again that broke off."""

WAIT = 1.0
"""Seconds before each try."""


def newest(video: Video, reopen: Callable[[], Video] | None, shown: str) -> Iterator[tuple[int, Shot]]:
    """Read a live video in a thread of its own, and give the newest image whenever the next one is asked for.

    Args:
        video: is read to its end, and closed.
        reopen: opens it again after it broke off; None where it is over then.
        shown: its name in warnings.

    Yields:
        The number of the image among all that came, and the image, whose time is that of its arrival.

    Raises:
        SourceError: no more images come; the message lacks the name.
    """
    reader = _Reader(video, reopen, shown)
    thread = threading.Thread(target=reader.run, name="centernet-live", daemon=True)
    thread.start()
    try:
        while (taken := reader.take()) is not None:
            yield taken
    finally:
        reader.stop.set()
        thread.join(2)  # one that waits for the network ends by itself


class _Reader:
    """Reads in one thread, and hands the newest image to another."""

    def __init__(self, video: Video, reopen: Callable[[], Video] | None, shown: str) -> None:
        self.video, self.reopen, self.shown = video, reopen, shown
        self.stop = threading.Event()
        self._changed = threading.Condition()
        self._newest: tuple[int, Shot] | None = None
        self._came, self._start = 0, time.monotonic()
        self._over: Exception | None = None
        self._words: list[str] = []

    def take(self) -> tuple[int, Shot] | None:
        """Wait for an image, and return it; None after the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._over or self._words)
            taken, self._newest = self._newest, None
            words, self._words = self._words, []
        for text in words:
            warnings.warn(text, stacklevel=4)
        if taken is None and self._over is not None:
            raise self._over
        return taken or self.take()

    def run(self) -> None:
        """Read until it is over or stopped, in the other thread."""
        tries = 0
        video: Video | None = self.video
        while True:
            came, problem = self._came, ""
            try:
                if video is None and self.reopen is not None:
                    video = self.reopen()
                if video is not None:
                    self._read(video)
            except SourceError as error:
                problem = f" ({error})" if self._came == came else ""
            except Exception as error:  # it must not end in silence: the other thread waits
                return self._tell(over=error)
            tries = 1 if self._came > came else tries + 1
            if self.stop.is_set():
                return
            if self.reopen is None or not self._came or tries > RECONNECTIONS:
                often = f", also after {tries - 1} more tries to open it" if tries > 1 else ""
                return self._tell(over=SourceError(f"no more images came after {self._came}{often}{problem}"))
            text = f"{self.shown}: no more images came after {self._came}{problem}; opening it again"
            self._tell(word=f"{text} (try {tries} of {RECONNECTIONS})")
            video = None
            self.stop.wait(WAIT)

    def _read(self, video: Video) -> None:
        shots = video.shots
        try:
            for shot in shots:
                with self._changed:
                    self._newest = self._came, shot._replace(time=time.monotonic() - self._start, duration=None)
                    self._came += 1
                    self._changed.notify()
                if self.stop.is_set():
                    return
        finally:
            shots.close()  # type: ignore[attr-defined]

    def _tell(self, *, word: str | None = None, over: Exception | None = None) -> None:
        with self._changed:
            self._words += [word] if word else []
            self._over = over
            self._changed.notify()
