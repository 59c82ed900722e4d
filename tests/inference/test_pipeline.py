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

from centernet.images import ImageError, LazyImage, Preprocessing, open_image, read_image
from centernet.inference import Detector, Frame, SourceError
from centernet.inference.pipeline import pixels_for, read_ahead


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

    results = [future.result() for future, _ in read_ahead(source(40, slowly), lambda f: f.index, depth=6, workers=4)]
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

    for taken, (future, _) in enumerate(read_ahead(source(30, noted), lambda f: f, depth=depth, workers=2), 1):
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
        for future, _ in read_ahead(breaks_off(), lambda f: f.index, depth=4, workers=2):
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
    assert next(ahead)[0].result() == 0 and threading.active_count() > before
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


def photo(path: Path, size_hw: tuple[int, int], quality: int = 95) -> Path:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


@pytest.mark.parametrize(
    ("size", "rule", "factor"),
    [
        ((480, 640), "letterbox", 4),  # to 96×128: 5, of which 4 can be had
        ((200, 256), "letterbox", 2),
        ((1600, 2048), "letterbox", 8),
        ((480, 642), "letterbox", 2),  # 4 doesn't divide 642
        ((481, 640), "letterbox", 1),
        ((120, 160), "letterbox", 1),
        ((192, 1024), "stretch", 2),  # down: 2
        ((480, 640), "keep", 1),
    ],
)
def test_large_jpeg_files_are_decoded_as_far_as_needed(tmp_path: Path, size: Any, rule: Any, factor: int) -> None:
    picture = open_image(photo(tmp_path / "photo.jpg", size))
    preprocessing = Preprocessing((96, 128), rule)
    pixels = pixels_for(picture, preprocessing)
    if factor == 1:
        assert pixels is None
        return
    assert pixels is not None and pixels.shape[:2] == (size[0] // factor, size[1] // factor)
    whole = preprocessing(read_image(tmp_path / "photo.jpg"))
    reduced = preprocessing(pixels)
    assert np.abs(whole.astype(int) - reduced).mean() < 1.5  # gray levels; both are averages of the same pixels
    padding = (whole == 114).all(-1)
    np.testing.assert_array_equal(padding, (reduced == 114).all(-1))  # it lies in the same place


def test_boxes_of_a_reduced_picture_are_in_its_own_pixels(tmp_path: Path, runtime: Any) -> None:
    image = np.zeros((960, 1280, 3), np.uint8)
    image[160:640, 320:960] = 255
    cv2.imwrite(str(tmp_path / "big.jpg"), image)
    detector = Detector(runtime)
    called = detector(tmp_path / "big.jpg")
    np.testing.assert_allclose(called.bboxes[0], [320, 160, 960, 640], atol=12)  # an input pixel is 10 wide
    for pictures in (True, False):
        ((one, streamed),) = detector.stream(tmp_path / "big.jpg", pictures=pictures)
        np.testing.assert_array_equal(streamed.bboxes, called.bboxes)
        assert one.size_hw == (960, 1280) and one.image.shape == (960, 1280, 3)


def test_a_frame_is_decoded_when_somebody_looks_at_it(tmp_path: Path) -> None:
    decoded: list[float] = []

    def decode(scale: float) -> Any:
        decoded.append(scale)
        return np.zeros((8, 16, 3), np.uint8), (1.0, 1.0)

    one = Frame(LazyImage((8, 16), decode), "a", None, 0)
    assert one.size_hw == (8, 16) and decoded == []
    assert one.image is one.image and decoded == [1.0]
