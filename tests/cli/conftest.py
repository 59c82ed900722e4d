"""What tests of several commands stand in for a network, a screen and a video with sound."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.cli import show
from centernet.images import Preprocessing


class FindBright:
    """One box around what is bright, of the class 1; from batch `until` on the error `then`."""

    preprocessing = Preprocessing((96, 128))
    until = 10**9
    then: type[BaseException] = KeyboardInterrupt

    def __init__(self, *class_names: str) -> None:
        self.class_names = class_names
        self.batches = 0

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        self.batches += 1
        if self.batches > self.until:
            raise self.then("the end")
        n, k = len(images), num_detections
        bboxes, scores = np.zeros((n, k, 4), np.float32), np.zeros((n, k), np.float32)
        for i, image in enumerate(images):
            rows, columns = np.nonzero((image > 127).all(-1))
            bboxes[i, 0] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        scores[:, 0] = 0.8
        return {"bboxes": bboxes, "labels": np.ones((n, k), np.int64), "scores": scores}


@pytest.fixture
def find_bright() -> type[FindBright]:
    """A class of each test's own: it may change what all instances do."""
    return type("FindBright", (FindBright,), {})


class Screen:
    """Stands for OpenCV's windows; the key `q` is pressed at the frame `until`, or the window is closed there."""

    build = "  GUI:                           QT5\n"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, until: int = 1000, *, by_mouse: bool = False) -> None:
        self.shown: list[np.ndarray] = []
        self.open, self.until, self.by_mouse = False, until, by_mouse
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: self.build)
        monkeypatch.setenv("DISPLAY", ":7")
        done = subprocess.CompletedProcess([], 0, "", "")
        monkeypatch.setattr(show.subprocess, "run", lambda *args, **options: done)
        for name, function in {
            "namedWindow": lambda *_: setattr(self, "open", True),
            "destroyAllWindows": lambda: setattr(self, "open", False),
            "resizeWindow": lambda *_: None,
            "imshow": lambda title, image: self.shown.append(image),
            "waitKey": lambda wait: ord("q") if len(self.shown) >= self.until and not self.by_mouse else -1,
            "getWindowProperty": lambda *_: 0.0 if len(self.shown) >= self.until and self.by_mouse else 1.0,
        }.items():
            monkeypatch.setattr(cv2, name, function)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Screen]:
    """Opens a `Screen`."""
    return lambda *arguments, **options: Screen(monkeypatch, *arguments, **options)


def _clip_with_sound(path: Path, images: list[np.ndarray], codec: str, sound: str, pixels: str) -> None:
    import av

    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=25)
        audio: Any = container.add_stream(sound, rate=48000)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pixels
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 19200), np.int16), format="s16", layout="mono")
        tone.sample_rate, tone.pts = 48000, 0
        for stream, last in ((audio, tone), (audio, None), (video, None)):
            container.mux(stream.encode(last))


@pytest.fixture(scope="session")
def clip_with_sound() -> Callable[..., None]:
    """Writes images as a video of 25 frames a second with .4 s of sound; needs PyAV."""
    return _clip_with_sound
