"""KITTI's average precision for 2D boxes, with 40 and with 11 recall positions, at three difficulties.

The rules are those of the benchmark's own program (Geiger et al., CVPR 2012; its port in OpenPCDet gives the same), see
docs/datasets.md. Figures are fractions 0 … 1 (KITTI publishes per cent); -1 says that no object counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from centernet.annotations.kitti import DONT_CARE, NEIGHBOURS, difficulty

from .collecting import Bools, Collected, EvaluationResult, Evaluator, Floats, ImageColumns, Ints, text_table
from .pairs import Pairs, largest_share_inside

DIFFICULTIES = ("easy", "moderate", "hard")
_MIN_HEIGHT = (40.0, 25.0, 25.0)
_OVERLAP = {"car": 0.7}  # others .5
_DONT_CARE = DONT_CARE.lower()
_POINTS = 41
_COUNTED, _IGNORED, _NOT_USED = 0, 1, -1


@dataclass(frozen=True)
class KittiClassResult:
    """Average precision of a class at one difficulty (-1 where no object counts), and the precision at 41 recalls."""

    name: str
    difficulty: str
    objects: int
    ap_r40: float
    ap_r11: float
    precision: tuple[float, ...]


@dataclass(frozen=True)
class KittiResult(EvaluationResult):
    """KITTI's figures, average precision by class and difficulty: ``Car/easy/R40``."""

    title: ClassVar[str] = "KITTI"

    stats: Mapping[str, float]
    per_class: tuple[KittiClassResult, ...]
    images: int

    def table(self) -> str:
        """Return the figures as lines of text."""
        rows = [[f"{r.name} {r.difficulty}", r.objects, r.ap_r40, r.ap_r11] for r in self.per_class]
        return "\n".join([f"{self.images} frames", *text_table([["class", "objects", "AP R40", "AP R11"], *rows])])


class KittiEvaluator(Evaluator):
    """Computes KITTI's figures of each class.

    The truth is as `centernet.data.KITTITracking` gives it. A neighbour of a class (a van) has the label of that class
    (Car) and is to be ignored, or is of a class that bears its own name; a DontCare region has the label -1. Its levels
    of `difficulty` are 0 easy, 1 moderate, 2 hard, 3 none; without them all objects are taken to be wholly visible.
    """

    def compute(self) -> KittiResult:
        """Compute the average precision of each class at each difficulty."""
        return _evaluate(self.collected(), self.class_names, self.class_names)


