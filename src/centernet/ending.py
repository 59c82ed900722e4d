"""The end of a command that is asked from outside: Ctrl-C, SIGTERM (docker stop, systemd, SLURM), a closed terminal.

Each is a `KeyboardInterrupt` in the main thread, which `held` puts off until something is written to its end.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that ask for the end. Windows has Ctrl-C and Ctrl-Break; SIGTERM is not sent there."""
AGAIN = 1.0
"""Seconds within which a second Ctrl-C is the same: `timeout` sends each signal to the process and to its group."""


class Ended(KeyboardInterrupt):
    """A signal other than Ctrl-C asked for the end of the process."""


class _State:
    """State of the signals: turned into errors now or not, and which came."""

    depth = 0  # of `held`
    pending: int | None = None  # came while held
    received: int | None = None
    time = 0.0  # of the last one that was raised


def received() -> int | None:
    """Return the number of the signal that asked for the end, None where none came."""
    return _State.received


def exit_code() -> int:
    """Return the exit code of a process that a signal has ended: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_State.received or signal.SIGINT)


def name_of(number: int) -> str:
    """Return "Ctrl-C", or the name of a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


@contextmanager
def ends_are_errors() -> Iterator[None]:
    """Raise a `KeyboardInterrupt` for each signal that asks for the end, as long as a command runs.

    Signals that are ignored (nohup, processes in the background) or that somebody handles stay so. Only the main thread
    has signals; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.pending = _State.received = None
    before: dict[int, Any] = {}
    for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Put off the signals that ask for the end until what is inside is done. Threads other than the main have none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _raise_pending()  # of a block that ended in an error
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
    _raise_pending()


def _raise_pending() -> None:
    if not _State.depth and (number := _State.pending) is not None:
        _State.pending = None
        _raise(number)


def _raise(number: int, _frame: Any = None) -> None:
    """Raise the error of a signal. One that says the same again while the end is under way is passed over."""
    if _State.depth:
        _State.pending = number
        return
    now = time.monotonic()
    again = _State.received is not None and (number != signal.SIGINT or now - _State.time < AGAIN)
    if again:
        return
    _State.received, _State.time = _State.received or number, now
    raise KeyboardInterrupt if number == signal.SIGINT else Ended(signal.Signals(number).name)


def end_with_parent() -> None:
    """End this process of `multiprocessing` once the one that started it is gone, also where that was killed."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    time.sleep(0.5)  # in a forked child the parent is known when it has begun
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
