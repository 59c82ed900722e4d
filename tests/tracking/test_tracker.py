"""The tracker: FairMOT's own association frame by frame, and what a user sees of every preset."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet import Detections, Tracker
from centernet.tracking import PRESETS, TrackerOptions, fill_gaps


@pytest.fixture(scope="module")
def scenes(shared: Path) -> dict[str, Any]:
    text = (shared / "data/oracles/upstream/tracker.json").read_text(encoding="utf-8")
    return json.loads(text)["scenes"]  # type: ignore[no-any-return]


def arrays(frame: dict[str, Any]) -> tuple[np.ndarray, ...]:
    boxes = np.array(frame["boxes_x1y1x2y2"], dtype=float).reshape(-1, 4)
    return (
        boxes,
        np.array(frame["scores"], dtype=float),
        np.zeros(len(boxes), dtype=np.int64),
        np.array(frame["embeddings"], dtype=float).reshape(len(boxes), -1),
    )


@pytest.mark.parametrize("scene", ["TUD-Stadtmitte", "crossing_120"])
def test_fairmot_frame_by_frame(scenes: dict[str, Any], scene: str) -> None:
    """States in double precision, as the reference was computed: lists, boxes and counters of every track."""
    tracker = Tracker("fairmot")
    for frame in scenes[scene]["frames"]:
        boxes, scores, labels, embeddings = arrays(frame)
        tracker._step(boxes, scores, labels, embeddings if len(boxes) else None)
        tracks, expected = tracker.tracks, frame["tracks"]
        rows = tracker.tracked[tracks.confirmed[tracker.tracked]]
        assert tracks.id[rows].tolist() == [track["track_id"] for track in expected], frame["frame"]
        assert sorted(tracks.id[tracker.lost].tolist()) == sorted(frame["lost_ids"])
        unconfirmed = tracker.tracked[~tracks.confirmed[tracker.tracked]]
        assert tracks.id[unconfirmed].tolist() == frame["unconfirmed_ids"]
        assert tracks.start[rows].tolist() == [track["start_frame"] for track in expected]
        assert (tracks.hits[rows] - 1).tolist() == [track["tracklet_len"] for track in expected]
        assert {track["state"] for track in expected} <= {1}  # all that is put out is tracked
        tlwh = tracker._filter.boxes(tracks.mean[rows])
        tlwh[:, 2:] -= tlwh[:, :2]
        reference = np.array([track["tlwh"] for track in expected]).reshape(-1, 4)
        np.testing.assert_allclose(tlwh, reference, rtol=0, atol=1e-6)
        np.testing.assert_allclose(tracks.score[rows], [track["score"] for track in expected], atol=1e-9)


@pytest.mark.parametrize("scene", ["TUD-Stadtmitte", "crossing_120"])
def test_fairmot_through_detections(scenes: dict[str, Any], scene: str) -> None:
    """What a user gets, with boxes in single precision: the same identities in the same order."""
    tracker = Tracker("fairmot")
    for frame in scenes[scene]["frames"]:
        boxes, scores, labels, embeddings = arrays(frame)
        found = tracker.update(Detections(boxes, labels, scores, embeddings))
        assert found.track_ids is not None
        assert found.track_ids.tolist() == [track["track_id"] for track in frame["tracks"]], frame["frame"]
        tlwh = np.array([track["tlwh"] for track in frame["tracks"]]).reshape(-1, 4)
        corners = np.concatenate([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]], axis=1)
        np.testing.assert_allclose(found.bboxes, corners, rtol=0, atol=2e-3)
        np.testing.assert_allclose(found.scores, [track["score"] for track in frame["tracks"]], atol=1e-6)


def walkers(*x: float, label: int = 0, score: float = 0.95) -> Detections:
    """People at these places, 30 wide and 70 high."""
    boxes = np.array([[left, 20, left + 30, 90] for left in x]).reshape(-1, 4)
    return Detections(boxes, np.full(len(x), label), np.full(len(x), score), class_names=("person", "car"))


def ids(found: Detections) -> list[int]:
    assert found.track_ids is not None
    return found.track_ids.tolist()  # type: ignore[no-any-return]


NOBODY = Detections.empty(("person", "car"))


@pytest.mark.parametrize("preset", PRESETS)
def test_two_people_keep_their_identities(preset: str) -> None:
    tracker = Tracker(preset, frame_rate=25)
    for step in range(20):
        found = tracker.update(walkers(10 + 3 * step, 400 - 3 * step))
        assert ids(found) == [1, 2]
        assert found.class_names == ("person", "car")
    tracker.reset()
    assert ids(tracker.update(walkers(500.0))) == [1]


@pytest.mark.parametrize("preset", PRESETS)
def test_answers_do_not_depend_on_what_comes_later(preset: str) -> None:
    scene = [walkers(10 + 3 * step, 400 - 3 * step, 200) for step in range(30)]
    whole, half = Tracker(preset), Tracker(preset)
    expected = [whole.update(frame) for frame in scene]
    for frame, before in zip(scene[:15], expected, strict=False):
        assert ids(half.update(frame)) == ids(before)


def test_lost_buffer_is_in_seconds() -> None:
    """The same gap of two seconds is 20 frames at 10 a second, and found; with a buffer of one second it's not."""
    for frame_rate in (10, 50):
        for seconds, expected in ((3.0, [1]), (1.0, [2])):
            tracker = Tracker("bytetrack", frame_rate=frame_rate, lost_seconds=seconds)
            for _ in range(5):
                tracker.update(walkers(100))
            for _ in range(2 * frame_rate):
                assert len(tracker.update(NOBODY)) == 0
            tracker.update(walkers(100))
            assert ids(tracker.update(walkers(100))) == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_identities_have_no_gaps(preset: str) -> None:
    """One object among false alarms that are never seen twice: only FairMOT's own way numbers these too."""
    random, tracker, by_option = np.random.default_rng(0), Tracker(preset), Tracker(preset, number_unshown=True)
    shown, numbered = set(), set()
    for step in range(60):
        corners = random.uniform(200, 900, (2, 2))
        rows = [[*xy, *(xy + 60), 0.75] for xy in corners] + [[10 + step, 20, 50 + step, 90, 0.95]] * (step > 30)
        found, as_before = tracker.update(rows), by_option.update(rows)
        assert found.bboxes.tolist() == as_before.bboxes.tolist()
        shown.update(ids(found))
        numbered.update(ids(as_before))
    assert max(numbered) > 50 > len(numbered)
    assert shown == (numbered if preset == "fairmot" else set(range(1, len(shown) + 1)))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("flat", "moves"),
    [((10, 0, 50, 0), (1, 0)), ((0, 30, 0, 90), (0, 1)), ((7, 7, 7, 7), (0, 0)), ((10, 60, 50, 60), (0, 0))],
)
def test_a_flat_box_keeps_its_identity(preset: str, flat: tuple[float, ...], moves: tuple[float, ...]) -> None:
    """Also while it slides along the edge of the image that it was cut at."""
    tracker = Tracker(preset)
    for step in range(8):
        box = np.array(flat) + 0.5 * step * np.array(moves * 2)
        tracks = tracker.update([[*box, 0.95], [200 + step, 100, 260 + step, 220, 0.95]])
        assert ids(tracks) == [1, 2] and tracks.bboxes[0] == pytest.approx(box, abs=2)


