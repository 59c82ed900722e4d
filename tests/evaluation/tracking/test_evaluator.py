"""The metrics by their definitions, on sequences that can be worked out by hand."""

from __future__ import annotations

import math
import pickle
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from centernet.detections import Detections
from centernet.evaluation.tracking import COMBINED, Role, RowError, TrackingEvaluator, TrackingResult, Tracks


def walk(ids: list[int | None], y: float = 0.0, start: int = 0) -> Tracks:
    """A box that moves to the right, with an identity in each frame; None: it is not there."""
    there = [(frame, number) for frame, number in enumerate(ids, start=start) if number is not None]
    boxes = [[10 * frame, y, 10 * frame + 30, y + 60] for frame, _ in there]
    return Tracks(
        np.array([frame for frame, _ in there], np.int64),
        np.array([number for _, number in there], np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
    )


def together(*tracks: Tracks) -> Tracks:
    return Tracks(*(np.concatenate([getattr(part, name) for part in tracks]) for name in ("frames", "ids", "boxes")))


def evaluate(truth: Tracks, found: Tracks, num_frames: int = 10, **options: float) -> dict[str, float]:
    evaluator = TrackingEvaluator()
    evaluator.update("one", truth, found, num_frames=num_frames, **options)
    return evaluator.compute().stats


def test_a_change_of_identity_in_the_middle() -> None:
    stats = evaluate(walk([1] * 10), walk([7] * 5 + [8] * 5))
    assert (stats["IDSW"], stats["CLR_TP"], stats["MT"], stats["Frag"]) == (1, 10, 1, 0)
    assert stats["MOTA"] == pytest.approx(0.9)
    assert stats["IDF1"] == pytest.approx(0.5)  # one of the two halves is the person's: 5 / (5 + 5 / 2 + 5 / 2)
    # Each match is of a pair of tracks that has 5 of the 10 boxes of both: AssA .5, DetA 1.
    assert (stats["DetA"], stats["AssA"], stats["HOTA"]) == pytest.approx((1, 0.5, math.sqrt(0.5)))
    assert (stats["AssRe"], stats["AssPr"], stats["LocA"], stats["MOTP"]) == pytest.approx((0.5, 1, 1, 1))


def test_an_interruption_is_a_fragment_and_no_switch() -> None:
    truth = together(walk([1] * 10), walk([2] * 10, y=500))
    found = together(walk([7] * 4 + [None] * 2 + [7] * 4), walk([8] * 10, y=500))
    stats = evaluate(truth, found)
    assert (stats["Frag"], stats["IDSW"], stats["CLR_FN"], stats["CLR_FP"]) == (1, 0, 2, 0)
    assert stats["MOTA"] == pytest.approx(0.9)
    assert stats["DetRe"] == pytest.approx(0.9)
    # 8 matches with 8 of 10 boxes, 10 with all.
    assert stats["AssA"] == pytest.approx((8 * 0.8 + 10 * 1) / 18)


@pytest.mark.parametrize(("tracked", "kind"), [(9, "MT"), (8, "PT"), (2, "PT"), (1, "ML")])
def test_mostly_tracked_is_above_four_fifths_and_mostly_lost_below_one_fifth(tracked: int, kind: str) -> None:
    found = walk([7] * tracked)
    stats = evaluate(walk([1] * 10), found)
    assert {name: stats[name] for name in ("MT", "PT", "ML")} == {"MT": 0, "PT": 0, "ML": 0} | {kind: 1}


def test_a_pair_that_was_together_stays_together() -> None:
    """CLEAR keeps the match of the frame before although another box fits better; identities then do not switch."""
    truth = Tracks([0, 1], [1, 1], [[0, 0, 100, 100]] * 2)
    found = Tracks([0, 1, 1], [7, 7, 8], [[0, 0, 100, 100], [0, 0, 100, 80], [0, 0, 100, 100]])
    stats = evaluate(truth, found, 2)
    assert (stats["IDSW"], stats["CLR_FP"], stats["MOTP"]) == (0, 1, pytest.approx(0.9))


def test_localisation_decides_at_which_limits_a_box_counts() -> None:
    truth, found = Tracks([0], [1], [[0, 0, 100, 100]]), Tracks([0], [1], [[0, 0, 100, 62]])  # IoU .62
    evaluator = TrackingEvaluator()
    evaluator.update("one", truth, found, num_frames=1)
    figures = evaluator.compute().classes["pedestrian"]["one"]
    assert figures["HOTA_TP_alpha"] == (1,) * 12 + (0,) * 7  # .05 … .60
    assert figures["HOTA"] == pytest.approx(12 / 19)
    assert figures["LocA"] == pytest.approx((12 * 0.62 + 7 * 1) / 19)  # 1 where nothing is matched


EMPTY = Tracks([], [], [])


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        (walk([1] * 10), EMPTY, {"HOTA": 0, "MOTA": 0, "IDF1": 0, "CLR_FN": 10, "CLR_FP": 0, "ML": 1, "LocA": 1}),
        (EMPTY, walk([1] * 10), {"HOTA": 0, "MOTA": 0, "IDF1": 0, "CLR_FN": 0, "CLR_FP": 10, "GT_IDs": 0}),
        (EMPTY, EMPTY, {"HOTA": 0, "MOTA": 0, "IDF1": 0, "Dets": 0, "GT_Dets": 0}),
        (walk([1]), walk([4]), {"HOTA": 1, "MOTA": 1, "IDF1": 1, "IDSW": 0, "MT": 1}),
        (walk([1]), walk([4], start=1), {"HOTA": 0, "MOTA": -1 + 1 - 1, "CLR_FP": 1, "CLR_FN": 1}),
    ],
    ids=["no results", "no truth", "neither", "one frame", "other frames"],
)
def test_where_there_is_little(truth: Tracks, found: Tracks, expected: dict[str, float]) -> None:
    stats = evaluate(truth, found)
    assert {name: stats[name] for name in expected} == pytest.approx(expected)
    assert all(map(math.isfinite, stats.values()))


