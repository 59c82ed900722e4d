"""Videos that can be played: right size, speed and pictures, whole after an error, readable after a kill."""

from __future__ import annotations

import builtins
import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.detections import Detections
from centernet.inference import Frame, VideoWriter, frames, video


def frame(index: int, size: tuple[int, int] = (121, 161), level: int = 60) -> Frame:
    return Frame(np.full((*size, 3), level + index, np.uint8), f"{index:06d}", None, index)


def tracks(index: int) -> Detections:
    box = [20 + index, 30, 60 + index, 90]
    return Detections([box], [0], [0.9], track_ids=[3], class_names=("cat",))  # type: ignore[arg-type]


def read(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    images = []
    while True:
        there, image = capture.read()
        if not there:
            break
        images.append(image[..., ::-1])
    return images, capture.get(cv2.CAP_PROP_FPS)


@pytest.fixture(params=["H.264", "VP8"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each encoder; VP8 is OpenCV's own, for those that don't have PyAV."""
    if request.param == "H.264":
        pytest.importorskip("av", reason="H.264 needs PyAV")
    else:
        hide_av(monkeypatch)
    return str(request.param)


def hide_av(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "av":
            raise ImportError("hidden", name="av")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)


def test_frames_come_out_as_they_went_in(tmp_path: Path, codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    with VideoWriter(tmp_path / "out" / "tracks.v2", frame_rate=12.5) as writer:
        for i in range(30):
            writer.write(frame(i), tracks(i))
    assert writer.path == tmp_path / "out" / ("tracks.v2.mp4" if codec == "H.264" else "tracks.v2.webm")
    images, rate = read(writer.path)
    assert len(images) == 30 and rate == pytest.approx(12.5, abs=0.01)
    assert images[0].shape == (122, 162, 3), "H.264 takes even sizes: a row and a column more"
    for i in (0, 15, 29):
        assert abs(float(np.median(images[i])) - (60 + i)) <= 3
        middle = images[i][61, 20 + i - 3 : 20 + i + 4].astype(int)
        assert np.ptp(middle, axis=1).max() > 60, "the coloured side of the box"
    assert str(writer.path) in writer.summary() and "30 frames" in writer.summary() and codec in writer.summary()
    assert ("pip install" in writer.summary()) == (codec == "VP8")
    assert capfd.readouterr().err == "", "what OpenCV and the encoder print is not for the user"


def test_other_sizes_are_fitted_into_the_first(tmp_path: Path, codec: str) -> None:
    with VideoWriter(tmp_path / "clip") as writer:
        for i, size in enumerate([(120, 160), (60, 80), (200, 100), (120, 160)]):
            writer.write(frame(i, size, 100), Detections.empty())
    images, _ = read(writer.path)
    assert [image.shape for image in images] == [(120, 160, 3)] * 4
    assert abs(float(np.median(images[1])) - 101) <= 3
    assert images[2][60, 5].max() < 30 and abs(int(images[2][60, 80, 0]) - 102) <= 4, "bars at the sides"


def test_after_an_error_the_video_is_whole(tmp_path: Path, codec: str) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "clip") as writer:
        for i in range(10):
            writer.write(frame(i), tracks(i))
        raise KeyboardInterrupt
    assert len(read(writer.path)[0]) == 10


def test_what_was_written_before_a_kill_can_be_played(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="H.264 needs PyAV")
    program = f"""
import os, signal, sys
import numpy as np
sys.path[:0] = {[str(Path(video.__file__).parents[2])]!r}
from centernet.detections import Detections
from centernet.inference import Frame, VideoWriter
rng = np.random.default_rng(0)
with VideoWriter({str(tmp_path / "clip")!r}, frame_rate=10) as writer:
    for i in range(120):
        image = np.repeat(np.repeat(rng.integers(0, 255, (15, 20, 3), np.uint8), 8, 0), 8, 1)
        writer.write(Frame(image, "", None, i), Detections.empty())
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=300)
    with av.open(str(tmp_path / "clip.mp4")) as clip:  # OpenCV 4.9 stops at the first fragment
        images = sum(1 for _ in clip.decode(video=0))
    assert 20 <= images < 120, "all but the encoder's look ahead and the fragment of the last two seconds"


def test_encoders_that_browsers_cannot_play_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_av(monkeypatch)
    monkeypatch.setattr(video, "OPENCV_ENCODERS", video.OPENCV_ENCODERS[1:])
    with pytest.warns(UserWarning, match=r"MPEG-4.*pip install 'centernet\[video\]'"), VideoWriter(tmp_path / "c") as w:
        w.write(frame(0), Detections.empty())
    assert w.path.suffix == ".mp4" and len(read(w.path)[0]) == 1


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_av(monkeypatch)
    (tmp_path / "file").write_text("")
    writer = VideoWriter(tmp_path / "file" / "clip")
    with pytest.raises(OSError, match="file"):
        writer.write(frame(0), Detections.empty())


def test_frames_that_were_looked_at_leave_nothing_behind(tmp_path: Path) -> None:
    """Nothing that waits for Python to look for circles: frames are large, and there are few objects to set it off."""
    pytest.importorskip("av")
    with VideoWriter(tmp_path / "clip", frame_rate=25) as writer:
        for index in range(30):
            writer.write(frame(index), tracks(index))
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in frames(tmp_path / "clip.mp4")) == 30
        assert gc.collect() < 30  # objects, of which a frame with its side data would be three
    finally:
        gc.enable()