def test_arrays_in_the_place_of_detections() -> None:
    rows = np.array([[10, 20, 50, 90, 0.95, 3], [200, 20, 240, 90, 0.92, 0]])
    for given, labels in ((rows, [3, 0]), (rows[:, :5].astype(np.float32), [0, 0]), (rows.tolist(), [3, 0])):
        tracker = Tracker()
        found = tracker.update(given)
        assert ids(found) == [1, 2] and found.labels.tolist() == labels
        for nothing in ([], np.zeros((0, 5)), np.zeros((0, 6))):
            assert len(tracker.update(nothing)) == 0
        assert ids(tracker.update(given)) == [1, 2]
    for wrong, says in (
        (rows[:, :4], r"N×5 .*N×6 .*got the shape \(2, 4\)"),
        (rows[0], r"got the shape \(6,\)"),
        (rows[None], r"got the shape \(1, 2, 6\)"),
        (rows + 0.5, "labels: expected whole numbers"),
        (rows[:, [2, 1, 0, 3, 4]], "bboxes"),
    ):
        with pytest.raises(ValueError, match=says):
            Tracker().update(wrong)


def test_times_of_a_steady_video_change_nothing() -> None:
    """Nor do those that a file rounds to milliseconds, or a clock that begins anew."""
    scene = [walkers(10 + 3 * step, 400 - 3 * step) if step % 7 else NOBODY for step in range(40)]
    for times in (
        [step / 30 for step in range(40)],
        [round(step / 30, 3) + 1000 for step in range(40)],
        [(step % 20) / 30 for step in range(40)],
    ):
        plain, timed = Tracker(frame_rate=30), Tracker(frame_rate=30)
        for found, time in zip(scene, times, strict=True):
            assert timed.update(found, time=time) == plain.update(found)


