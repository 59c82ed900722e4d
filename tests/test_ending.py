"""Signals that ask for the end: what they raise, when, and with which exit code."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from centernet import ending
from centernet.ending import Ended, ends_are_errors, exit_code, held, received

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def default() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background ignore it from the start
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # those of nohup this one


@pytest.mark.parametrize(
    ("number", "code", "error"),
    [(signal.SIGINT, 130, KeyboardInterrupt), (signal.SIGTERM, 143, Ended), (signal.SIGHUP, 129, Ended)],
)
def test_each_signal_is_an_error_with_its_exit_code(number: signal.Signals, code: int, error: type) -> None:
    before = signal.getsignal(number)
    with ends_are_errors():
        with pytest.raises(error):
            signal.raise_signal(number)
        assert received() == number and exit_code() == code
    assert signal.getsignal(number) is before


def test_what_is_held_is_done_to_its_end() -> None:
    done = []
    with ends_are_errors():
        with pytest.raises(Ended), held():
            with held():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        assert done == ["inner", "outer"]


def test_a_block_that_fails_keeps_its_error_and_the_signal_comes_at_the_next() -> None:
    with ends_are_errors():
        with pytest.raises(OSError, match="full"), held():
            signal.raise_signal(signal.SIGTERM)
            raise OSError("full")
        with pytest.raises(Ended), held():
            raise AssertionError("not reached")


def test_the_same_twice_is_once_but_a_second_ctrl_c_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    with ends_are_errors():
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # `timeout` sends it to the process and to its group
        with pytest.raises(KeyboardInterrupt):
            time.sleep(ending.AGAIN + 0.1)
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert exit_code() == 143


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with ends_are_errors():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_threads_have_no_signals() -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with ends_are_errors(), held():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []


def test_a_system_without_these_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has SIGINT and SIGBREAK."""
    monkeypatch.setattr(ending, "NAMES", ("SIGINT", "SIGBREAK"))
    with ends_are_errors(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
