"""Shows frames in a window while they come, where there is a screen and an OpenCV that has windows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from centernet.detections import Detections
from centernet.drawing import Trails, draw
from centernet.inference import Frame
from centernet.inference.guard import Inputs
from centernet.inference.writers import counted

if TYPE_CHECKING:
    from typing_extensions import Self

TITLE = "centernet"
MOST_PIXELS = 1000  # of a side of the window at first
TRIED = f"import cv2; cv2.namedWindow({TITLE!r}); cv2.waitKey(1); cv2.destroyAllWindows()"


class WindowClosed(Exception):
    """Somebody has ended a run by its window."""


class WindowWriter:
    """Shows frames with their boxes, and trails of identities; Escape, q or closing the window ends the run.

    A single frame stays until then.

    Args:
        drawing: options of `centernet.drawing.draw`.

    Raises:
        ValueError: there is no screen, or no OpenCV with windows.
    """

    def __init__(self, **drawing: Any) -> None:
        check_screen()
        self._drawing, self._frames, self._trails = drawing, 0, Trails()

    def protect(self, inputs: Inputs) -> None:
        """Nothing is written."""

    def __enter__(self) -> Self:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        return self

    def __exit__(self, *error: object) -> None:
        while self._frames == 1 and error[0] is None and not self._is_closed(50):
            pass
        cv2.destroyAllWindows()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw and show a frame."""
        if frame.is_done:
            return
        if frame.index == 0:
            self._trails = Trails()
        drawn = draw(self._trails.draw(frame.image, detections), detections, **self._drawing)
        cv2.imshow(TITLE, np.ascontiguousarray(drawn[..., ::-1]))
        if not self._frames:
            height, width = drawn.shape[:2]
            scale = min(1.0, MOST_PIXELS / max(height, width))
            cv2.resizeWindow(TITLE, round(width * scale), round(height * scale))
        self._frames += 1
        if self._is_closed(1):
            raise WindowClosed

    def _is_closed(self, wait: int) -> bool:
        """Wait for so many milliseconds. Returns True where a key ended it, or the window is not there any more."""
        key = cv2.waitKey(wait) & 0xFF
        return key in (27, ord("q")) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1

    def summary(self) -> str:
        return f"{counted(self._frames, 'frame')} to the screen"


def check_screen() -> None:
    """Raise a ValueError where no window can be opened, with why and what to do."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        swap = "pip uninstall opencv-python-headless, then pip install opencv-python"
        raise ValueError(f"--show: this OpenCV has no windows, as opencv-python-headless; {swap}")
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        hint = "run it where there is one, or by `ssh -X`; --format video and images write files"
        raise ValueError(f"--show: there is no screen, DISPLAY is not set; {hint}")
    # A process of its own, as OpenCV's windows end the one where the screen does not answer.
    tried = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, text=True, timeout=60)
    if tried.returncode:
        why = next(iter(tried.stderr.strip().splitlines()[-1:]), f"code {tried.returncode}")
        raise ValueError(f"--show: no window can be opened on the screen {os.environ.get('DISPLAY', '')}: {why}")