@pytest.mark.parametrize("preset", ["bytetrack", "default"])
@pytest.mark.parametrize("reupdate", [False, True])
def test_frames_that_are_left_out_are_known_by_their_times(preset: str, reupdate: bool) -> None:
    """A runner of 12 pixels a frame, of whom every third frame is kept, or now and then half a second is missing."""
    frames = [step for step in range(90) if step < 30 or (step % 3 == 0 and not 60 <= step < 75)]
    timed, plain = (Tracker(preset, frame_rate=30, reupdate=reupdate) for _ in range(2))
    with_times = [ids(timed.update(walkers(12 * step), time=step / 30)) for step in frames]
    without = [ids(plain.update(walkers(12 * step))) for step in frames]
    assert with_times == [[1]] * len(frames) and without[:30] == [[1]] * 30 and [1] not in without[31:]


def test_tracks_age_by_time() -> None:
    """A pause of 1.5 s is within lost_seconds=2 and beyond 1, in one frame that is left out or in many."""
    for seconds, expected in ((2.0, [1]), (1.0, [2])):
        for pause in ([], [0.5, 1.0, 1.2, 1.3]):
            tracker = Tracker("bytetrack", frame_rate=10, lost_seconds=seconds)
            for step in range(5):
                tracker.update(walkers(100), time=step / 10)
            for time in pause:
                tracker.update(NOBODY, time=0.4 + time)
            tracker.update(walkers(100), time=0.4 + 1.5)
            assert ids(tracker.update(walkers(100), time=2.0)) == expected
    with pytest.raises(ValueError, match="time: expected seconds"):
        Tracker().update(NOBODY, time=float("nan"))


def test_second_pass_keeps_who_is_hardly_seen() -> None:
    for low_score, expected in ((0.1, [1]), (None, [])):
        tracker = Tracker("bytetrack", low_score=low_score)
        for _ in range(3):
            tracker.update(walkers(100))
        assert ids(tracker.update(walkers(101, score=0.3))) == expected


def test_a_low_score_starts_no_track() -> None:
    tracker = Tracker()
    assert [len(tracker.update(walkers(100, score=0.3))) for _ in range(5)] == [0] * 5


def test_new_tracks_wait_unless_they_are_sure() -> None:
    for score, expected in ((0.8, []), (0.95, [2])):
        tracker = Tracker(confirm_score=0.9)
        tracker.update(walkers(100))
        both = Detections.empty()
        for _ in range(2):
            both = Detections([[100, 20, 130, 90], [300, 20, 330, 90]], [0, 0], [0.95, score])
            found = tracker.update(both)
            assert ids(found)[1:] == expected
            expected = [2]


def test_classes_are_not_mixed_unless_asked() -> None:
    for per_class, expected in ((True, [2]), (False, [1])):
        tracker = Tracker(per_class=per_class, confirm_hits=1)
        tracker.update(walkers(100))
        found = tracker.update(walkers(100, label=1))
        assert ids(found) == expected and found.labels.tolist() == [1]


def test_appearance_tells_two_who_stand_close_apart() -> None:
    """Boxes that jitter by more than what lies between two people; the label only marks who is who."""
    random = np.random.default_rng(1)
    jitter = random.normal(0, 4, (80, 2, 1)) * [1, 0, 1, 0]
    switches = {}
    for looks in (None, np.eye(2, 8)):
        tracker, known, count = Tracker(per_class=False), {}, 0
        for moved in jitter:
            boxes = np.array([[100, 20, 130, 90], [112, 20, 142, 90]]) + moved
            found = tracker.update(Detections(boxes, [0, 1], [0.9, 0.9], looks))
            for who, identity in zip(found.labels.tolist(), ids(found), strict=True):
                count += known.setdefault(who, identity) != identity
                known[who] = identity
        switches[looks is not None] = count
    assert switches[True] == 0 < switches[False]


def test_embeddings_of_the_rows_come_out_with_them() -> None:
    tracker, looks = Tracker(confirm_hits=1), np.eye(3, 4, dtype=np.float32)
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        boxes = np.array([[100 * i, 20, 100 * i + 30, 90] for i in order])
        found = tracker.update(Detections(boxes, [0] * 3, [0.9] * 3, looks[order]))
        assert ids(found) == [1, 2, 3]
        np.testing.assert_array_equal(found.embeddings, looks)


