"""Files are whole or not there: full disks, protected places, interruptions, links, devices; Windows simulated."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from centernet import whole
from centernet.whole import (
    Growing,
    is_empty,
    whole_file,
    whole_files,
    whole_folder,
    write_bytes,
    write_json,
    write_text,
)

SOURCES = Path(__file__).resolve().parents[1] / "src"
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and permissions of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def by_growing(path: Path, text: str) -> None:
    file = Growing.beside(path)
    try:
        file.add(text)
        file.finish()
    finally:
        file.discard()


def by_files(path: Path, text: str) -> None:
    with whole_files(path) as draft:
        draft.with_suffix(".bin").write_text(text)
        draft.write_text(text)


WAYS: dict[str, Callable[[Path, str], Any]] = {
    "text": write_text,
    "bytes": lambda path, text: write_bytes(path, text.encode(), synced=False),
    "json": write_json,
    "growing": by_growing,
    "files": by_files,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_written_with_its_folder_and_takes_the_place_of_another(tmp_path: Path, way: str) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        WAYS[way](path, text)
        assert text in path.read_text()
    assert names(tmp_path / "new") == (["a.bin", "a.txt"] if way == "files" else ["a.txt"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG])
def test_what_cannot_be_written_leaves_the_file_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, number: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"a\.txt: was not written: .*; the file of before is as it was") as error:
        WAYS[way](path, "after")
    assert error.value.errno == number and "[Errno" not in str(error.value)
    assert path.read_text() == "before" and names(tmp_path) == ["a.txt"]


def test_an_error_of_the_writer_leaves_nothing(tmp_path: Path) -> None:
    for way in (whole_file, whole_files, whole_folder):
        with pytest.raises(RuntimeError), way(tmp_path / "a") as draft:  # type: ignore[operator]
            (draft / "inner" if draft.is_dir() else draft).write_text("half")
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_does_not_say_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(OSError, match="its disk is full"), whole_files(tmp_path / "a.xml"):
        raise RuntimeError("Can't open bin file")
    assert list(tmp_path.iterdir()) == []


def test_files_that_belong_together_come_back_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_files(tmp_path / "a.xml", "before")
    real, moved = os.replace, []

    def fail_late(source: Any, target: Any) -> None:
        moved.append(source)
        if len(moved) == 4:  # both of before are set aside, one new one is in its place
            raise OSError(errno.EIO, "no")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_late)
    with pytest.raises(OSError, match="was not written"):
        by_files(tmp_path / "a.xml", "after")
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == {"a.bin": "before", "a.xml": "before"}


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    for text in ("one", "other"):  # as an .mlpackage
        with whole_files(tmp_path / "model.mlpackage") as draft:
            draft.mkdir()
            (draft / text).write_text(text)
    assert names(tmp_path) == ["model.mlpackage/other"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_is_filled_in_one_step(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "set"
    if there:  # as a volume that is mounted, which cannot be replaced
        folder.mkdir()
        number = folder.stat().st_ino
    with whole_folder(folder) as draft:
        (draft / "images").mkdir()
        (draft / "images" / "a.jpg").touch()
        (draft / "data.yaml").touch()
        assert not any(path.name == "images" for path in (folder.iterdir() if there else ()))
    assert names(tmp_path) == ["set/data.yaml", "set/images/a.jpg"]
    assert not there or folder.stat().st_ino == number


def test_two_that_make_one_folder(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="meanwhile"), whole_folder(tmp_path / "set") as draft:
        (draft / "a").touch()
        with whole_folder(tmp_path / "set") as other:
            (other / "b").touch()
    assert names(tmp_path) == ["set/b"]


@POSIX
def test_links_modes_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    target, link = tmp_path / "disk" / "a.txt", tmp_path / "a.txt"
    write_text(target, "before")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "after")
    assert link.is_symlink() and target.read_text() == "after" and target.stat().st_mode & 0o777 == 0o640
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through" and pipe.is_fifo()
    os.close(reader)


@POSIX
def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a", "before")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root
    with pytest.raises(PermissionError, match="write-protected"):
        write_text(tmp_path / "a", "after")
    assert (tmp_path / "a").read_text() == "before"


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / ("a" * 251 + ".txt"), "")
    assert len(names(tmp_path)) == 1


def test_a_piece_is_on_a_file_wholly_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Growing(tmp_path / "t.txt")
    file.add("1,one\n")

    class Full:
        def __init__(self, inner: Any) -> None:
            self.inner, self.calls = inner, 0

        def write(self, data: Any) -> int:
            self.calls += 1
            if self.calls == 2:
                raise OSError(errno.ENOSPC, "full")
            return int(self.inner.write(data[:3]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    real, file._file = file._file, Full(file._file)  # type: ignore[assignment]
    with pytest.raises(OSError, match=r"t\.txt: was not written: its disk is full"):
        file.add("2,two\n")
    file._file = real
    file.add("3,three\n")
    file.close()
    assert (tmp_path / "t.txt").read_text() == "1,one\n3,three\n"


@POSIX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_the_file_of_before_and_the_next_one_clears_up(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_text(tmp_path / "a.txt", "before")
    code = f"""
