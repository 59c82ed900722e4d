"""A video that is written of a video: its times, its sound, and colours that players show as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.detections import Detections
from centernet.inference import Frame, VideoWriter, frames, moving, open_source

av: Any = pytest.importorskip("av", reason="needs PyAV, which makes the videos, and writes sound")

from tests.inference.test_moving import SCENES, encode, trim  # noqa: E402

TICKS = [0, 33, 67, 100, 400, 433, 1433, 1467, 1500, 1533, 1567, 1600]


def copy(source: Path, path: Path, **options: Any) -> Path:
    """Write a video of a video, without a box."""
    with VideoWriter(path, frame_rate=open_source(source).frame_rate or 30, **options) as writer:
        for frame in frames(source):
            writer.write(frame, Detections.empty())
    return writer.path


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def seconds_of(path: Path, kind: str = "video") -> float:
    with av.open(str(path)) as container:
        stream = container.streams.best(kind)
        return float(stream.duration * stream.time_base)


def test_variable_timing_is_kept(tmp_path: Path) -> None:
    source = encode(tmp_path / "clip.mkv", ticks=TICKS)
    path = copy(source, tmp_path / "out")
    assert times_of(path) == pytest.approx([tick / 1000 for tick in TICKS], abs=0.001)
    assert seconds_of(path) == pytest.approx(1.633, abs=0.02)


def test_a_constant_rate_stays_one(tmp_path: Path) -> None:
    path = copy(encode(tmp_path / "clip.mp4"), tmp_path / "out")
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 25
    assert seconds_of(path) == pytest.approx(len(SCENES) / 25, abs=1e-4)


def test_opencv_s_encoder_repeats_frames_to_keep_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = encode(tmp_path / "clip.mkv", ticks=TICKS)
    found = list(frames(source))
    monkeypatch.setattr("centernet.inference.video.import_av", lambda: None)
    with VideoWriter(tmp_path / "out", frame_rate=30) as writer:
        for frame in found:
            writer.write(frame, Detections.empty())
    assert writer.path.suffix == ".webm" and "exact times and the source's sound: pip install" in writer.summary()
    assert len(times_of(writer.path)) == pytest.approx(1.633 * 30, abs=1)


def test_times_that_begin_anew_go_on(tmp_path: Path) -> None:
    """Frames of two videos in one: the second does not begin before the first has ended."""
    with VideoWriter(tmp_path / "out", frame_rate=10) as writer:
        for time in (0.0, 0.1, 2.0, 0.0, 0.1, None, None):
            writer.write(Frame(SCENES[0], "", None, 0, time), Detections.empty())
    assert times_of(writer.path) == pytest.approx([0, 0.1, 2.0, 2.1, 2.2, 2.3, 2.4], abs=0.01)


# ---------------------------------------------------------------------- sound


def loudness(path: Path, frequency: float) -> np.ndarray:
    """Return how loud a tone is in each hundredth of a second."""
    resampler, samples = av.AudioResampler("s16", "mono", 48000), np.zeros(48000 * 10)
    end = 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            at = round(frame.pts * frame.time_base * 48000)
            for made in resampler.resample(frame):
                part = made.to_ndarray()[0] / 32768
                samples[at : at + len(part)], at, end = part, at + len(part), at + len(part)
    samples = samples[:end]
    samples = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    wave = np.exp(2j * np.pi * frequency * np.arange(480) / 48000)
    return np.abs(samples @ wave) / 240


SOUNDS = [
    ("clip.mp4", "libx264", None, "yuv420p", "aac", "aac"),
    ("clip.mkv", "libx264", None, "yuv420p", "libmp3lame", "mp3"),
    ("clip.webm", "libvpx", None, "yuv420p", "libopus", "opus"),
    ("clip.avi", "mjpeg", None, "yuvj420p", "pcm_s16le", "aac"),
    ("clip.ts", "libx264", "mpegts", "yuv420p", "aac", "aac"),
    ("clip.mov", "libx264", None, "yuv420p", "ac3", "aac"),
]


@pytest.mark.parametrize(("name", "codec", "form", "pixels", "sound", "written"), SOUNDS)
def test_the_sound_is_kept(
    tmp_path: Path, name: str, codec: str, form: str | None, pixels: str, sound: str, written: str
) -> None:
    images = SCENES * 4  # two seconds
    source = encode(tmp_path / name, codec, form, pixels=pixels, sound=sound, images=images)
    path = copy(source, tmp_path / "out")
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name.startswith(written)
    assert seconds_of(path, "audio") == pytest.approx(len(images) / 25, abs=0.06)
    assert loudness(path, 440)[10:-10].min() > 0.18 > 0.05 > loudness(path, 880)[10:-10].max()
    assert times_of(path) == pytest.approx([i / 25 for i in range(len(images))], abs=0.001), "which it does not move"
    without = copy(source, tmp_path / "without", audio=False)
    with av.open(str(without)) as container:
        assert not container.streams.audio


def test_sound_begins_with_the_first_frame(tmp_path: Path) -> None:
    """The tone begins after one second, and so does the part that is written: there it is heard at once."""
    source = tmp_path / "clip.mkv"
    with av.open(str(source), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("flac", rate=48000)
        video.height, video.width = SCENES[0].shape[:2]
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(SCENES[number % len(SCENES)], format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        samples = 12000 * np.sin(np.arange(96000) * (2 * np.pi * 440 / 48000)) * (np.arange(96000) >= 48000)
        tone = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
        tone.sample_rate, tone.pts = 48000, 0
        container.mux(audio.encode(tone))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    for first, silent in ((0, 100), (15, 40), (30, 0)):
        with VideoWriter(tmp_path / f"from_{first}", frame_rate=25) as writer:
            for frame in list(frames(source))[first:]:
                writer.write(frame, Detections.empty())
        loud = loudness(writer.path, 440) > 0.1
        assert np.argmax(loud) == pytest.approx(silent, abs=4)


def test_a_part_of_a_video_has_its_part_of_the_sound(tmp_path: Path) -> None:
    source = encode(tmp_path / "clip.mp4", sound="aac", images=SCENES * 8)
    with VideoWriter(tmp_path / "out", frame_rate=25) as writer:
        for frame in frames(source):
            if frame.index == 25:
                break
            writer.write(frame, Detections.empty())
    assert seconds_of(writer.path) == pytest.approx(1, abs=0.001) and seconds_of(writer.path, "audio") < 1.6


def test_sound_that_cannot_be_read_is_said_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = encode(tmp_path / "clip.mp4", sound="aac")
    found = list(frames(source))
    source.write_bytes(b"gone" * 100)
    said = pytest.warns(UserWarning, match=r"clip\.mp4: its sound cannot be kept")
    with said, VideoWriter(tmp_path / "out", frame_rate=25) as writer:
        for frame in found:
            writer.write(frame, Detections.empty())
    assert len(times_of(writer.path)) == len(SCENES)


def test_a_trimmed_video_keeps_what_is_shown(tmp_path: Path) -> None:
    path = copy(trim(encode(tmp_path / "whole.mp4"), tmp_path / "trim.mp4", 5), tmp_path / "out")
    assert times_of(path) == pytest.approx([i / 25 for i in range(len(SCENES) - 5)], abs=0.001)


# ---------------------------------------------------------------------- colours


COLOURS = [(0, 255, 0), (200, 120, 40), (255, 0, 0), (30, 60, 220)]


@pytest.mark.parametrize(("size", "matrix"), [((720, 1280), 1), ((1080, 1920), 1), ((719, 641), 1), ((480, 640), 6)])
def test_the_colour_matrix_is_stated_and_right(tmp_path: Path, size: tuple[int, int], matrix: int) -> None:
    """By the formula of the matrix that is stated, not by our reader."""
    image = np.zeros((*size, 3), np.uint8)
    for i, colour in enumerate(COLOURS):
        image[:, i * size[1] // 4 : (i + 1) * size[1] // 4] = colour
    with VideoWriter(tmp_path / "out", frame_rate=25) as writer:
        for i in range(2):
            writer.write(Frame(image, str(i), None, i), Detections.empty())
    with av.open(str(writer.path)) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (matrix, 1)
    planes, height, width = frame.to_ndarray().astype(float), frame.height, frame.width
    y, uv = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    kr, kb = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    for i, colour in enumerate(COLOURS):
        column = (2 * i + 1) * size[1] // 8
        luma = (y[height // 2, column] - 16) / 219
        blue, red = (uv[:, height // 4, column // 2] - 128) / 224
        r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
        shown = 255 * np.array([r, (luma - kr * r - kb * b) / (1 - kr - kb), b]).clip(0, 1)
        assert np.abs(shown - colour).max() <= 6, colour
    assert np.abs(next(frames(writer.path)).image[10, 10].astype(int) - COLOURS[0]).max() <= 6


def test_without_pyav_videos_are_read_by_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = encode(tmp_path / "clip", "libx264", "matroska", ticks=TICKS)
    moving._is_video.cache_clear()
    monkeypatch.setattr(moving, "import_av", lambda: None)
    assert open_source(source).kind == "video"
    found = list(frames(source))
    assert [frame.time for frame in found] == pytest.approx([tick / 1000 for tick in TICKS], abs=0.002)
    assert found[0].image.shape == SCENES[0].shape
    with pytest.raises(ValueError, match=r"PyAV opens more: pip install 'centernet\[video\]'"):
        (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
        list(frames(tmp_path / "broken.mp4"))
    assert cv2.VideoCapture(str(source)).isOpened()
