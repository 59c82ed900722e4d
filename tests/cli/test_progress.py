"""What a person sees of a long run."""

from __future__ import annotations

import io
import sys

import pytest

from centernet.cli.progress import Progress


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
    progress.close()
    written = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert written.count("\r") == 101 and written.endswith("\r\x1b[K"), "one line, cleared at the end"


def test_without_a_known_end_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(None)
    for _ in range(30):
        progress.advance()
    assert progress.line(2.0) == "30 frames, 15.0 a second"


def test_more_than_announced_is_all() -> None:
    progress = Progress(2)
    for _ in range(3):
        progress.advance()
    assert "100%  3/2" in progress.line(1.0) and progress.line(1.0).endswith("0:00:00 left")


def test_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(5, every=0)
    progress.advance()
    progress.close()
    assert capsys.readouterr().err == ""
