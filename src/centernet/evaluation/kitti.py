"""KITTI's average precision for 2D boxes, with 40 and with 11 recall positions, at three difficulties.

The rules are those of the benchmark's own program (Geiger et al., CVPR 2012; its port in OpenPCDet gives the same):

- An object counts if it is of the class, high enough (more than 40, 25, 25 pixels), and not too occluded (0, 1, 2) or
  truncated (.15, .3, .5). Objects of the class that are not so, and those of a neighbouring class (Van for Car,
  Person_sitting for Pedestrian), are to be ignored. A detection below that height is ignored, whatever its class.
- The objects of a frame choose in the order of the file, among detections that overlap by more than .7 (Car) or .5.
- First each takes the one with the best score. The scores of these true positives give up to 41 score thresholds, at
  recalls 1/40 apart.
- Then, at each threshold, each takes the one with the largest overlap, one to be ignored only if there is no other.
  What is left over is a false positive unless it lies in a DontCare region by that share of its own area.
- Precision at a recall is the best at that recall or more. R40 is the mean over 1/40 … 1, R11 that over 0, .1 … 1.

Objects choose in turn, but a frame's choices don't touch another's: the n-th object of every frame chooses at once, at
all thresholds. Figures are fractions 0 … 1 (KITTI publishes per cent); -1 says that no object counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import intersection_over_area, iou
from centernet.detections import Detections

DIFFICULTIES = ("easy", "moderate", "hard")
_MIN_HEIGHT = (40.0, 25.0, 25.0)
_MAX_OCCLUSION = (0, 1, 2)
_MAX_TRUNCATION = (0.15, 0.3, 0.5)
_OVERLAP = {"car": 0.7}  # others .5
_NEIGHBOURS = {"car": {"van"}, "pedestrian": {"person_sitting", "person"}}  # tracking labels say Person
_POINTS = 41
_COUNTED, _IGNORED, _NOT_USED = 0, 1, -1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class KittiObjects:
    """N rows of a KITTI label or result file.

    Attributes:
        types: N names as in the file.
        boxes: N×4 float64 ``x1 y1 x2 y2``, original pixels.
        truncation, occlusion: N float64; -1 in results.
        scores: N float64; 0 in labels.
    """

    types: tuple[str, ...]
    boxes: Floats
    truncation: Floats
    occlusion: Floats
    scores: Floats

    @classmethod
    def parse(cls, lines: Iterable[str], where: str = "lines") -> KittiObjects:
        """Rows of 15 columns (labels) or 16 (results, the last is the score).

        Raises:
            ValueError: another number of columns, or no number where one belongs; with the line.
        """
        types, values = [], []
        for place, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields:
                continue
            try:
                if len(fields) not in (15, 16):
                    raise ValueError(f"{len(fields)} columns, expected 15 or 16")
                score = float(fields[15]) if len(fields) == 16 else 0.0
                values.append([*map(float, (fields[1], fields[2], *fields[4:8])), score])
            except ValueError as error:
                raise ValueError(f"{where}: line {place}: no row of a label or result file ({error})") from error
            types.append(fields[0])
        columns = np.array(values, np.float64).reshape(-1, 7)
        return cls(tuple(types), columns[:, 2:6], columns[:, 0], columns[:, 1], columns[:, 6])

    @classmethod
    def from_detections(cls, detections: Detections) -> KittiObjects:
        """Detections whose class names are KITTI's types."""
        unknown = np.full(len(detections), -1.0)
        boxes, scores = detections.bboxes.astype(np.float64), detections.scores.astype(np.float64)
        return cls(tuple(detections.names), boxes, unknown, unknown, scores)


@dataclass(frozen=True)
class KittiClassResult:
    """Figures of a class at one difficulty.

    Attributes:
        name: of the class.
        difficulty: easy, moderate or hard.
        objects: number of objects that count.
        ap_r40, ap_r11: average precision 0 … 1; -1 where no object counts.
        precision: the best precision at the recalls 0, 1/40 … 1 or more.
    """

    name: str
    difficulty: str
    objects: int
    ap_r40: float
    ap_r11: float
    precision: tuple[float, ...]


