"""Every kind of source gives its frames in order, and says what is wrong with it."""

from __future__ import annotations

import functools
import http.server
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.images import ImageError, read_image
from centernet.inference import Detector, SourceError, frames
from centernet.inference.sources import open_source


def test_a_picture(folder: Path) -> None:
    path = folder / "scene_0.png"
    for source in (path, str(path)):
        (frame,) = frames(source)
        assert (frame.name, frame.path, frame.index) == ("scene_0.png", path, 0)
        np.testing.assert_array_equal(frame.image, read_image(path))


def test_a_folder_by_name(folder: Path) -> None:
    found = list(frames(folder))
    assert [frame.name for frame in found] == [f"scene_{i}.png" for i in range(5)]
    assert [frame.index for frame in found] == list(range(5))
    assert found[2].path == folder / "scene_2.png" and found[2].image.shape == (136, 180, 3)


def test_patterns_by_path(folder: Path) -> None:
    (folder / "sub").mkdir()
    os.replace(folder / "scene_0.png", folder / "sub" / "scene_0.png")
    found = [Path(frame.name).relative_to(folder).as_posix() for frame in frames(f"{folder}/**/*.png")]
    assert found == [f"scene_{i}.png" for i in range(1, 5)] + ["sub/scene_0.png"]
    assert len(list(frames(f"{folder}/scene_[12].png"))) == 2


def test_a_file_whose_name_looks_like_a_pattern(folder: Path) -> None:
    path = folder / "scene [1].png"
    os.replace(folder / "scene_1.png", path)
    assert [frame.path for frame in frames(path)] == [path]


def test_arrays_and_lists(folder: Path) -> None:
    array = read_image(folder / "scene_0.png")
    (frame,) = frames(array)
    assert frame.image is array and frame.path is None
    found = list(frames([folder / "scene_3.png", array, str(folder / "scene_1.png")]))
    assert [frame.index for frame in found] == [0, 1, 2]
    assert [frame.path and frame.path.name for frame in found] == ["scene_3.png", None, "scene_1.png"]
    assert len({frame.name for frame in found}) == 3
    assert list(frames([])) == []


def test_a_video(video: Path) -> None:
    found = list(frames(video))
    assert len(found) == 20 == open_source(video).length
    assert [frame.name for frame in found[:2]] == ["clip_000000", "clip_000001"]
    assert {frame.path for frame in found} == {video}
    for i, frame in enumerate(found):  # the rectangle moves: order and colours are right
        columns = np.flatnonzero(frame.image[40, :, 0] > 127)
        assert abs(columns.min() - 4 * i) <= 1 and abs(columns.max() + 1 - (4 * i + 40)) <= 1


def test_a_video_in_a_list_keeps_counting(video: Path, folder: Path) -> None:
    found = list(frames([folder / "scene_0.png", video, folder / "scene_1.png"]))
    assert [frame.index for frame in found] == list(range(22))
    assert found[1].name == "clip_000000"


