"""The display of a run as a person sees it, in a real terminal of two widths, and in a file."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from centernet.cli.main import main
from centernet.training.display import Pace

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]

NOISE = re.compile(r"FLOPs|v_num|Loading `|TPU|HPU|GPU available|Sanity|Seed set|Tip:|`Trainer|Validate metric")
TOKEN = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|\r|\n|[^\r\n\x1b]+")


class Screen:
    """Rows as a terminal shows them, without an end below. `erased` are the lines that were drawn and taken away."""

    def __init__(self, width: int) -> None:
        self.width, self.rows, self.row, self.column = width, [""], 0, 0
        self.erased: list[str] = []

    def feed(self, text: str) -> None:
        for token in TOKEN.finditer(text):
            number, command = token.groups()
            if command == "A":
                self.row -= int(number or 1)
            elif command == "K":
                self.erased.append(self.rows[self.row])
                self.rows[self.row] = ""
            elif token[0] == "\r":
                self.column = 0
            elif token[0] == "\n":
                self._down()
            elif command is None:
                for letter in token[0]:
                    self._put(letter)

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def _put(self, letter: str) -> None:
        if self.column == self.width:
            self._down()
            self.column = 0
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = row[: self.column] + letter + row[self.column + 1 :]
        self.column += 1


SCRIPT = """
import fcntl, json, struct, sys, termios

from centernet.cli.main import main

for width, arguments in json.loads(sys.argv[1]):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    print(f"=== {main(arguments)}", flush=True)
"""


def in_terminal(*runs: tuple[int, list[str]]) -> list[tuple[int, Screen]]:
    """Run commands in a pseudo-terminal of their widths; return the exit code and the screen at the end of each."""
    leader, follower = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    variables |= {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, json.dumps(runs)]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=variables, close_fds=True)
    os.close(follower)
    written = b""
    with suppress(OSError):  # Linux says so where the other side is closed
        while piece := os.read(leader, 65536):
            written += piece
    os.close(leader)
    assert process.wait() == 0, written.decode()
    assert written.count(b"\x1b[?25l") == written.count(b"\x1b[?25h") == len(runs), "the cursor is shown again"
    parts = re.split(r"^=== (\d+)\r\n", written.decode(), flags=re.M)
    screens = [Screen(width) for width, _ in runs]
    for screen, part in zip(screens, parts[::2], strict=False):
        screen.feed(part)
    return list(zip(map(int, parts[1::2]), screens, strict=True))


def test_in_terminals(tiny: Any, tmp_path: Path) -> None:
    config = tiny(trainer__num_sanity_val_steps=2)
    output = ["--config", config, "--output", str(tmp_path)]
    checkpoint = str(tmp_path / "tiny" / "version_0" / "checkpoints" / "best.ckpt")
    failing = ["--optimization.lr", "1e30", "--optimization.warmup", "0", "--trainer.gradient_clip_val", "0"]
    narrow, wide, validation, failed = in_terminal(
        (80, ["fit", *output]),
        (160, ["fit", *output]),
        (80, ["validate", *output, "--ckpt_path", checkpoint]),
        (80, ["fit", *output, *failing, "--trainer.max_epochs", "20"]),
    )
    check_training(*narrow)
    check_training(*wide)

    code, screen = validation
    shown = "\n".join(screen.rows)
    assert code == 0 and not NOISE.search(shown) and "━" not in shown, shown
    assert shown.count("\n8 images, 36 objects, ") == 1 and shown.count("\nmodel: ") == 1
    assert f"weights: {checkpoint}" in shown.replace("\n", "")
    assert any(re.match(r"validation ━+ batch \d/2", row) for row in screen.erased), screen.erased

    code, screen = failed
    assert code == 1 and any(row.startswith("error: the loss is ") for row in screen.rows), screen.rows
    assert "━" not in "".join(screen.rows), "nothing of the live line stays"


def check_training(code: int, screen: Screen) -> None:
    """Check what a training of two epochs leaves in a terminal, and what was seen in between."""
    shown = "\n".join(screen.rows)
    assert code == 0 and not NOISE.search(shown), shown
    assert "━" not in shown, "the live line is taken away at the end"
    for start in (
        "model: ResNet resnet18, FPN, LTRBHead, HeatmapHead; 6 classes, 0.69 M parameters",
        "input: 64×64, batches of 4, 6 steps an epoch, 2 epochs",
        *("train: ", "val: ", "device: cpu, precision 32-true", "output: ", "epoch 1/2: loss ", "epoch 2/2: "),
    ):
        assert sum(row.startswith(start) for row in screen.rows) == 1, shown
    assert re.search(r"^checkpoint: ", shown, re.M) and "best.ckpt" in "".join(screen.rows[-4:])
    for row in screen.rows:  # no summary has a piece of the live line behind it
        assert not re.search(r"^epoch \d.*(step|left)", row), row

    live = [row for row in screen.erased if row]
    assert all(len(row) < screen.width for row in live)
    assert not any("epoch 0" in row for row in live) and any(row.startswith("epoch 2/2 ") for row in live)
    whole = r"epoch 1/2 ━{8,} step \d/6 · loss \d+\.\d{3} · \d+\.\d images/s · 0:00:\d\d left"
    assert any(re.fullmatch(whole, row) for row in live), live
    assert any(re.match(r"epoch 1/2 validation ━+ batch 0/2", row) for row in live), live
    assert any(row == "epoch 2/2 validation: the figures are computed" for row in live), live


@pytest.mark.parametrize("terminal", [False, True])
def test_plain_lines_in_a_file_and_a_terminal_that_cannot_go_back(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "dumb")
    config = tiny(trainer__callbacks=[{"class_path": "centernet.training.Display", "init_args": {"every": 0.0}}])
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert "\x1b" not in shown.out and "\r" not in shown.out
    assert not NOISE.search(shown.out + shown.err), shown
    steps = [line for line in lines if line.startswith("  epoch 1/2, step ")]
    assert len(steps) == 6
    assert re.fullmatch(r"  epoch 1/2, step 3/6: loss \d+\.\d{3}, \d+\.\d images/s, 0:00:\d\d left", steps[2])
    assert any(line.startswith("  epoch 2/2 validation, batch 2/2: ") for line in lines)
    assert [line.partition(":")[0] for line in lines if line.startswith("epoch ")] == ["epoch 1/2", "epoch 2/2"]


def test_quick_epochs_have_their_line_only(tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(trainer__max_epochs=3, trainer__check_val_every_n_epoch=2)
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "epoch " in line and "/3" in line]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert ["val loss" in line for line in lines] == [False, True, False], "figures of that epoch only"


def test_a_validation_within_an_epoch_says_where(tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(trainer__max_epochs=None, trainer__max_steps=6, trainer__val_check_interval=0.5)
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1, step 3/6", "epoch 1"]


def test_switched_off(tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(trainer__enable_progress_bar=False, trainer__max_epochs=1)
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "  epoch" not in shown and shown.count("epoch 1/1: ") == 1 and "model: " in shown


def test_pace_leaves_out_the_time_between(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("centernet.training.display.time.monotonic", lambda: now[0])
    pace = Pace()
    for start in (0.0, 1000.0):
        now[0] = start
        pace.begin()
        for _ in range(60):
            now[0] += 0.5
            pace.add(8)
    assert pace.seconds == pytest.approx(0.5) and pace.images == pytest.approx(16)
