"""The log of a command as plain lines, which stay clear of a live display."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal

from centernet.text import shown_lines

LIGHTNING = ("lightning.pytorch", "lightning.fabric")


def tell(*texts: object, file: IO[str] | None = None, end: str = "\n", flush: bool = False) -> None:
    """Print texts as `print` does, but names in them cannot control the terminal: `shown_lines`."""
    print(*map(shown_lines, texts), file=file, end=end, flush=flush)


class _Escaping(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown_lines(super().format(record))


class Lines(logging.StreamHandler):  # type: ignore[type-arg] # subscripts need Python 3.11
    """Writes records to standard output or error as these are at that time: a live display takes their place.

    Args:
        name: of the stream in `sys`.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._of = name
        logging.Handler.__init__(self)
        self.setFormatter(_Escaping("%(message)s"))

    @property
    def stream(self) -> Any:
        return getattr(sys, self._of)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning says of itself, but for warnings and for why it stops; with --debug all is shown."""
    if logging.getLogger("centernet").isEnabledFor(logging.DEBUG):
        yield
        return
    handler = Lines("stderr")
    handler.addFilter(
        lambda record: record.levelno >= logging.WARNING or "Signaling Trainer to stop" in record.getMessage()
    )
    logs = [logging.getLogger(name) for name in LIGHTNING]
    before = [log.handlers[:] for log in logs]
    for log in logs:
        log.handlers = [handler]
    try:
        yield
    finally:
        for log, handlers in zip(logs, before, strict=True):
            log.handlers = handlers