def test_a_video_that_breaks_off_gives_its_frames_first(video: Path) -> None:
    data = video.read_bytes()
    data = data[: len(data) * 8 // 10]
    video.write_bytes(data)
    found = []
    with pytest.raises(SourceError, match=r"clip\.avi: the video breaks off after \d+ frames; those before"):
        for frame in frames(video):
            found.append(frame)
    begun = data.count(b"\xff\xd8")  # each frame begins with JPEG's mark; the last one is cut
    assert len(found) in (begun - 1, begun)


def test_unreadable_pictures_are_errors_or_left_out_by_name(folder: Path) -> None:
    (folder / "scene_2.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"scene_2\.png"):
        list(frames(folder))
    errors: list[ImageError] = []
    found = list(frames(folder, on_error=errors.append))
    assert [frame.index for frame in found] == [0, 1, 3, 4]
    assert len(errors) == 1 and "scene_2.png" in str(errors[0])


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (lambda at: at / "missing.jpg", "no such file or folder"),
        (lambda at: str(at / "*.nothing"), "no file has such a name"),
        (lambda at: at / "empty", "no files"),
        (lambda at: [at / "empty"], "a folder within a list"),
        (lambda at: at / "broken.mp4", "cannot open this video"),
        (lambda at: np.zeros((4, 4, 2), np.uint8), "uint8 array H×W×3"),
        (lambda at: 7.5, "got float"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, source: Callable[[Path], Any], says: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(ValueError, match=says):
        list(frames(source(tmp_path)))


def test_a_source_knows_what_it_is(folder: Path, video: Path) -> None:
    image = folder / "scene_0.png"
    for source, kind, length, rate in (
        (image, "image", 1, None),
        (np.zeros((4, 4, 3), np.uint8), "image", 1, None),
        ([image, video], "list", 21, None),
        (folder, "folder", 5, None),
        (f"{folder}/*.png", "pattern", 5, None),
        (str(video), "video", 20, 10),
    ):
        opened = open_source(source)
        assert (opened.kind, opened.length, opened.frame_rate, opened.live) == (kind, length, rate, False)
        assert open_source(opened) is opened and len(list(frames(opened))) == len(list(frames(opened))) == length


def test_a_sequence_of_motchallenge_is_its_frames(folder: Path) -> None:
    info = folder.parent / "seqinfo.ini"
    info.write_text("[Sequence]\nimDir=photos\nframeRate=7\nseqLength=5\nimWidth=160\nimHeight=120\n")
    for source in (folder, folder.parent):
        opened = open_source(source)
        assert opened.frame_rate == 7 and opened.length == 5 and next(frames(opened)).name == "scene_0.png"
    info.write_text(info.read_text().replace("frameRate=7", "frameRate=many"))
    with pytest.warns(UserWarning, match="frameRate is 'many'"):
        assert open_source(folder).frame_rate == 30


def test_memory_does_not_grow_with_the_source(tmp_path: Path, folder: Path) -> None:
    path = folder / "scene_0.png"

    def peak(number: int) -> int:
        tracemalloc.start()
        for frame in frames([path] * number):
            del frame
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)
    assert peak(200) < peak(10) + 100_000  # one picture is 58 kB


class Camera:
    """Stands in for cv2.VideoCapture: camera 0 gives five pictures and is then unplugged; there is no other.

    It gives the next one when `wanted` says so.
    """

    wanted = threading.Semaphore(1)

    def __init__(self, source: Any, *options: Any) -> None:
        self.left = 5 if source == 0 else 0
        self.opened, self.released = source == 0, False
        Camera.last = self

    def isOpened(self) -> bool:
        return self.opened

    def get(self, key: int) -> float:
        return -1.0

    def read(self) -> tuple[bool, Any]:
        assert Camera.wanted.acquire(timeout=60)
        self.left -= 1
        return self.left >= 0, np.full((12, 16, 3), (0, 0, 200), np.uint8)

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_pictures_until_it_is_gone(monkeypatch: pytest.MonkeyPatch, runtime: Any) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    found = []
    with pytest.raises(SourceError, match="camera 0: no more images came after 5"):
        for frame in frames(0):
            found.append(frame)
            Camera.wanted.release()
    assert [frame.name for frame in found] == [f"camera_0_{i:06d}" for i in range(5)]
    assert found[0].path is None and (found[0].image[0, 0] == (200, 0, 0)).all() and Camera.last.released
    assert open_source(0).length is None and open_source(0).live
    with pytest.raises(SourceError, match="camera 3: there is no such camera"):
        next(frames(3))

    Camera.wanted.release()
    streamed = []
    with pytest.raises(SourceError, match="no more images"):
        for frame, _ in Detector(runtime, batch_size=64).stream(0):
            streamed.append(frame.index)
            Camera.wanted.release()
    assert streamed == [0, 1, 2, 3, 4]
    with pytest.raises(SourceError, match="more than one image"):
        Detector(runtime)(0)  # type: ignore[call-overload]


def test_pictures_of_a_camera_do_not_wait_for_a_full_batch(monkeypatch: pytest.MonkeyPatch, runtime: Any) -> None:
    """The second picture is taken only after the first one's objects are known."""
    known = threading.Event()

    class Slow(Camera):
        def read(self) -> tuple[bool, Any]:
            assert self.left == 5 or known.wait(20), "the first picture waits for others"
            Camera.wanted.release()
            return super().read()

    monkeypatch.setattr(cv2, "VideoCapture", Slow)
    stream = Detector(runtime, batch_size=8).stream(0)
    assert next(stream)[0].index == 0
    known.set()
    assert next(stream)[0].index > 0
    stream.close()  # type: ignore[attr-defined]
    assert Camera.last.released


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of the temporary folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=one.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{one.server_port}"
    one.shutdown()
    thread.join()
    one.server_close()


def test_a_stream_is_read_by_its_address(server: str, video: Path, runtime: Any) -> None:
    address = f"{server}/{video.name}"
    found = list(frames(address))
    assert [frame.name for frame in found[:2]] == ["clip_000000", "clip_000001"] and len(found) == 20
    for one, other in zip(found, frames(video), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
    assert open_source(address).live and open_source(address).length is None
    assert len(list(Detector(runtime).stream(address))) == 20


def test_a_stream_that_is_not_there_is_named_without_its_password(server: str) -> None:
    address = f"{server}/nothing.mjpg?token=secret".replace("//", "//user:secret@")
    with pytest.raises(SourceError, match=r"^http://127\.0\.0\.1:\d+/nothing\.mjpg: .*cannot be opened") as caught:
        list(frames(address))
    assert "secret" not in str(caught.value)
    with pytest.raises(ImageError, match=r"nothing\.mjpg: no image; a stream is given alone") as other:
        list(frames([address]))
    with pytest.raises(SourceError, match="a stream within a list") as third:
        list(frames([address.replace("http", "rtsp")]))
    assert not any("secret" in str(error.value) for error in (caught, other, third))
