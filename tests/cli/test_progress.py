"""What a person sees of a long run."""

from __future__ import annotations

import io
import sys

import pytest

from centernet.cli.progress import Progress, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_share_speed_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(400, every=0)
    for _ in range(100):
        progress.advance()
    assert progress.line(10.0).endswith(" 25%  100/400 frames, 10.0 a second, 0:00:30 left")
    assert progress.line(10.0).count("█") == 6
    for _ in range(300):
        progress.advance()
    progress.close()
    lines = sys.stderr.getvalue().split("\r\x1b[K")  # type: ignore[attr-defined]
    assert len(lines) == 402 and lines[100].startswith("██████░") and not any("\n" in line for line in lines[:-1])
    assert lines[-1].startswith("█" * 24 + " 100%  400 frames in 0:00:00") and lines[-1].endswith("a second\n")


@pytest.mark.parametrize(("expected", "done"), [(30, 20), (20, 30), (None, 20)])
def test_the_end_is_all_whatever_was_expected(monkeypatch: pytest.MonkeyPatch, expected: int | None, done: int) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(expected, every=0)
    for _ in range(done):
        progress.advance()
    progress.close()
    last = sys.stderr.getvalue().rpartition("\r\x1b[K")[2]  # type: ignore[attr-defined]
    assert f"█ 100%  {done} frames in" in last


def test_a_run_that_ended_before_its_end_is_no_hundred_per_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(40, every=0)
    for _ in range(10):
        progress.advance()
    progress.close(whole=False)
    assert "  25%  10 frames in" in sys.stderr.getvalue().rpartition("\r\x1b[K")[2]  # type: ignore[attr-defined]


def test_what_is_said_meanwhile_takes_the_place_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    say("left out: x.jpg")
    assert sys.stderr.getvalue() == "\r\x1b[Kleft out: x.jpg\n"  # type: ignore[attr-defined]


def test_the_line_is_no_longer_than_the_terminal_is_wide() -> None:
    """In a real terminal of 40 columns, where a longer line would wrap and stay."""
    pty = pytest.importorskip("pty")
    import fcntl
    import os
    import struct
    import subprocess
    import termios

    code = "from centernet.cli.progress import Progress\np = Progress(9, every=0)\n"
    code += "[p.advance() for _ in range(9)]\np.close()"
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=follower, stdin=subprocess.DEVNULL, check=True)
    os.close(follower)
    text = os.read(leader, 10_000).decode()
    os.close(leader)
    assert len(text.split("\r\x1b[K")) == 11 and all(len(line.rstrip()) < 40 for line in text.split("\r\x1b[K"))


def test_without_a_known_end_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(None)
    for _ in range(30):
        progress.advance()
    assert progress.line(2.0) == "30 frames, 15.0 a second"


def test_more_than_announced_has_no_share() -> None:
    progress = Progress(2)
    for _ in range(3):
        progress.advance()
    assert progress.line(1.0) == "3 frames, 3.0 a second"


def test_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(5, every=0)
    progress.advance()
    progress.close()
    assert capsys.readouterr().err == ""
