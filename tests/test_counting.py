"""docs/counting.md as it stands: lines and zones of supervision on tracks of walkers whose ways are known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import centernet
from centernet import Detections
from centernet.inference import Frame

PAGE = Path(__file__).resolve().parents[1] / "docs" / "counting.md"


class Walkers:
    """In the place of a detector: two who walk to the right, one to the left, and one who stands at the left."""

    tracker: dict[str, Any] = {}  # noqa: RUF012
    class_names = ("person",)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def stream(self, source: Any, *, on_error: Any = None) -> Iterator[tuple[Frame, Detections]]:
        for i in range(100):
            places = [(60 + 5 * i, 100), (160 + 4 * i, 250), (560 - 4 * i, 380), (30, 20)]
            boxes = [[x, y, x + 30, y + 80] for x, y in places]
            image = np.zeros((480, 640, 3), np.uint8)
            yield Frame(image, f"{i}", None, i), Detections(boxes, [0] * 4, [0.95] * 4, class_names=self.class_names)


def test_the_page_counts_who_passes_the_line_and_stays_in_the_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("supervision", reason="supervision, whose lines and zones the page uses, is not installed")
    monkeypatch.setattr(centernet, "Detector", Walkers)
    monkeypatch.chdir(tmp_path)
    video = cv2.VideoWriter("street.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480))
    video.write(np.zeros((480, 640, 3), np.uint8))
    video.release()
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2 and len(snippets[0].strip().splitlines()) <= 10
    namespace: dict[str, Any] = {}
    exec(snippets[0], namespace)
    assert sorted(re.findall(r"\d", capsys.readouterr().out)) == ["1", "2"]
    exec(snippets[1], namespace)
    frames = {identity: round(25 * seconds) for identity, seconds in namespace["stay"].items()}
    # Feet beyond 320: after frame 49 of the first, 36 of the second; before frame 64 of the third.
    expected = {1: 50, 2: 37, 3: 36, 4: 100}
    assert frames.keys() == expected.keys()
    assert all(abs(frames[identity] - number) <= 1 for identity, number in expected.items()), frames
    assert namespace["zone"].current_count == 2