import sys, time; from pathlib import Path; sys.path.insert(0, {str(SOURCES)!r})
from centernet.whole import whole_files, Growing
growing = Growing.beside(Path({str(tmp_path)!r}, "b.json")); growing.add("half")
with whole_files(Path({str(tmp_path)!r}, "a.txt")) as draft:
    draft.write_text("half"); print("now", flush=True); time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "now\n"
    process.send_signal(number)
    process.wait()
    process.stdout.close()
    visible = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert visible == ["a.txt"] and (tmp_path / "a.txt").read_text() == "before"
    write_text(tmp_path / "a.txt", "after")
    assert names(tmp_path) == ["a.txt"]


def test_parts_of_a_process_that_runs_stay(tmp_path: Path) -> None:
    running = tmp_path / f".centernet-{whole._HOST}-{os.getppid()}-0.part"
    elsewhere = tmp_path / ".centernet-anotherhost-1-0.part"
    running.touch(), elsewhere.touch()
    assert not is_empty(tmp_path) and running.exists() and elsewhere.exists()


class TestWindows:
    """Where a file that is open cannot be replaced, folders cannot be flushed, and `os.kill` ends processes."""

    @pytest.fixture(autouse=True)
    def windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Windows:
            name = "nt"

            def __getattr__(self, name: str) -> Any:
                return getattr(os, name)

            def kill(self, *_: Any) -> None:
                raise AssertionError("it would end the process")

        monkeypatch.setattr(whole, "os", Windows())

    def test_a_file_that_is_open_for_a_moment_is_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, tries = os.replace, []

        def busy(source: Any, target: Any) -> None:
            tries.append(source)
            if len(tries) < 4:
                raise PermissionError(errno.EACCES, "in use")
            real(source, target)

        monkeypatch.setattr(os, "replace", busy)
        write_text(tmp_path / "a.txt", "after")
        assert (tmp_path / "a.txt").read_text() == "after" and len(tries) == 4

    def test_one_that_stays_open_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.txt").write_text("before")
        monkeypatch.setattr(whole, "PATIENCE", 0.2)
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "in use")))
        start = time.monotonic()
        with pytest.raises(PermissionError, match="another program has it open"):
            write_text(tmp_path / "a.txt", "after")
        assert time.monotonic() - start < 5 and names(tmp_path) == ["a.txt"]

    def test_parts_of_others_stay(self, tmp_path: Path) -> None:
        part = tmp_path / f".centernet-{whole._HOST}-1-0.part"
        part.touch()
        write_text(tmp_path / "a.txt", "")
        assert part.exists()


def test_json_holds_names_that_are_no_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": os.fsdecode(b"\xff.jpg")}, ensure_ascii=False)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "\udcff.jpg"}
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "nothing").unlink()
