"""Reading ahead: it overlaps the network, holds few frames, keeps the order, and tells errors in their place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from centernet.images import ImageError, LazyImage, Preprocessing, read_image
from centernet.inference import Detector, Frame, SourceError
from centernet.inference.pipeline import read_ahead


def frame(index: int) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), f"{index}", None, index)


def source(number: int, each: Callable[[int], Frame] = frame) -> Iterator[Callable[[], Frame]]:
    for i in range(number):
        yield lambda i=i: each(i)  # type: ignore[misc]


def test_the_order_is_that_of_the_source_however_long_each_takes() -> None:
    rng = np.random.default_rng(0)
    delays = rng.uniform(0, 0.01, 40)

    def slowly(index: int) -> Frame:
        time.sleep(delays[index])
        return frame(index)

    results = [future.result() for future in read_ahead(source(40, slowly), lambda f: f.index, depth=6, workers=4)]
    assert results == list(range(40))


def test_the_next_picture_is_read_while_the_network_works(runtime: Any) -> None:
    """Each half waits for the other: one after the other they would wait for ever."""
    reading, working = threading.Event(), threading.Event()

    class Waits(type(runtime)):  # type: ignore[misc]
        def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
            working.set()
            assert reading.wait(20), "no picture was read while the network was at work"
            return super().__call__(images, num_detections)

    class Second(Preprocessing):
        def __call__(self, image: np.ndarray) -> np.ndarray:
            if image[0, 0, 0] == 1:  # of the second picture
                assert working.wait(20)
                reading.set()
            return super().__call__(image)

    pictures = [np.zeros((60, 80, 3), np.uint8), np.ones((60, 80, 3), np.uint8)]
    assert len(Detector(Waits(Second((96, 128))), batch_size=1)(pictures)) == 2


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_no_more_frames_are_read_than_there_is_room_for(depth: int) -> None:
    begun: list[int] = []

    def noted(index: int) -> Frame:
        begun.append(index)
        return frame(index)

    for taken, future in enumerate(read_ahead(source(30, noted), lambda f: f, depth=depth, workers=2), 1):
        future.result()
        time.sleep(0.002)
        assert len(begun) <= taken + depth
    assert sorted(begun) == list(range(30))


def test_a_frame_s_error_is_its_own_and_the_source_s_ends_it() -> None:
    def odd_ones_fail(index: int) -> Frame:
        if index % 2:
            raise ImageError(f"picture {index}")
        return frame(index)

    def breaks_off() -> Iterator[Callable[[], Frame]]:
        yield from source(5, odd_ones_fail)
        raise SourceError("no more")

    told: list[str] = []
    with pytest.raises(SourceError, match="no more"):
        for future in read_ahead(breaks_off(), lambda f: f.index, depth=4, workers=2):
            error = future.exception()
            told.append(str(error) if error else str(future.result()))
    assert told == ["0", "picture 1", "2", "picture 3", "4"]


def test_threads_and_the_source_are_closed_when_nobody_wants_more() -> None:
    before = threading.active_count()
    closed = []

    def endless() -> Iterator[Callable[[], Frame]]:
        try:
            for i in range(10**9):
                yield lambda i=i: frame(i)  # type: ignore[misc]
        finally:
            closed.append(True)

    ahead = read_ahead(endless(), lambda f: f.index, depth=4)
    assert next(ahead).result() == 0 and threading.active_count() > before
    ahead.close()  # type: ignore[attr-defined]
    assert closed == [True] and threading.active_count() == before


def test_a_detector_s_threads_end_with_its_stream(runtime: Any, folder: Path) -> None:
    before = threading.active_count()
    stream = Detector(runtime, batch_size=1).stream(folder)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    (folder / "scene_3.png").write_bytes(b"no picture")
    done = []
    with pytest.raises(ImageError, match=r"scene_3\.png"):
        for one, _ in Detector(runtime).stream(folder):
            done.append(one.name)
    assert done == ["scene_0.png", "scene_1.png", "scene_2.png"] and threading.active_count() == before


def test_one_picture_by_itself_starts_no_threads(runtime: Any, tmp_path: Path) -> None:
    """A server asks for one at a time."""
    Image.new("RGB", (80, 60)).save(tmp_path / "one.png")
    before, seen = set(threading.enumerate()), []

    class Looks(Preprocessing):
        def __call__(self, image: np.ndarray) -> np.ndarray:
            seen.append(set(threading.enumerate()) - before)
            return super().__call__(image)

    one = np.zeros((60, 80, 3), np.uint8)
    detector = Detector(type(runtime)(Looks((96, 128))))
    detector(one)
    detector([one])
    assert [frame.name for frame, _ in detector.stream(tmp_path)] == ["one.png"]
    assert seen == [set()] * 3
    assert len(detector([one, one])) == 2 and seen[-1]


@pytest.mark.parametrize("size", [(480, 640), (1600, 2048), (481, 642)])
def test_the_network_sees_the_same_of_a_file_and_of_its_pixels(tmp_path: Path, runtime: Any, size: Any) -> None:
    """Above all of a large JPEG file: libjpeg's reduced pixels are sharper than averaged ones."""
    fine = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), fine, [cv2.IMWRITE_JPEG_QUALITY, 95])
    seen: list[np.ndarray] = []

    class Sees(type(runtime)):  # type: ignore[misc]
        def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
            seen.append(images)
            return super().__call__(images, num_detections)

    detector = Detector(Sees())
    (
        detector(path),
        detector(read_image(path)),
        detector([path]),
        list(detector.stream(tmp_path)),
        detector.stacked(path),
    )
    assert len(seen) == 5
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])


def test_a_frame_is_decoded_when_somebody_looks_at_it(tmp_path: Path) -> None:
    decoded: list[float] = []

    def decode(scale: float) -> Any:
        decoded.append(scale)
        return np.zeros((8, 16, 3), np.uint8), (1.0, 1.0)

    one = Frame(LazyImage((8, 16), decode), "a", None, 0)
    assert one.size_hw == (8, 16) and decoded == []
    assert one.image is one.image and decoded == [1.0]


@pytest.mark.parametrize("error", [cv2.error("too wide"), MemoryError()])
@pytest.mark.parametrize("names", [["0.png", "1.png", "2.png"], ["1.png"]])
def test_what_opencv_or_memory_cannot_take_is_one_image_s_error(
    tmp_path: Path, runtime: Any, error: Exception, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.full((8, 9 + (name == "1.png"), 3), 99, np.uint8))
    prepare = Detector._prepare

    def fails(self: Detector, frame: Frame) -> Any:
        if frame.size_hw[1] == 10:
            raise error
        return prepare(self, frame)

    monkeypatch.setattr(Detector, "_prepare", fails)
    failed: list[ImageError] = []
    done = [frame.name for frame, _ in Detector(runtime).stream(tmp_path, on_error=failed.append)]
    assert done == [name for name in names if name != "1.png"]
    assert len(failed) == 1 and "1.png: an image of 10×8" in str(failed[0])