@pytest.mark.parametrize(
    ("role", "false"), [(Role.IGNORED, 0), (Role.BYSTANDER, 10), (Role.REGION, 0), (Role.NONE, 10)]
)
def test_what_a_box_that_does_not_count_does_to_a_result_on_it(role: Role, false: int) -> None:
    both = together(walk([1] * 10), walk([2] * 10, y=500))
    truth = Tracks(both.frames, both.ids, both.boxes, np.where(both.ids == 2, role, Role.COUNTED))
    stats = evaluate(truth, together(walk([7] * 10), walk([8] * 10, y=500)))
    assert (stats["CLR_FP"], stats["CLR_FN"], stats["GT_Dets"]) == (false, 0, 10)


def test_small_results_on_nothing_are_taken_out_and_small_ones_on_a_person_stay() -> None:
    frames = np.zeros(2, np.int64)
    truth = Tracks(frames[:1], [1], [[0, 0, 10, 20]])
    found = Tracks(frames, [1, 2], [[0, 0, 10, 20], [300, 0, 310, 20]])
    assert evaluate(truth, found, 1)["CLR_FP"] == 1
    assert evaluate(truth, found, 1, min_height=25)["CLR_FP"] == 0
    assert evaluate(truth, found, 1, min_height=25)["CLR_TP"] == 1


def test_combined_counts_add_up_and_sequences_are_not_averaged() -> None:
    evaluator = TrackingEvaluator()
    evaluator.update("long", walk([1] * 30), walk([1] * 30), num_frames=30)
    evaluator.update("short", walk([1] * 10), walk([None] * 10), num_frames=10)
    result = evaluator.compute().classes["pedestrian"]
    assert list(result) == ["long", "short", COMBINED]
    assert result[COMBINED]["MOTA"] == pytest.approx(30 / 40)
    assert result[COMBINED]["IDF1"] == pytest.approx(30 / (30 + 10 / 2))
    assert result[COMBINED]["HOTA"] == pytest.approx(math.sqrt(30 / 40 * 1))


def test_evaluators_merge_after_a_journey_to_another_process() -> None:
    whole, first, second = TrackingEvaluator(), TrackingEvaluator(), TrackingEvaluator()
    for name, evaluator in (("a", first), ("b", second)):
        truth, found = walk([1] * 10), walk([3] * (4 if name == "a" else 7))
        for one in (whole, evaluator):
            one.update(name, truth, found, num_frames=10)
            one.update(name, truth, EMPTY, num_frames=10)  # known already: passed over
    first.merge(pickle.loads(pickle.dumps(second)))
    assert len(first) == 2 and first.compute() == whole.compute()
    with pytest.raises(ValueError, match="cannot merge"):
        first.merge(TrackingEvaluator(["car"]))
    with pytest.raises(ValueError, match="no sequence was given"):
        TrackingEvaluator().compute()


def test_classes_are_evaluated_by_themselves() -> None:
    evaluator = TrackingEvaluator(["car", "person"])
    evaluator.update("a", walk([1] * 4), walk([1] * 4), num_frames=4, class_name="car")
    evaluator.update("a", walk([1] * 4), EMPTY, num_frames=4, class_name="person")
    result: TrackingResult = evaluator.compute()
    assert (result.stats["car/MOTA"], result.stats["person/MOTA"], len(evaluator)) == (1, 0, 1)
    table = str(result).splitlines()
    assert [line.split()[0] for line in table if line] == ["car", "a", COMBINED, "person", "a", COMBINED]
    with pytest.raises(ValueError, match="'dog' is none of"):
        evaluator.update("b", EMPTY, EMPTY, num_frames=1, class_name="dog")


