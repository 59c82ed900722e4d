"""A detector and a tracker over a source: identities that stay, time that passes, nothing lost, nothing held."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.detections import Detections
from centernet.images import Preprocessing
from centernet.inference import Detector, SourceError, collect, open_source, track
from centernet.inference.thresholds import class_labels
from centernet.tracking import Tracker


class FindWhite:
    """The box around the white pixels of an input, and low scores elsewhere."""

    preprocessing = Preprocessing((120, 160))
    class_names = ("white", "other")

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        n = len(images)
        bboxes, scores = np.zeros((n, num_detections, 4), np.float32), np.zeros((n, num_detections), np.float32)
        for i, image in enumerate(images):
            rows, columns = np.nonzero((image > 127).all(-1))
            if len(rows):
                bboxes[i, 0] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                scores[i, 0] = 0.9
        return {"bboxes": bboxes, "labels": np.zeros((n, num_detections), np.int64), "scores": scores}


class Clock:
    """Remembers what a tracker is told, and gives everything the identity 1."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []

    def update(self, detections: Detections, image: Any = None) -> Detections:
        self.told.append((len(detections), image is not None))
        return Detections(
            detections.bboxes,
            detections.labels,
            detections.scores,
            track_ids=np.ones(len(detections)),  # type: ignore[arg-type]
            class_names=detections.class_names,
        )


def scene(left: int) -> np.ndarray:
    image = np.zeros((120, 160, 3), np.uint8)
    image[30:90, left : left + 40] = 255
    return image


def save(folder: Path, lefts: list[int]) -> Path:
    folder.mkdir()
    for number, left in enumerate(lefts, start=1):
        cv2.imwrite(str(folder / f"{number:06d}.png"), scene(left))
    return folder


def detector(**options: Any) -> Detector:
    return Detector(FindWhite(), **{"score_threshold": 0.0, "num_detections": 5, **options})


def test_an_object_keeps_its_identity(tmp_path: Path) -> None:
    lefts = list(range(10, 90, 4))
    tracks = collect(track(detector(), Tracker(), save(tmp_path / "frames", lefts)))
    assert [Path(path).name for path in tracks["paths"]] == [f"{i:06d}.png" for i in range(1, 21)]
    assert [ids.tolist() for ids in tracks["track_ids"]] == [[1]] * 20
    for left, boxes in zip(lefts, tracks["bboxes"], strict=True):
        np.testing.assert_allclose(boxes, [[left, 30, left + 40, 90]], atol=4)
    assert [len(scores) for scores in tracks["scores"]] == [1] * 20
    assert {labels.dtype for labels in tracks["labels"]} == {np.dtype(np.int64)}


def test_time_passes_in_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", [10] * 6)
    for number in (1, 3, 4):
        (folder / f"{number:06d}.png").write_text("no picture")
    clock, errors = Clock(), []
    given = list(track(detector(score_threshold=0.5), clock, folder, on_error=errors.append))
    assert [frame.index for frame, _ in given] == [1, 4, 5] and len(errors) == 3
    assert clock.told == [(0, False), (1, True), (0, False), (0, False), (1, True), (1, True)]


