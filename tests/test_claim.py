"""Two processes and one folder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from centernet import claim
from centernet.claim import LOCK, claimed, new_folder

SOURCES = Path(__file__).resolve().parents[1] / "src"
HOLD = f"""
import sys, time; sys.path.insert(0, {str(SOURCES)!r})
from centernet.claim import claimed
with claimed(sys.argv[1]):
    print("held", flush=True); time.sleep(60)
"""


def test_the_second_is_told_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with (
        pytest.raises(ValueError, match=rf"out: process {other.pid} writes to this folder now.*--output"),
        claimed(folder),
    ):
        pass
    other.kill()
    other.wait()
    other.stdout.close()
    with claimed(folder):
        assert (folder / LOCK).is_file(), "what a killed process held is free"
        (folder / "result").touch()
    assert os.listdir(folder) == ["result"]


def test_within_a_process_too(tmp_path: Path) -> None:
    with claimed(tmp_path):
        with pytest.raises(ValueError, match="this process"), claimed(tmp_path):
            pass
        assert (tmp_path / LOCK).is_file()


def test_a_folder_that_was_made_for_nothing_goes(tmp_path: Path) -> None:
    with claimed(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists()


def test_file_systems_without_locks_grant_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(claim, "_lock", none)
    with claimed(tmp_path):
        (tmp_path / "result").touch()


def test_windows_locks_a_byte_far_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Msvcrt:
        LK_NBLCK = 2

        def __init__(self) -> None:
            self.taken = set[int]()

        def locking(self, number: int, mode: int, size: int) -> None:
            place = os.lseek(number, 0, os.SEEK_CUR)
            assert mode == self.LK_NBLCK and place > 1 << 20, "bytes that are locked cannot be read"
            if place in self.taken:
                raise PermissionError(errno.EACCES, "locked")
            self.taken.add(place)

    monkeypatch.setattr(claim, "fcntl", None)
    monkeypatch.setattr(claim, "msvcrt", Msvcrt())
    with claimed(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="writes to this folder now"), claimed(tmp_path):
        pass


def test_each_has_a_new_folder_of_its_own(tmp_path: Path) -> None:
    made = [new_folder(tmp_path, (f"run{number}" for number in count(1))).name for _ in range(3)]
    assert made == ["run1", "run2", "run3"]