@dataclass(frozen=True)
class KittiResult:
    """What an evaluation found; `str()` of it is a table for people.

    Attributes:
        per_class: the figures of each class, easy, moderate, hard.
        frames: number of frames.
    """

    per_class: tuple[KittiClassResult, ...]
    frames: int

    @property
    def stats(self) -> dict[str, float]:
        """AP by class and difficulty: ``Car/easy/R40``."""
        stats = {}
        for result in self.per_class:
            stats[f"{result.name}/{result.difficulty}/R40"] = result.ap_r40
            stats[f"{result.name}/{result.difficulty}/R11"] = result.ap_r11
        return stats

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """The figures as lines of text."""
        width = max([len(result.name) for result in self.per_class] + [len("class")])
        lines = [f"{self.frames} frames", f"{'class':<{width}}  {'':<9}{'objects':>9}{'AP R40':>8}{'AP R11':>8}"]
        for r in self.per_class:
            figures = "".join(f"{'–' if ap < 0 else format(ap, '.3f'):>8}" for ap in (r.ap_r40, r.ap_r11))
            lines.append(f"{r.name:<{width}}  {r.difficulty:<9}{r.objects:>9}{figures}")
        return "\n".join(lines)


class KittiEvaluator:
    """Collects frames and computes KITTI's figures, in original pixels.

    The truth is more than `centernet.data.Annotation` holds (occlusion, truncation, neighbouring classes), so it comes
    as the rows of label files.

    Args:
        class_names: of KITTI's types, those to evaluate; upper and lower case are the same.
    """

    def __init__(self, class_names: Sequence[str] = ("Car", "Pedestrian", "Cyclist")) -> None:
        self.class_names = tuple(class_names)
        self._frames: dict[str, tuple[KittiObjects, KittiObjects]] = {}

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def update(self, frame: str, truth: KittiObjects, detections: KittiObjects | Detections) -> None:
        """Adds a frame; one that is known already is passed over.

        Args:
            frame: its name.
            truth: all rows of its labels, DontCare and other classes included.
            detections: what was found in it; the class names of Detections must be KITTI's types.
        """
        found = KittiObjects.from_detections(detections) if isinstance(detections, Detections) else detections
        self._frames.setdefault(frame, (truth, found))

    def merge(self, other: KittiEvaluator) -> None:
        """Adds the frames of another evaluator."""
        for frame, objects in other._frames.items():
            self._frames.setdefault(frame, objects)

    def reset(self) -> None:
        """Forgets all frames."""
        self._frames.clear()

    def compute(self) -> KittiResult:
        """The figures of all frames so far.

        Raises:
            ValueError: there was no frame.
        """
        if not self._frames:
            raise ValueError("nothing to evaluate: no frame was given; is the split empty?")
        table = _Table.of([self._frames[frame] for frame in sorted(self._frames)])
        results = [
            _evaluate(table, name, difficulty) for name in self.class_names for difficulty in range(len(DIFFICULTIES))
        ]
        return KittiResult(tuple(results), len(self._frames))


def evaluate_kitti(
    truth: str | Path | Mapping[str, Sequence[str]],
    detections: str | Path | Mapping[str, Sequence[str]],
    *,
    class_names: Sequence[str] = ("Car", "Pedestrian", "Cyclist"),
) -> KittiResult:
    """Evaluates result files against label files.

    Args:
        truth: a folder of label files, one a frame (``label_2``) or one a sequence (``label_02`` of the tracking
            benchmark); or the rows of each frame by its name. Frames without detections count.
        detections: the same with scores. Of a tracking sequence the frames are called ``0001/000000``.
        class_names: the types to evaluate.

    Raises:
        ValueError: a row that is wrong, or a frame of the detections that the truth doesn't have.
        OSError: a file cannot be read.
    """
    labels = truth if isinstance(truth, Mapping) else _read_folder(Path(truth))
    found = detections if isinstance(detections, Mapping) else _read_folder(Path(detections))
    unknown = [frame for frame in found if frame not in labels]
    if unknown:
        raise ValueError(f"{len(unknown)} frames of the detections are not in the truth, e.g. {unknown[0]!r}")
    evaluator = KittiEvaluator(class_names)
    for frame, lines in labels.items():
        results = KittiObjects.parse(found.get(frame, ()), f"detections of {frame}")
        evaluator.update(frame, KittiObjects.parse(lines, f"labels of {frame}"), results)
    return evaluator.compute()


