"""Measure the speed of the association alone, beside ByteTrack with an object and a full Kalman filter for each track.

OMP_NUM_THREADS=1 python benchmarks/association.py

Both get the same detections: objects of a person's size that walk over an image as wide as it takes to give each the
same room, with noisy boxes, some of low scores and one in twenty missing. Times are those of the processor, the median
over frames, the two in turns. The reference is written here as such trackers usually are: a Python object for each
track, 8×8 matrices one track after another, `scipy.optimize.linear_sum_assignment` on IoU matrices. It does what the
preset "bytetrack" does, stage by stage; `same` says whether both gave the same boxes, scores and identities in every
frame.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import linear_sum_assignment

from centernet import Detections, Tracker
from centernet.boxes import iou

Array = NDArray[np.float64]

WARM_UP = 20  # frames that aren't timed


class ReferenceTrack:
    """One box with the Kalman filter of DeepSORT, step by step as its paper's code goes about it."""

    motion = np.eye(8) + np.eye(8, k=4)
    observation = np.eye(4, 8)

    def __init__(self, number: int, start: int, measured: Array, score: float) -> None:
        self.number, self.start, self.score = number, start, score
        self.missed = 0
        self.confirmed = start == 1
        h = measured[3]
        deviations = [h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]
        self.mean = np.concatenate([measured, np.zeros(4)])
        self.covariance = np.diag(np.square(deviations))

    def predict(self) -> None:
        h = self.mean[3]
        noise = np.diag(np.square([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]))
        self.mean = self.motion @ self.mean
        self.covariance = np.linalg.multi_dot((self.motion, self.covariance, self.motion.T)) + noise

    def update(self, measured: Array) -> None:
        h = self.mean[3]
        noise = np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))
        expected = self.observation @ self.mean
        innovation = np.linalg.multi_dot((self.observation, self.covariance, self.observation.T)) + noise
        factor = cho_factor(innovation, lower=True, check_finite=False)
        gain = cho_solve(factor, (self.covariance @ self.observation.T).T, check_finite=False).T
        self.mean = self.mean + (measured - expected) @ gain.T
        self.covariance = self.covariance - np.linalg.multi_dot((gain, innovation, gain.T))

    def box(self) -> Array:
        x, y, aspect, h = self.mean[:4]
        return np.array([x - aspect * h / 2, y - h / 2, x + aspect * h / 2, y + h / 2])


class ReferenceTracker:
    """ByteTrack with the thresholds of the preset: lists of tracks, one after another."""

    def __init__(self, patience: int = 30) -> None:
        self.tracked: list[ReferenceTrack] = []
        self.lost: list[ReferenceTrack] = []
        self.patience = patience
        self.frame = self.count = 0

    def update(self, detections: Detections) -> Detections:
        self.frame += 1
        boxes, scores = detections.bboxes.astype(np.float64), detections.scores.astype(np.float64)
        high = [i for i in range(len(boxes)) if scores[i] > 0.6]
        low = [i for i in range(len(boxes)) if 0.1 < scores[i] <= 0.6]
        confirmed = [track for track in self.tracked if track.confirmed]
        unconfirmed = [track for track in self.tracked if not track.confirmed]
        pool = confirmed + self.lost
        for track in pool:
            if track.missed:
                track.mean[7] = 0
            track.predict()
        for track in self.tracked + self.lost:
            track.missed += 1
        pool, high = self.match(pool, high, boxes, scores, 0.8, True)
        recent = [track for track in pool if track.missed == 1]
        self.match(recent, low, boxes, scores, 0.5, False)
        unconfirmed, high = self.match(unconfirmed, high, boxes, scores, 0.7, True)

        found = [track for track in self.lost if not track.missed]
        missed = [track for track in confirmed if track.missed]
        self.tracked = [track for track in self.tracked if not track.missed]
        for i in high:
            if scores[i] >= 0.7:
                self.count += 1
                self.tracked.append(ReferenceTrack(self.count, self.frame, measurement(boxes[i]), scores[i]))
        self.tracked += found
        self.lost = [track for track in self.lost if track.missed] + missed
        self.lost = [track for track in self.lost if track.missed <= self.patience + 1]
        self.drop_duplicates()
        shown = [track for track in self.tracked if track.confirmed]
        return Detections(
            np.array([track.box() for track in shown]),
            np.zeros(len(shown), dtype=np.int64),
            np.array([track.score for track in shown]),
            track_ids=np.array([track.number for track in shown]),
        )

    def match(
        self, tracks: list[ReferenceTrack], found: list[int], boxes: Array, scores: Array, limit: float, fuse: bool
    ) -> tuple[list[ReferenceTrack], list[int]]:
        """Update the tracks that are found. Returns the tracks and detections that are left."""
        if not tracks or not found:
            return tracks, found
        cost = 1 - iou(np.array([track.box() for track in tracks]), boxes[found], inclusive=True)
        if fuse:
            cost = 1 - (1 - cost) * scores[found]
        rows, columns = linear_sum_assignment(np.minimum(cost, limit))
        pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < limit]
        for i, j in pairs:
            tracks[i].update(measurement(boxes[found[j]]))
            if tracks[i].missed == 1:
                tracks[i].score = scores[found[j]]
            tracks[i].missed, tracks[i].confirmed = 0, True
        taken, used = {i for i, _ in pairs}, {j for _, j in pairs}
        return [t for i, t in enumerate(tracks) if i not in taken], [f for j, f in enumerate(found) if j not in used]

    def drop_duplicates(self) -> None:
        if not self.tracked or not self.lost:
            return
        boxes = np.array([track.box() for track in self.tracked]), np.array([track.box() for track in self.lost])
        ended = set()
        for i, j in zip(*np.nonzero(1 - iou(*boxes, inclusive=True) < 0.15), strict=True):
            one, other = self.tracked[i], self.lost[j]
            older = self.frame - one.start > self.frame - other.missed - other.start
            ended.add(other.number if older else one.number)
        self.tracked = [track for track in self.tracked if track.number not in ended]
        self.lost = [track for track in self.lost if track.number not in ended]


