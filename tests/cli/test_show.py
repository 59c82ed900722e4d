"""--show: refused before the run where nothing can be shown; a window with what is found where it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.cli import show
from centernet.cli.main import main
from centernet.images import Preprocessing
from centernet.inference import torch_runtime

WITH_WINDOWS = "  GUI:                           QT5\n"


class FindOne:
    preprocessing = Preprocessing((96, 128))
    class_names = ("cat", "dog")

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        n, k = len(images), num_detections
        boxes = np.tile(np.array([20, 20, 60, 60], np.float32), (n, k, 1))
        scores = np.eye(1, k, dtype=np.float32).repeat(n, axis=0)
        return {"bboxes": boxes, "labels": np.zeros((n, k), np.int64), "scores": scores}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(torch_runtime, "load_model", lambda path, **options: FindOne())
    monkeypatch.chdir(tmp_path)
    Path("best.ckpt").touch()
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for _ in range(8):
        writer.write(np.zeros((96, 128, 3), np.uint8))
    writer.release()
    cv2.imwrite("photo.png", np.zeros((96, 128, 3), np.uint8))
    return lambda command, *arguments: main([command, *arguments, "--model", "best.ckpt"])


@pytest.mark.parametrize("command", ["detect", "track"])
@pytest.mark.parametrize(
    ("build", "display", "says"),
    [
        ("  GUI:                           NONE\n", ":0", "pip install opencv-python"),
        (WITH_WINDOWS, None, "there is no screen, DISPLAY is not set"),
    ],
)
def test_it_is_refused_before_the_run(
    run: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    build: str,
    display: str | None,
    says: str,
) -> None:
    monkeypatch.setattr(torch_runtime, "load_model", None)  # no network is read
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: build)
    monkeypatch.setattr(show.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display) if display else monkeypatch.delenv("DISPLAY", raising=False)
    assert run(command, "clip.avi", "--show") == 1
    assert says in capsys.readouterr().err
    assert not Path("detections").exists() and not Path("tracks").exists()


def test_a_screen_that_does_not_answer(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """OpenCV's windows end a process then, here one of its own."""
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: WITH_WINDOWS)
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.setattr(show, "TRIED", "import sys; sys.exit('could not connect to display :987')")
    assert run("detect", "clip.avi", "--show") == 1
    assert "no window can be opened on the screen :987: could not connect" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["detect", "track"])
def test_the_frames_are_shown_with_their_boxes(
    run: Callable[..., int], screen: Callable[..., Any], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    window = screen()
    assert run(command, "clip.avi", "--show", "--format", "json") == 0
    assert len(window.shown) == 8 and window.shown[-1].max() > 100 and not window.open
    assert "8 frames to the screen" in capsys.readouterr().out


@pytest.mark.parametrize("by_mouse", [False, True])
def test_a_key_or_the_mouse_ends_the_run_whole(
    run: Callable[..., int], screen: Callable[..., Any], capsys: pytest.CaptureFixture[str], by_mouse: bool
) -> None:
    window = screen(3, by_mouse=by_mouse)
    assert run("track", "clip.avi", "--show", "--format", "mot", "--output", "out") == 0
    assert len(window.shown) == 3 and not window.open
    assert Path("out/tracks.txt").is_file() and "3 frames to the screen" in capsys.readouterr().out


def test_a_single_image_stays_until_it_is_closed(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch, screen: Callable[..., Any]
) -> None:
    window = screen()
    waited = []
    monkeypatch.setattr(cv2, "waitKey", lambda wait: waited.append(wait) or (27 if len(waited) > 5 else -1))
    assert run("detect", "photo.png", "--show", "--format", "json") == 0
    assert len(waited) == 6 and len(window.shown) == 1
