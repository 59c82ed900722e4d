"""Videos as people have them: any container and codec, known by content, with the times and colours that they state."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.images import ImageError
from centernet.inference import Detector, Frame, SourceError, frames, open_source
from centernet.inference.shots import Clock, turned

av: Any = pytest.importorskip("av", reason="needs PyAV, which makes and reads the videos")

RATE = 25
COUNT = 12


def scene(number: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Bars from black to white with a white square that moves to the right, on a blue that gets lighter downwards."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 2] = np.linspace(20, 120, size[0], dtype=np.uint8)[:, None]
    image[20:50, 8 * number + 4 : 8 * number + 34] = 255
    return image


SCENES = [scene(i) for i in range(COUNT)]


def encode(
    path: Path, codec: str = "libx264", form: str | None = None, *, pixels: str = "yuv420p", ticks: Sequence[int] = (),
    images: Sequence[np.ndarray] = SCENES, sound: str = "", prepare: Callable[[Any], None] = lambda stream: None,
    **options: str,
) -> Path:  # fmt: skip
    """Encode images; `ticks` are their times in milliseconds, else 25 come in a second. Sound is a tone of 440 Hz."""
    options = {"crf": "15"} if codec == "libx264" and not options else options
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        audio = container.add_stream(sound, rate=48000) if sound else None
        if ticks:
            stream.codec_context.time_base = Fraction(1, 1000)
        prepare(stream)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (ticks[number], Fraction(1, 1000)) if ticks else (number, Fraction(1, RATE))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            samples = 12000 * np.sin(np.arange(48000 * len(images) // RATE) * (2 * np.pi * 440 / 48000))
            tone = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(audio.encode(tone))
            container.mux(audio.encode(None))
    return path


def square(frame: Frame) -> int:
    """Return the left side of the white square."""
    return int(np.flatnonzero(frame.image[35, :, 0] > 127)[0])


def check_scenes(found: list[Frame], first: int = 0) -> None:
    """Assert that these are the scenes from one on, in their order."""
    assert [round((square(frame) - 4) / 8) for frame in found] == list(range(first, first + len(found)))


FORMS = {
    "h264.mp4": ("libx264", None, "yuv420p"),
    "h264.mov": ("libx264", None, "yuv420p"),
    "h264.mkv": ("libx264", None, "yuv420p"),
    "ten_bit.mp4": ("libx264", None, "yuv420p10le"),
    "full_chroma.mkv": ("libx264", None, "yuv444p"),
    "vp8.webm": ("libvpx", None, "yuv420p"),
    "mjpeg.avi": ("mjpeg", None, "yuvj420p"),
    "h264.ts": ("libx264", "mpegts", "yuv420p"),
    "wmv2.asf": ("wmv2", "asf", "yuv420p"),
    "flv1.flv": ("flv", None, "yuv420p"),
    "mpeg2.mpg": ("mpeg2video", None, "yuv420p"),
    "elementary.h264": ("libx264", "h264", "yuv420p"),
    "jpegs.mjpeg": ("mjpeg", "mjpeg", "yuvj420p"),
    "ffv1.nut": ("ffv1", "nut", "bgr0"),
}


@pytest.mark.parametrize("name", FORMS)
def test_containers_and_codecs(tmp_path: Path, name: str) -> None:
    codec, form, pixels = FORMS[name]
    path = encode(tmp_path / name, codec, form, pixels=pixels)
    found = list(frames(path))
    check_scenes(found)
    assert len(found) == COUNT == open_source(path).length and open_source(path).kind == "video"
    for number, frame in enumerate(found):
        assert frame.time == pytest.approx(number / RATE, abs=0.002) and frame.index == number
        assert frame.image.shape == (96, 128, 3) and not frame.is_file
    assert open_source(path).frame_rate == pytest.approx(RATE, rel=0.01)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "mjpeg.avi", "elementary.h264", "wmv2.asf"])
@pytest.mark.parametrize("other", ["clip", "clip.jpg", "clip.mp4", "clip 1:2.dat", "clip%03d.png"])
def test_a_name_tells_nothing_of_a_video(tmp_path: Path, name: str, other: str) -> None:
    codec, form, pixels = FORMS[name]
    path = encode(tmp_path / name, codec, form, pixels=pixels).rename(tmp_path / other)
    assert open_source(path).kind == "video"
    check_scenes(list(frames(path)))


def test_an_image_that_is_called_a_video_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "photo.mp4"
    Image.fromarray(SCENES[0]).save(path, "JPEG")
    assert open_source(path).kind == "image"
    (frame,) = frames(path)
    assert frame.is_file and frame.time is None


def test_variable_frame_rates_keep_their_times(tmp_path: Path) -> None:
    ticks = [0, 33, 67, 100, 400, 433, 1433, 1467, 1500, 1533, 1567, 1600]
    for name, form in (("clip.mkv", None), ("clip.mp4", None), ("clip.flv", None)):
        path = encode(tmp_path / name, "flv" if name.endswith("flv") else "libx264", form, ticks=ticks)
        found = list(frames(path))
        check_scenes(found)
        np.testing.assert_allclose([frame.time for frame in found], np.array(ticks) / 1000, atol=0.002)
        assert open_source(path).frame_rate == pytest.approx(30, rel=0.02), "the usual one, not the mean"
        assert open_source(path).length == COUNT


def test_another_rate_may_be_given(tmp_path: Path) -> None:
    from dataclasses import replace

    source = replace(open_source(encode(tmp_path / "clip.mkv", ticks=[40 * i**2 for i in range(COUNT)])), rate=10)
    assert source.frame_rate == 10
    assert [frame.time for frame in frames(source)] == pytest.approx([i / 10 for i in range(COUNT)])


def trim(whole: Path, path: Path, start: int) -> Path:
    """Cut the first frames off as phones do: all packets stay, an edit list says where to begin."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(Fraction(start, RATE) / packet.time_base)
                packet.dts, packet.pts, packet.stream = packet.dts - shift, packet.pts - shift, stream
                container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("start", [3, 7])