def test_detections_and_annotations_of_a_sequence() -> None:
    def boxes(*xs: float) -> NDArray[np.float32]:
        return np.array([[x, 0, x + 30, 60] for x in xs], np.float32).reshape(-1, 4)

    def truth(xs: list[float], labels: list[int], ids: list[int], ignore: list[bool]) -> SimpleNamespace:
        return SimpleNamespace(
            boxes=boxes(*xs), labels=np.array(labels), ids=np.array(ids), ignore=np.array(ignore, np.bool_)
        )

    # Of label 1: a person, one to ignore, and a region for any class; and something of label 0.
    frame = truth([0, 100, 200, 300], [1, 1, -1, 0], [4, -1, -1, 5], [False, True, True, False])
    annotations = [frame, truth([], [], [], []), frame]
    found = Detections(boxes(0, 100, 205, 400), [1, 1, 1, 1], [0.9] * 4, track_ids=np.arange(4))
    tracked = [found, Detections(boxes(), [], [], track_ids=[]), found]
    stats = evaluate(Tracks.from_annotations(annotations, 1), Tracks.from_detections(tracked, 1), 3)
    assert (stats["CLR_TP"], stats["CLR_FN"], stats["CLR_FP"], stats["GT_Dets"]) == (2, 0, 2, 2)
    assert len(Tracks.from_detections(tracked, 0)) == len(Tracks.from_detections([])) == 0
    assert len(Tracks.from_annotations([])) == 0
    with pytest.raises(ValueError, match="frame 0: the detections have no track_ids"):
        Tracks.from_detections([Detections.empty()])


@pytest.mark.parametrize(
    ("change", "row", "message"),
    [
        ({"ids": [1, 2, 1, 1]}, 3, "the identity 1 is in frame 1 twice"),
        ({"ids": [1, 2, 1, -1]}, 3, "no tracker has seen"),
        ({"frames": [0, -2, 1, 1]}, 1, "a frame of 0 or more"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, 1, 1], [0, math.nan, 1, 1], [0, 0, 1, 1]]}, 2, "four finite numbers"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, math.inf, 1], [0, 0, 1, 1], [0, 0, 1, 1]]}, 1, "four finite numbers"),
    ],
)
def test_rows_that_are_wrong_are_named(change: dict[str, list[float]], row: int, message: str) -> None:
    rows = {"frames": [0, 0, 1, 1], "ids": [1, 2, 1, 2], "boxes": [[0, 0, 1, 1]] * 4}
    Tracks(**rows)  # type: ignore[arg-type]
    with pytest.raises(RowError, match=message) as error:
        Tracks(**{**rows, **change})  # type: ignore[arg-type]
    assert error.value.row == row
    with pytest.raises(ValueError, match="one length"):
        Tracks(**{**rows, "ids": [1]})  # type: ignore[arg-type]


def test_boxes_beyond_the_sequence_and_its_name() -> None:
    evaluator = TrackingEvaluator()
    with pytest.raises(ValueError, match=r"results of a: boxes in frame 9, but the sequence has 9 frames, 0 … 8"):
        evaluator.update("a", walk([1] * 9), walk([1] * 10), num_frames=9)
    with pytest.raises(ValueError, match="truth of a"):
        evaluator.update("a", walk([1] * 10), walk([1] * 9), num_frames=9)
    with pytest.raises(ValueError, match="cannot be called COMBINED"):
        evaluator.update(COMBINED, EMPTY, EMPTY, num_frames=9)


def test_boxes_without_area_overlap_nothing() -> None:
    truth = Tracks([0, 0], [1, 2], [[0, 0, 10, 10], [50, 50, 50, 80]])
    found = Tracks([0, 0, 0], [1, 2, 3], [[10, 10, 0, 0], [50, 50, 50, 80], [0, 0, 10, 0]])
    stats = evaluate(truth, found, 1)
    assert (stats["CLR_TP"], stats["CLR_FP"], stats["CLR_FN"]) == (0, 3, 2)


def crowd(counts: list[int]) -> Tracks:
    """So many boxes side by side in each frame, which don't overlap one another."""
    frames = np.repeat(np.arange(len(counts)), counts)
    ids = np.concatenate([np.arange(count) for count in counts])
    corners = np.stack([ids % 40, ids // 40], axis=1) * 20.0
    return Tracks(frames, ids, np.concatenate([corners, corners + 15], axis=1))


@pytest.mark.parametrize(
    ("counts", "limit"),
    [
        ([256] * 300, 300 * 256 * 256 * 8 / 4),  # bytes; matrices of all pairs would be four times that
        ([1] * 10_000 + [400], 20 * 400 * 400 * 8),  # one crowded frame is not the measure of the others
    ],
)
def test_memory_is_that_of_what_overlaps(counts: list[int], limit: float) -> None:
    tracks = crowd(counts)
    tracemalloc.start()
    try:
        stats = evaluate(tracks, tracks, len(counts))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stats["HOTA"] == pytest.approx(1)
    assert peak < limit