def test_reupdate_bends_the_path_of_who_was_unseen() -> None:
    """After a stop behind an obstacle the velocity is that of the gap's straight line, not that from before it."""
    speeds = {}
    for reupdate in (False, True):
        tracker = Tracker("bytetrack", reupdate=reupdate)
        for step in range(20):
            tracker.update(walkers(100 + 6 * step))
        for _ in range(4):
            tracker.update(NOBODY)
        tracker.update(walkers(214 + 12))
        assert tracker.lost.size == 0
        speeds[reupdate] = float(tracker.tracks.mean[tracker.tracked[0], 1, 0])
    assert abs(speeds[True] - 12 / 5) < abs(speeds[False] - 12 / 5)


def test_of_two_tracks_in_one_place_the_older_stays() -> None:
    tracker = Tracker("bytetrack", iou_finds_lost=False)
    for _ in range(10):
        tracker.update(walkers(100))
    tracker.update(NOBODY)
    assert ids(tracker.update(walkers(100))) == []  # only an embedding would find the lost one: a new one begins
    assert tracker.tracked.size == 0 and tracker.tracks.id[tracker.lost].tolist() == [1]


@pytest.mark.parametrize("preset", PRESETS)
def test_long_gaps_cost_no_memory_and_no_identity_twice(preset: str) -> None:
    tracker = Tracker(preset)
    for _ in range(5):
        tracker.update(walkers(100, 300))
    for _ in range(10_000):
        assert len(tracker.update(NOBODY)) == 0
    assert tracker.tracked.size == tracker.lost.size == 0
    for _ in range(5):
        found = tracker.update(walkers(100, 300))
    assert ids(found) == [3, 4]
    assert len(tracker.tracks.id) == 64 and tracker.frame == 10_010


@pytest.mark.parametrize("reupdate", [False, True])
def test_who_waits_is_found_after_10_000_frames(reupdate: bool) -> None:
    tracker = Tracker(lost_seconds=1000, reupdate=reupdate)
    for _ in range(5):
        tracker.update(walkers(100))
    for _ in range(10_000):
        tracker.update(NOBODY)
    assert ids(tracker.update(walkers(100))) == [1]
    assert np.isfinite(tracker.tracks.covariance).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_empty_first_frames(preset: str) -> None:
    tracker = Tracker(preset)
    assert [len(tracker.update(NOBODY)) for _ in range(3)] == [0, 0, 0]
    for _ in range(5):
        found = tracker.update(walkers(100))
    assert ids(found) == [1]


def test_nan_is_refused_and_nothing_is_lost() -> None:
    tracker = Tracker()
    looks = np.eye(1, 4)
    for _ in range(3):
        tracker.update(Detections([[100, 20, 130, 90]], [0], [0.9], looks))
    with pytest.raises(ValueError, match=r"bboxes: expected four finite numbers, row 0"):
        tracker.update(Detections([[np.nan, 20, 130, 90]], [0], [0.9], looks))
    with pytest.raises(ValueError, match=r"embeddings: expected finite numbers, row 0 has 4"):
        tracker.update(Detections([[100, 20, 130, 90]], [0], [0.9], looks * np.nan))
    with pytest.raises(ValueError, match=r"embeddings: expected N×4 as in earlier frames, got N×5"):
        tracker.update(Detections([[100, 20, 130, 90]], [0], [0.9], np.eye(1, 5)))
    assert tracker.frame == 3
    assert ids(tracker.update(Detections([[100, 20, 130, 90]], [0], [0.9], looks))) == [1]


@pytest.mark.parametrize("preset", PRESETS)
def test_boxes_without_area_and_far_away(preset: str) -> None:
    tracker = Tracker(preset)
    boxes = [[5, 5, 5, 5], [10, 20, 40, 20], [1e7, 1e7, 2e7, 3e7], [-1e7, 0, -9e6, 1e6]]
    for _ in range(10):
        found = tracker.update(Detections(boxes, [0] * 4, [0.9] * 4, np.zeros((4, 3))))
        assert np.isfinite(found.bboxes).all()
    assert np.isfinite(tracker.tracks.mean).all()


def test_more_tracks_than_rows() -> None:
    tracker = Tracker(confirm_hits=1)
    for _ in range(3):
        found = tracker.update(walkers(*(50.0 * i for i in range(300))))
        assert ids(found) == list(range(1, 301))


def test_frames_without_embeddings_among_others() -> None:
    tracker = Tracker()
    for step in range(12):
        frame = walkers(100 + step, 300)
        looks = np.eye(2, 4) if step % 3 else None
        found = tracker.update(Detections(frame.bboxes, frame.labels, frame.scores, looks))
        assert ids(found) == [1, 2]