def measurement(box: Array) -> Array:
    """Return centre, aspect ratio and height of a box."""
    x1, y1, x2, y2 = box
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / (y2 - y1), y2 - y1])


def crowd(objects: int, frames: int, seed: int = 0) -> list[Detections]:
    """Return detections of people who walk across a wide image."""
    random = np.random.default_rng(seed)
    width, height = 40 * objects, 1080.0
    size = np.stack([random.uniform(30, 50, objects), random.uniform(90, 130, objects)], axis=1)
    centre = random.uniform((0, 60), (width, height - 60), (objects, 2))
    speed = random.normal(0, 2, (objects, 2))
    scenes = []
    for _ in range(frames):
        centre = (centre + speed) % (width, height)
        seen = random.random(objects) > 0.05
        middle = (centre + random.normal(0, 1.5, (objects, 2)))[seen]
        half = (size * random.normal(1, 0.03, (objects, 2)))[seen] / 2
        scores = random.uniform(0.4, 1, int(seen.sum()))
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        scenes.append(Detections(boxes, np.zeros(len(boxes), dtype=np.int64), scores))
    return scenes


def measure(objects: int, frames: int, preset: str) -> None:
    """Print one line of the table."""
    scenes = crowd(objects, frames + WARM_UP)
    tracker, reference = Tracker(preset), ReferenceTracker()
    ours, theirs = [], []
    same = True
    for number, scene in enumerate(scenes):
        start = time.process_time()
        tracks = tracker.update(scene)
        between = time.process_time()
        expected = reference.update(scene)
        end = time.process_time()
        if number >= WARM_UP:
            ours.append(between - start)
            theirs.append(end - between)
        same = same and bool(
            np.array_equal(tracks.track_ids, expected.track_ids)
            and np.allclose(tracks.bboxes, expected.bboxes, atol=1e-2)
            and np.allclose(tracks.scores, expected.scores)
        )
    own, other = np.median(ours), np.median(theirs)
    print(
        f"{preset:<10}{objects:>8}{1 / own:>12.0f}{1 / other:>12.0f}{other / own:>8.1f}{'yes' if same else '-':>7}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--presets", nargs="+", default=["bytetrack", "default", "sort"])
    options = parser.parse_args()
    print(f"{'preset':<10}{'objects':>8}{'frames/s':>12}{'reference':>12}{'times':>8}{'same':>7}")
    for objects in options.objects:
        for preset in options.presets:
            measure(objects, options.frames, preset)


if __name__ == "__main__":
    main()
