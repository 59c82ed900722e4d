"""The process's own streams: closed, full, gone, without letters, narrow or no terminals. Results are complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from centernet.data import Synthetic

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
SOURCES = str(Path(__file__).resolve().parents[2] / "src")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, with a class name that few code pages have."""
    folder = tmp_path_factory.mktemp("data")
    Synthetic(4, size=(64, 64)).write(folder, format="coco")
    file = folder / "annotations_train.json"
    content = json.loads(file.read_text())
    content["categories"][0]["name"] = "Größe 大きさ"
    file.write_text(json.dumps(content))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "images" / "größe_大.jpg")
    return folder


@pytest.mark.parametrize(
    ("redirection", "code", "unbuffered"),
    [
        ("<&- >&- 2>&-", 0, ""),  # as services have them
        ("2>&1 | head -n 1", 0, ""),
        ("| true", 0, "1"),
        ("> /dev/full", 1, ""),  # told, but the files are whole
    ],
)
def test_streams_that_fail_end_no_run(data: Path, tmp_path: Path, redirection: str, code: int, unbuffered: str) -> None:
    report, err = tmp_path / "report.json", tmp_path / "err"
    command = f"{sys.executable} -m centernet check {data} --workers 1 --fix-report {report}"
    script = f"set -o pipefail; {{ {command}; }} {redirection}; exit $?"
    environment = {**os.environ, "PYTHONPATH": SOURCES, "PYTHONUNBUFFERED": unbuffered}
    with err.open("wb") as file:
        done = subprocess.run(["bash", "-c", script], stdout=file, stderr=file, env=environment, check=False)
    said = err.read_text(errors="replace")
    assert done.returncode == code and "Traceback" not in said and "Error" not in said
    json.loads(report.read_text())


@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_code_pages_without_the_letters(data: Path, tmp_path: Path, encoding: str) -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "PYTHONIOENCODING": encoding, "COLUMNS": "40", "TERM": "dumb"}
    command = [sys.executable, "-m", "centernet", "check", str(data), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and len(done.stdout) > 200


def test_a_dumb_terminal_of_40_columns(data: Path) -> None:
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": SOURCES, "TERM": "dumb", "COLUMNS": "40"}
    command = [sys.executable, "-m", "centernet", "check", str(data), "--workers", "1"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    said = b""
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(master)
    assert process.wait() == 0 and b"Traceback" not in said and b"\x1b" not in said