def _read_folder(folder: Path) -> dict[str, list[str]]:
    """The rows by frame, without the first two columns of tracking labels."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise ValueError(f"{folder}: no .txt file here; expected KITTI's label or result files")
    frames: dict[str, list[str]] = {}
    for path in paths:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        if not lines or not lines[0].split()[0].isdecimal():
            frames[path.stem] = lines
            continue
        for place, line in enumerate(lines, start=1):
            frame, _, row = (*line.split(None, 2), "", "")[:3]
            if not frame.isdecimal():
                raise ValueError(f"{path}: row {place} does not begin with the number of a frame: {line[:60]!r}")
            frames.setdefault(f"{path.stem}/{int(frame):06d}", []).append(row)
    return frames


@dataclass(frozen=True)
class _Table:
    """All frames as columns.

    Attributes:
        truth, truncation, occlusion, truth_height: of all objects, frame by frame, DontCare among them.
        kind, score, height: of all detections.
        dont_care: the largest share of each detection that lies in one DontCare region.
        pair_frame, pair_truth, pair_found, pair_iou: pairs of one frame that overlap by more than the lowest limit, by
            object and then by detection.
    """

    truth: NDArray[np.str_]
    truncation: Floats
    occlusion: Floats
    truth_height: Floats
    kind: NDArray[np.str_]
    score: Floats
    height: Floats
    dont_care: Floats
    pair_frame: Ints
    pair_truth: Ints
    pair_found: Ints
    pair_iou: Floats

    @classmethod
    def of(cls, frames: Sequence[tuple[KittiObjects, KittiObjects]]) -> _Table:
        pairs: list[tuple[Any, ...]] = []
        dont_care = []
        objects = detections = 0
        for place, (truth, found) in enumerate(frames):
            region = np.array([name.lower() == "dontcare" for name in truth.types], np.bool_)
            dont_care.append(intersection_over_area(found.boxes, truth.boxes[region]).max(axis=1, initial=0))
            overlaps = iou(truth.boxes, found.boxes)
            rows, columns = np.nonzero((overlaps > 0.5) & ~region[:, None])
            pairs.append((np.full(len(rows), place), rows + objects, columns + detections, overlaps[rows, columns]))
            objects, detections = objects + len(truth.types), detections + len(found.types)
        pair_frame, pair_truth, pair_found, pair_iou = map(np.concatenate, zip(*pairs, strict=True))
        boxes = np.concatenate([truth.boxes for truth, _ in frames])
        found_boxes = np.concatenate([found.boxes for _, found in frames])
        return cls(
            truth=np.array([name.lower() for truth, _ in frames for name in truth.types], np.str_),
            truncation=np.concatenate([truth.truncation for truth, _ in frames]),
            occlusion=np.concatenate([truth.occlusion for truth, _ in frames]),
            truth_height=boxes[:, 3] - boxes[:, 1],
            kind=np.array([name.lower() for _, found in frames for name in found.types], np.str_),
            score=np.concatenate([found.scores for _, found in frames]),
            height=np.abs(found_boxes[:, 3] - found_boxes[:, 1]),
            dont_care=np.concatenate(dont_care),
            pair_frame=pair_frame,
            pair_truth=pair_truth,
            pair_found=pair_found,
            pair_iou=pair_iou,
        )


def _evaluate(table: _Table, name: str, difficulty: int) -> KittiClassResult:
    own = name.lower()
    limit, min_height = _OVERLAP.get(own, 0.5), _MIN_HEIGHT[difficulty]
    hard = (table.occlusion > _MAX_OCCLUSION[difficulty]) | (table.truncation > _MAX_TRUNCATION[difficulty])
    hard |= table.truth_height <= min_height
    truth_state = np.where((table.truth == own) & ~hard, _COUNTED, _NOT_USED)
    neighbours = np.isin(table.truth, list(_NEIGHBOURS.get(own, ())))
    truth_state[((table.truth == own) & hard) | neighbours] = _IGNORED
    state = np.where(table.kind == own, _COUNTED, _NOT_USED)
    state[table.height < min_height] = _IGNORED

    objects = int((truth_state == _COUNTED).sum())
    if objects == 0:
        return KittiClassResult(name, DIFFICULTIES[difficulty], 0, -1.0, -1.0, (0.0,) * _POINTS)
    used = (table.pair_iou > limit) & (truth_state[table.pair_truth] >= 0) & (state[table.pair_found] >= 0)
    rounds = _rounds(table, used)
    lowest = np.array([-np.inf])
    _, _, scores = _assign(rounds, table, truth_state, state, lowest, by_score=True)
    thresholds = _thresholds(scores, objects)
    taken, hits, _ = _assign(rounds, table, truth_state, state, thresholds, by_score=False)
    open_ = (state == _COUNTED) & (table.dont_care <= limit)
    false = (open_ & (table.score >= thresholds[:, None]) & ~taken).sum(axis=1)
    precision = np.zeros(_POINTS)
    precision[: len(thresholds)] = hits / np.maximum(hits + false, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return KittiClassResult(
        name=name,
        difficulty=DIFFICULTIES[difficulty],
        objects=objects,
        ap_r40=float(precision[1:].mean()),
        ap_r11=float(precision[::4].mean()),
        precision=tuple(precision.tolist()),
    )


def _rounds(table: _Table, used: NDArray[np.bool_]) -> list[Ints]:
    """The pairs of the first object of each frame, then those of the second, and so on: indices of pairs."""
    pairs = np.flatnonzero(used)
    if not len(pairs):
        return []
    truth, first = np.unique(table.pair_truth[pairs], return_index=True)
    frames = table.pair_frame[pairs[first]]  # ascending, as the objects are
    turn = np.arange(len(truth)) - np.searchsorted(frames, frames)
    turn_of_pair = turn[np.searchsorted(truth, table.pair_truth[pairs])]
    return [pairs[turn_of_pair == number] for number in range(int(turn.max()) + 1)]


def _assign(
    rounds: Sequence[Ints], table: _Table, truth_state: Ints, state: Ints, thresholds: Floats, *, by_score: bool
) -> tuple[NDArray[np.bool_], Ints, Floats]:
    """Give detections to objects at T score thresholds.

    Returns:
        T×M bool, detections that were taken; T, number of true positives; the scores of these, of all thresholds.
    """
    taken = np.zeros((len(thresholds), len(table.score)), np.bool_)
    hits = np.zeros(len(thresholds), np.int64)
    scores = [np.zeros(0)]
    for pairs in rounds:
        found, truth = table.pair_found[pairs], table.pair_truth[pairs]
        if by_score:
            worth = table.score[found]
        else:  # one to be ignored is worth less than any other, the first of them most
            worth = np.where(state[found] == _COUNTED, 1 + table.pair_iou[pairs], 1 / (2.0 + np.arange(len(pairs))))
        free = (table.score[found] >= thresholds[:, None]) & ~taken[:, found]
        worth = np.where(free, worth, -np.inf)  # T×P
        _, starts, group = np.unique(truth, return_index=True, return_inverse=True)
        best = np.maximum.reduceat(worth, starts, axis=1)  # T×G
        winner = np.where(worth == best[:, group], np.arange(len(pairs)), len(pairs))
        winner = np.minimum.reduceat(winner, starts, axis=1)
        there = best > -np.inf
        chosen = found[winner]
        at, which = np.nonzero(there)
        taken[at, chosen[at, which]] = True
        hit = there & (truth_state[truth[starts]] == _COUNTED) & (state[chosen] == _COUNTED)
        hits += hit.sum(axis=1)
        scores.append(table.score[chosen[hit]])
    return taken, hits, np.concatenate(scores)


def _thresholds(scores: Floats, objects: int) -> Floats:
    """The scores at which the recall comes nearest to 0, 1/40, 2/40 …"""
    scores = -np.sort(-scores)
    chosen = []
    recall = 0.0
    for place, score in enumerate(scores.tolist()):
        last = place == len(scores) - 1
        left, right = (place + 1) / objects, (place + (1 if last else 2)) / objects
        if not last and right - recall < recall - left:
            continue
        chosen.append(score)
        recall += 1 / (_POINTS - 1)
    return np.array(chosen)