def evaluate_kitti(
    truth: str | Path | Mapping[str, Sequence[str]],
    detections: str | Path | Mapping[str, Sequence[str]],
    *,
    class_names: Sequence[str] = ("Car", "Pedestrian", "Cyclist"),
) -> KittiResult:
    """Evaluate result files against label files.

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
    numbers: dict[str, int] = {}  # of the types, in lower case, as they come
    images = []
    for frame in sorted(labels):
        label, values = _parse(labels[frame], f"labels of {frame}", numbers)
        found_label, found_values = _parse(found.get(frame, ()), f"detections of {frame}", numbers)
        region = label == numbers.get(_DONT_CARE, -1)
        areas, levels = np.zeros(len(label)), difficulty(*values.T[:2])
        columns = values[:, 2:6], np.where(region, -1, label), region, areas, levels
        images.append(ImageColumns(*columns, found_values[:, 2:6], found_label, found_values[:, 6]))
    return _evaluate(Collected.of(images), list(numbers), class_names)


def _parse(lines: Iterable[str], where: str, numbers: dict[str, int]) -> tuple[Ints, Floats]:
    """Read rows as labels, which `numbers` gives to types, and N×7: truncation, occlusion, box, score (0 in labels)."""
    labels, values = [], []
    for place, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            if len(fields) not in (15, 16):
                raise ValueError(f"{len(fields)} columns, expected 15 or 16")
            values.append([float(field) for field in (*fields[1:3], *fields[4:8], *(fields[15:] or "0"))])
        except ValueError as error:
            raise ValueError(f"{where}: line {place}: no row of a label or result file ({error})") from error
        labels.append(numbers.setdefault(fields[0].lower(), len(numbers)))
    return np.array(labels, np.int64), np.array(values, np.float64).reshape(-1, 7)


def _read_folder(folder: Path) -> dict[str, list[str]]:
    """Return the rows by frame, without the first two columns of tracking labels."""
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


class _Frames(NamedTuple):
    """All frames: N objects, M detections, and pairs of these that overlap by more than the lowest limit."""

    objects: Collected
    truth: NDArray[np.str_]  # N names, in lower case, DontCare among them
    kind: NDArray[np.str_]  # M names
    truth_height: Floats
    height: Floats
    dont_care: Floats  # M, the largest share of each detection that lies in one DontCare region
    pairs: Pairs


def _evaluate(collected: Collected, label_names: Sequence[str], class_names: Sequence[str]) -> KittiResult:
    """Compute the figures of some classes; the labels are places in `label_names`."""
    truth_boxes, boxes = collected.truth_boxes, collected.boxes
    region = collected.truth_label == -1
    dont_care = largest_share_inside(collected.truth_image[region], truth_boxes[region], collected.image, boxes)
    pairs = Pairs.find(collected.truth_image, truth_boxes, collected.image, boxes)
    pairs = pairs.where(~region[pairs.truth] & (pairs.iou > 0.5))
    names = np.array([*(name.lower() for name in label_names), _DONT_CARE], np.str_)  # the last is that of -1
    truth_height, height = truth_boxes[:, 3] - truth_boxes[:, 1], np.abs(boxes[:, 3] - boxes[:, 1])
    kinds = names[collected.truth_label], names[collected.label]
    frames = _Frames(collected, *kinds, truth_height, height, dont_care, pairs)
    results = [_evaluate_class(frames, name, level) for name in class_names for level in range(len(DIFFICULTIES))]
    stats = {}
    for result in results:
        stats[f"{result.name}/{result.difficulty}/R40"] = result.ap_r40
        stats[f"{result.name}/{result.difficulty}/R11"] = result.ap_r11
    return KittiResult(stats, tuple(results), collected.num_images)


def _evaluate_class(frames: _Frames, name: str, level: int) -> KittiClassResult:
    own = name.lower()
    limit, min_height = _OVERLAP.get(own, 0.5), _MIN_HEIGHT[level]
    hard = frames.objects.truth_ignore | (frames.objects.truth_difficulty > level) | (frames.truth_height <= min_height)
    truth_state = np.where((frames.truth == own) & ~hard, _COUNTED, _NOT_USED)
    neighbours = [kind.lower() for kind, other in NEIGHBOURS.items() if other.lower() == own]
    truth_state[((frames.truth == own) & hard) | np.isin(frames.truth, neighbours)] = _IGNORED
    state = np.where(frames.kind == own, _COUNTED, _NOT_USED)
    state[frames.height < min_height] = _IGNORED

    objects = int((truth_state == _COUNTED).sum())
    precision = np.zeros(_POINTS)
    if objects == 0:
        return KittiClassResult(name, DIFFICULTIES[level], 0, -1.0, -1.0, tuple(precision.tolist()))
    used = (frames.pairs.iou > limit) & (truth_state[frames.pairs.truth] >= 0) & (state[frames.pairs.found] >= 0)
    rounds = _rounds(frames, used)
    _, _, scores = _assign(rounds, frames, truth_state, state, np.array([-np.inf]), by_score=True)
    thresholds = _thresholds(scores, objects)
    taken, hits, _ = _assign(rounds, frames, truth_state, state, thresholds, by_score=False)
    open_ = (state == _COUNTED) & (frames.dont_care <= limit)
    false = (open_ & (frames.objects.score >= thresholds[:, None]) & ~taken).sum(axis=1)
    precision[: len(thresholds)] = hits / np.maximum(hits + false, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    ap_r40, ap_r11 = float(precision[1:].mean()), float(precision[::4].mean())
    return KittiClassResult(name, DIFFICULTIES[level], objects, ap_r40, ap_r11, tuple(precision.tolist()))


def _rounds(frames: _Frames, used: Bools) -> list[Ints]:
    """Return the pairs of the first object of each frame, then those of the second, and so on: indices of pairs."""
    # Objects choose in turn, but a frame's choices don't touch another's: the n-th of every frame choose at once.
    pairs = np.flatnonzero(used)
    truth = np.unique(frames.pairs.truth[pairs])
    of_frame = frames.objects.truth_image[truth]  # ascending, as the objects are
    turn = np.arange(len(truth)) - np.searchsorted(of_frame, of_frame)
    turn_of_pair = turn[np.searchsorted(truth, frames.pairs.truth[pairs])]
    order = np.argsort(turn_of_pair, kind="stable")
    return np.split(pairs[order], np.searchsorted(turn_of_pair[order], np.arange(1, turn.max(initial=-1) + 1)))


def _assign(
    rounds: Sequence[Ints], frames: _Frames, truth_state: Ints, state: Ints, thresholds: Floats, *, by_score: bool
) -> tuple[Bools, Ints, Floats]:
    """Give detections to objects at T thresholds: T×M, those taken; T, numbers of true positives; scores of these."""
    taken = np.zeros((len(thresholds), len(frames.objects.score)), np.bool_)
    hits = np.zeros(len(thresholds), np.int64)
    scores = [np.zeros(0)]
    for pairs in rounds:
        found, truth = frames.pairs.found[pairs], frames.pairs.truth[pairs]
        if by_score:
            worth = frames.objects.score[found]
        else:  # one to be ignored is worth less than any other, the first of them most
            worth = np.where(state[found] == _COUNTED, 1 + frames.pairs.iou[pairs], 1 / (2.0 + np.arange(len(pairs))))
        free = (frames.objects.score[found] >= thresholds[:, None]) & ~taken[:, found]
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
        scores.append(frames.objects.score[chosen[hit]])
    return taken, hits, np.concatenate(scores)


def _thresholds(scores: Floats, objects: int) -> Floats:
    """Return the scores at which the recall comes nearest to 0, 1/40, 2/40 …"""
    chosen, recall = [], 0.0
    for place, score in enumerate(np.sort(scores)[::-1].tolist(), start=1):
        left, right = place / objects, (place + 1) / objects
        if place == len(scores) or right - recall >= recall - left:
            chosen.append(score)
            recall += 1 / (_POINTS - 1)
    return np.array(chosen)