def test_edit_lists(tmp_path: Path, suffix: str, start: int) -> None:
    path = trim(encode(tmp_path / f"whole{suffix}"), tmp_path / f"trim{suffix}", start)
    with av.open(str(path)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    found = list(frames(path))  # and no word of a video that breaks off
    assert len(found) == shown == open_source(path).length < COUNT
    check_scenes(found, COUNT - shown)
    assert [frame.time for frame in found] == pytest.approx([i / RATE for i in range(shown)], abs=0.01)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_videos_are_upright(tmp_path: Path, degrees: int) -> None:
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV writes no rotation")
    stored = [np.ascontiguousarray(np.rot90(image, degrees // 90)) for image in SCENES]
    path = encode(tmp_path / "c.mp4", images=stored, prepare=lambda stream: stream.set_display_rotation(-degrees))
    found = list(frames(path))
    check_scenes(found)
    assert found[0].size_hw == found[0].image.shape[:2] == (96, 128)
    assert int(found[0].image[90, 100, 2]) > int(found[0].image[5, 100, 2]) + 50, "lighter downwards"


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_display_matrices(mirror: bool, quarters: int) -> None:
    """The matrix moves each pixel's place, so that the image and its places must agree."""
    image = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    a, b, c, d = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][quarters]
    a, b = (-a, -b) if mirror else (a, b)
    matrix = (65536 * np.array([[a, b, 0], [c, d, 0], [0, 0, 16384]])).astype(np.int32)
    result = turned(image, matrix)
    ys, xs = np.mgrid[:3, :5]
    x, y = a * xs + c * ys, b * xs + d * ys
    expected = np.zeros_like(result)
    expected[y - y.min(), x - x.min()] = image
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("size", [(97, 129), (35, 33)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    images = [np.full((*size, 3), 40 + 10 * i, np.uint8) for i in range(4)]
    for name, codec, pixels in (
        ("a.mkv", "libx264", "yuv444p"),
        ("b.avi", "mjpeg", "yuvj420p"),
        ("c.webm", "libvpx", "yuv420p"),
    ):
        found = list(frames(encode(tmp_path / name, codec, pixels=pixels, images=images)))
        assert [frame.image.shape[:2] for frame in found] == [size] * 4
        assert abs(int(found[3].image[-1, -1, 0]) - 70) <= 10


def in_matrix(path: Path, height: int, matrix: str, tag: int, *, full: bool = False) -> Path:
    """Encode a colour by a matrix, and state that matrix, or 2 for none."""
    kr, kb = {"709": (0.2126, 0.0722), "601": (0.299, 0.114), "2020": (0.2627, 0.0593)}[matrix]
    r, g, b = np.array(COLOUR) / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    values = (255 * y, 255 * u + 128, 255 * v + 128) if full else (219 * y + 16, 224 * u + 128, 224 * v + 128)
    planes = np.concatenate([np.full(height * 64, values[0]), *(np.full(height * 16, value) for value in values[1:])])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = height, 64, "yuvj420p" if full else "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, 2 if full else 1
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(planes.round().astype(np.uint8).reshape(-1, 64), format=stream.pix_fmt)
            frame.pts, frame.colorspace, frame.color_range = number, tag, 2 if full else 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


COLOUR = (200, 120, 40)


@pytest.mark.parametrize(
    ("height", "matrix", "tag", "full"),
    [
        (720, "709", 1, False), (720, "709", 2, False), (720, "601", 6, False), (480, "601", 2, False),
        (480, "709", 1, False), (480, "601", 5, True), (1080, "709", 1, True), (720, "2020", 9, False),
    ],
)  # fmt: skip
def test_colours_are_those_of_the_matrix_and_the_range_that_are_stated(
    tmp_path: Path, height: int, matrix: str, tag: int, full: bool
) -> None:
    if matrix == "2020" and not hasattr(av.video.reformatter.Colorspace, "BT2020"):
        pytest.skip("this PyAV does not know BT.2020")
    frame = next(frames(in_matrix(tmp_path / "clip.mkv", height, matrix, tag, full=full)))
    assert np.abs(frame.image[height // 2, 32].astype(int) - COLOUR).max() <= 3


CUT = ["h264.mkv", "vp8.webm", "mjpeg.avi", "h264.ts", "wmv2.asf", "flv1.flv", "mpeg2.mpg", "elementary.h264"]


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_off_breaks_off(tmp_path: Path, name: str) -> None:
    codec, form, pixels = FORMS[name]
    noise = np.random.default_rng(0).integers(0, 255, (COUNT, 96, 128, 3), np.uint8)
    path = encode(tmp_path / name, codec, form, pixels=pixels, images=noise, g="1")  # so that all packets are large
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10 - 5])
    found = []
    with pytest.raises(SourceError, match=r"the video breaks off after \d+ frames; those before it are kept"):
        for frame in frames(path):
            found.append(frame)
    assert 2 <= len(found) < COUNT


def test_an_mp4_that_is_cut_off_breaks_off_or_cannot_be_opened(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4")
    plain.write_bytes(plain.read_bytes()[:-1200])
    with pytest.raises(SourceError, match=r"plain\.mp4: PyAV cannot open this video, .*; play it .* or convert it"):
        list(frames(plain))
    whole = encode(tmp_path / "whole.mp4", g="1")
    front = tmp_path / "front.mp4"
    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    front.write_bytes(front.read_bytes()[: front.stat().st_size * 8 // 10])
    with pytest.raises(SourceError, match="breaks off after"):
        list(frames(front))


def test_damage_in_the_middle_is_said_and_passed_over(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.avi", "png", pixels="rgb24")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"\x89PNG"]
    data[starts[1] : starts[1] + 40] = bytes(40)
    path.write_bytes(data)
    found = []
    with pytest.raises(SourceError, match="damaged: 1 of its packets could not be decoded"):
        for frame in frames(path):
            found.append(frame)
    assert COUNT - 2 <= len(found) < COUNT  # threads of decoders may lose the one beside it
    assert found[-1].index == len(found) - 1 and found[-1].time == pytest.approx((COUNT - 1) / RATE)


def test_files_that_are_no_videos_and_those_that_lie(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="mono")
        tone.sample_rate, tone.pts, tone.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(stream.encode(tone))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"sound\.mp4: .*there is no video in it .*\(it holds audio\)"):
        list(frames(sound))

    huge = encode(tmp_path / "huge.avi", "mjpeg", pixels="yuvj420p")
    data = bytearray(huge.read_bytes())
    at = data.index(b"strf") + 12
    data[at : at + 8] = struct.pack("<ii", 60_000, 60_000)
    huge.write_bytes(data)
    check_scenes(list(frames(huge)))  # the container's word is not believed
    huge.write_bytes(data.replace(struct.pack(">HH", 96, 128), struct.pack(">HH", 60_000, 60_000)))
    with pytest.raises(SourceError, match=r"60000×60000 pixels, which is too many|not one image could be decoded"):
        list(frames(huge))

    for name in ("list.m3u8", "list.mp4"):
        (tmp_path / name).write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n")
        with pytest.raises(SourceError, match="it is a list of other files"):
            list(frames(tmp_path / name))
    (tmp_path / "text").write_text("no video, and no image\n" * 50)
    with pytest.raises(ImageError, match="text: not an image in any known format"):
        list(frames(tmp_path / "text"))
    (tmp_path / "empty.mkv").write_bytes(b"")
    with pytest.raises(SourceError, match=r"empty\.mkv: the file is empty"):
        list(frames(tmp_path / "empty.mkv"))


def test_times_rise_whatever_a_file_states() -> None:
    clock = Clock(5.0, 0.04)
    times = [clock(stated) for stated in (5.0, 5.04, None, 5.1, 5.1, 5.14, 0.0, 0.04, 0.08)]
    assert (np.diff(times) > 0).all() and times[:3] == pytest.approx([0, 0.04, 0.08])
    assert times[5] == pytest.approx(0.14) and times[6:] == pytest.approx([0.18, 0.22, 0.26]), "a stream begins anew"


# ---------------------------------------------------------------------- animations and pages


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_are_videos_with_times(tmp_path: Path, suffix: str, runtime: Any) -> None:
    path = tmp_path / f"anim{suffix}"
    first, *others = map(Image.fromarray, SCENES)
    durations = [40, 80, 120] * 4
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)
    found = list(frames(path))
    check_scenes(found)
    assert [frame.time for frame in found] == pytest.approx(np.cumsum([0, *durations[:-1]]) / 1000)
    assert open_source(path).kind == "video" and open_source(path).length == COUNT and not found[0].is_file
    assert found[-1].duration == pytest.approx(0.12)
    assert len(list(Detector(runtime).stream(path))) == COUNT
    with pytest.raises(SourceError, match="more than one image"):
        Detector(runtime)(path)
    still = tmp_path / f"still{suffix}"
    first.save(still)
    assert open_source(still).kind == "image" and len(list(frames(still))) == 1


def test_an_animation_among_the_images_of_a_folder_is_its_first_frame(tmp_path: Path) -> None:
    first, *others = map(Image.fromarray, SCENES)
    first.save(tmp_path / "b.gif", save_all=True, append_images=others, duration=40)
    first.save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match=r"b\.gif: has 12 frames, of which the first alone is looked at"):
        found = list(frames(tmp_path))
    assert [frame.name for frame in found] == ["a.png", "b.gif"] and all(frame.is_file for frame in found)


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_a_tiff(tmp_path: Path, big: bool) -> None:
    path = tmp_path / "pages.tif"
    first, *others = map(Image.fromarray, SCENES)
    first.save(path, save_all=True, append_images=others, big_tiff=big)
    found = list(frames(path))
    check_scenes(found)
    assert len(found) == COUNT == open_source(path).length and {frame.time for frame in found} == {None}
    np.testing.assert_array_equal(found[5].image, SCENES[5])


def test_pages_of_sixteen_bits_and_smaller_versions(tmp_path: Path) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    deep = [
        Image.fromarray((np.arange(96 * 128, dtype=np.uint16) % 4096).reshape(96, 128) // (i + 1)) for i in range(3)
    ]
    deep[0].save(tmp_path / "deep.tif", save_all=True, append_images=deep[1:])
    found = list(frames(tmp_path / "deep.tif"))
    assert len(found) == 3 and found[0].image.max() == 255, "each page in its own range, as an image alone is"
    smaller = ImageFileDirectory_v2()
    smaller[254] = 1
    small = Image.fromarray(SCENES[0]).resize((64, 48))
    small.encoderinfo = {"tiffinfo": smaller}
    Image.fromarray(SCENES[0]).save(tmp_path / "pyramid.tif", save_all=True, append_images=[small])
    assert open_source(tmp_path / "pyramid.tif").kind == "image"