def texture(dx: int) -> np.ndarray:
    """A static scene as a camera sees it that has turned by `dx` pixels."""
    import cv2

    scene = np.random.default_rng(0).integers(0, 255, (40, 120, 3), dtype=np.uint8)
    scene = cv2.resize(scene, (1200, 400), interpolation=cv2.INTER_CUBIC)
    return scene[:, 300 + dx : 900 + dx].copy()


def test_camera_motion() -> None:
    """People stand, the camera jolts by more than their width: only who follows the background keeps them."""
    shifts = [0, 0, 0, 0, 45, 45, 45]
    answers = {}
    for camera_motion in (False, True):
        tracker = Tracker("bytetrack", camera_motion=camera_motion)
        for dx in shifts:
            found = tracker.update(walkers(200 - dx, 400 - dx), texture(dx))
        answers[camera_motion] = ids(found)
    assert answers[True] == [1, 2]
    assert answers[False] != [1, 2]


def test_camera_motion_needs_frames() -> None:
    tracker = Tracker(camera_motion=True)
    with pytest.raises(ValueError, match=r"camera_motion needs every frame"):
        tracker.update(walkers(100))
    assert tracker.frame == 0
    blank = np.zeros((100, 200, 3), np.uint8)  # nothing to follow
    for _ in range(3):
        assert ids(tracker.update(walkers(100), blank)) == [1]
    assert ids(tracker.update(walkers(100), np.zeros((50, 50, 3), np.uint8))) == [1]


def test_unknown_names_are_told_with_the_choices() -> None:
    with pytest.raises(
        ValueError, match=r"unknown preset 'deepsort': expected one of sort, fairmot, bytetrack, default"
    ):
        Tracker("deepsort")
    with pytest.raises(TypeError, match=r"unknown option 'iou'.*iou_limit"):
        Tracker(iou=0.5)
    with pytest.raises(ValueError, match=r"frame_rate: expected frames a second, above 0, got 0"):
        Tracker(frame_rate=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou_limit": 1.2}, "iou_limit: expected a cost above 0, at most 1, got 1.2"),
        ({"confirm_hits": 0}, "confirm_hits: expected a whole number from 1, got 0"),
        ({"motion": "xysr"}, "motion: expected 'xyah' or 'xywh', got 'xysr'"),
        ({"lost_seconds": -1}, "lost_seconds: expected 0 or more"),
        ({"high_score": "0.5"}, "high_score: expected a finite number, got '0.5'"),
        ({"low_score": 0.7}, r"low_score: expected less than high_score \(0.6\)"),
        ({"per_class": 1}, "per_class: expected True or False"),
        ({"embedding_momentum": 2}, "embedding_momentum: expected a share from 0 to 1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tracker(**options)


def test_options_are_documented() -> None:
    text = inspect.getdoc(TrackerOptions)  # Python 3.13 takes the indentation away from `__doc__`
    assert text is not None
    for field in fields(TrackerOptions):
        assert f"\n    {field.name}: " in text, field.name


def test_gaps_are_filled_on_a_straight_line() -> None:
    def frame(*rows: tuple[int, float]) -> Detections:
        boxes = np.array([[x, 0, x + 10, 20] for _, x in rows]).reshape(-1, 4)
        numbers = [identity for identity, _ in rows]
        return Detections(boxes, [0] * len(rows), [0.5 + 0.01 * x for _, x in rows], track_ids=numbers)

    frames = [frame((1, 0), (2, 10)), frame((2, 12)), frame(), frame((1, 30)), frame((2, 40))]
    filled = fill_gaps(frames, max_gap=2)
    assert [ids(f) for f in filled] == [[1, 2], [2, 1], [1, 2], [1, 2], [2]]
    np.testing.assert_allclose(filled[1].bboxes[1], [10, 0, 20, 20], atol=1e-5)
    np.testing.assert_allclose(filled[2].bboxes[0], [20, 0, 30, 20], atol=1e-5)
    np.testing.assert_allclose(filled[2].scores[0], 0.7, atol=1e-6)
    assert [ids(f) for f in fill_gaps(frames, max_gap=1)] == [ids(f) for f in frames]
    assert fill_gaps([NOBODY_TRACKED] * 3, max_gap=5) == [NOBODY_TRACKED] * 3
    with pytest.raises(ValueError, match="frame 0 has no track_ids"):
        fill_gaps([NOBODY], max_gap=1)


NOBODY_TRACKED = Tracker().update(NOBODY)