def test_a_video_that_breaks_off_is_tracked_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (160, 120))
    for i in range(30):
        writer.write(scene(10 + 3 * i))
    writer.release()
    assert open_source(path).frame_rate == pytest.approx(12.5)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    whole = data[: len(data) * 7 // 10].count(b"\xff\xd8")  # each frame begins with JPEG's mark; the last one is cut
    given = []
    with pytest.raises(SourceError, match="breaks off"):
        for frame, tracks in track(detector(), Tracker(), path):
            given.append((frame.index, tracks.track_ids.tolist()))  # type: ignore[union-attr]
    assert len(given) in (whole - 1, whole)
    assert given[: whole - 1] == [(i, [1]) for i in range(whole - 1)]  # of the last one a part may be decoded


def test_the_tracker_s_own_thresholds_decide() -> None:
    """All scores reach it, but not the rows without objects."""
    clock = Clock()
    list(track(detector(), clock, [scene(10)] * 2))
    assert clock.told == [(1, True)] * 2
    tracks = collect(track(detector(), Tracker(), [scene(10)] * 3))
    assert [len(ids) for ids in tracks["track_ids"]] == [1, 1, 1]


def test_empty_frames_give_empty_arrays() -> None:
    tracks = collect(track(detector(score_threshold=0.5), Tracker(), [np.zeros((60, 80, 3), np.uint8)] * 2))
    assert [boxes.shape for boxes in tracks["bboxes"]] == [(0, 4)] * 2
    assert [ids.shape for ids in tracks["track_ids"]] == [(0,)] * 2


def test_classes_by_name() -> None:
    assert class_labels(["other", "white"], FindWhite.class_names) == [1, 0]
    with pytest.raises(ValueError, match=r"'whit' \(did you mean 'white'\?\).* white, other"):
        class_labels(["whit"], FindWhite.class_names)
    with pytest.raises(ValueError, match="no names"):
        class_labels(["white"], ())


def test_memory_does_not_grow_with_the_length() -> None:
    image = scene(10)

    def peak(length: int) -> int:
        found, tracker = detector(batch_size=2), Tracker()
        tracemalloc.start()
        for _ in track(found, tracker, [image] * length):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(20)
    assert peak(400) < peak(100) + 100_000  # one picture is 58 kB


def save_video(path: Path, lefts: list[int]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for left in lefts:
        writer.write(scene(left))
    writer.release()
    return path


def test_each_video_of_a_list_begins_anew(tmp_path: Path) -> None:
    one = save_video(tmp_path / "one.avi", [10, 14, 18, 22, 26])
    other = save_video(tmp_path / "other.avi", [26, 30, 34])  # where the first left off
    images = [scene(left) for left in (34, 38)]
    found = list(track(detector(), Tracker("bytetrack"), [one, other, *images, one]))
    assert [frame.index for frame, _ in found] == [*range(5), *range(3), 0, 1, *range(5)]
    assert [tracks.track_ids.tolist() for _, tracks in found] == [[1]] * 15


def test_videos_of_one_tracker_begin_anew_and_arrays_go_on(tmp_path: Path) -> None:
    tracker = Tracker("bytetrack")
    for left in (100, 10):  # far from one another: another object
        path = save_video(tmp_path / f"{left}.avi", [left, left + 3, left + 6])
        found = list(track(detector(), tracker, path))
        assert [tracks.track_ids.tolist() for _, tracks in found] == [[1]] * 3
    for left in (19, 22):  # goes on from the video
        ((_, tracks),) = track(detector(), tracker, [scene(left)])
        assert tracks.track_ids.tolist() == [1]
    ((_, tracks),) = track(detector(), tracker, [scene(110)])
    assert 1 not in tracks.track_ids


def test_a_tracker_of_others_is_not_asked_for_more_than_it_has(tmp_path: Path) -> None:
    clock = Clock()
    path = save_video(tmp_path / "one.avi", [10, 14])
    assert len(list(track(detector(), clock, path))) == 2  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="reset"):
        list(track(detector(), clock, [path, path]))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["folder", "video", "arrays"])
def test_one_frame_of_so_many(tmp_path: Path, kind: str) -> None:
    """The object moves 5 pixels a frame, whichever of them are read; numbers stay the source's."""
    lefts = list(range(10, 110, 5))
    make = {
        "folder": lambda: save(tmp_path / "frames", lefts),
        "video": lambda: save_video(tmp_path / "one.avi", lefts),
        "arrays": lambda: [scene(left) for left in lefts],
    }
    source = replace(open_source(make[kind]()), every=3)
    assert source.length == 7
    found = list(track(detector(), Tracker("bytetrack"), source))
    assert [frame.index for frame, _ in found] == list(range(0, 20, 3))
    assert {identity for _, tracks in found for identity in tracks.track_ids.tolist()} == {1}
    for frame, tracks in found:
        np.testing.assert_allclose(tracks.bboxes[0], [lefts[frame.index], 30, lefts[frame.index] + 40, 90], atol=5)
