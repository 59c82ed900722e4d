"""Error bars: figures of images that are drawn again and again, with replacement, out of those that were evaluated.

A draw is a number for each image, how often it was drawn, and the figures of all draws are computed together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .collecting import Bools, Floats, Ints
from .matches import Matches

DRAWS = 200
FEW = 1000
"""Figures of fewer images than these are given with an interval."""
_UNDERSTATED = 1.05  # draws show a little less than the spread that there is: benchmarks/intervals.py
_RECALLS = np.linspace(0.0, 1.0, 101)
_AT_A_TIME = 1 << 20  # numbers in an array

Interval = tuple[float, float]


def draw(images: int, draws: int = DRAWS, *, seed: int = 0) -> Ints:
    """Return draws×images: how often each image is in each draw."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, images, (draws, images))
    flat = (chosen + np.arange(draws)[:, None] * images).reshape(-1)
    return np.bincount(flat, minlength=draws * images).reshape(draws, images)


def interval(samples: Floats, figure: float, units: int) -> Interval | None:
    """Return the interval of 95 % of a figure whose values in the draws are given; None where it cannot be told.

    It is the figure, less the bias that the draws show, give or take Student's quantile of their spread about the
    figure. Percentiles would lie too high: draws have fewer different images, on which precisions are easier to reach.

    Args:
        samples: values in the draws, NaN where there is none.
        figure: of all images; -1 where there is none.
        units: that were drawn: images, or sequences.
    """
    values = samples[np.isfinite(samples)]
    if len(values) < 20 or units < 2 or figure == -1:
        return None
    from scipy.special import stdtrit  # a tenth of a second to import

    middle = 2 * figure - values.mean()
    spread = _UNDERSTATED * math.sqrt(((values - figure) ** 2).mean() * units / (units - 1))
    reach = float(stdtrit(units - 1, 0.975)) * spread
    return float(middle - reach), float(middle + reach)


def within(found: Interval | None, low: float = 0.0, high: float = 1.0) -> Interval | None:
    """Return an interval cut to the values that a figure can have."""
    return None if found is None else (max(found[0], low), min(found[1], high))


@dataclass(frozen=True)
class CocoDraws:
    """COCO's figures in B draws; NaN where a draw has no object.

    Attributes:
        figures: B values of each of the twelve.
        classes: B×C, the AP of each class.
    """

    figures: Mapping[str, Floats]
    classes: Floats

    @classmethod
    def of(cls, matches: Matches, num_classes: int, weights: Ints) -> CocoDraws:
        """Compute the figures of all draws; `weights` is B×images, see `draw`."""
        parts = [_coco(matches, num_classes, part) for part in _parts(weights, len(matches.row))]
        figures = {name: np.concatenate([figures[name] for figures, _ in parts]) for name in parts[0][0]}
        return cls(figures, np.concatenate([classes for _, classes in parts]))


def _parts(weights: Ints, columns: int) -> Iterator[NDArray[np.int32]]:
    step = max(1, _AT_A_TIME // max(columns, 1))
    for start in range(0, len(weights), step):
        yield weights[start : start + step].astype(np.int32)


def _coco(matches: Matches, num_classes: int, weights: NDArray[np.int32]) -> tuple[dict[str, Floats], Floats]:
    often = weights[:, matches.image]
    figures: dict[str, Floats] = {}
    classes = np.full((len(weights), num_classes), np.nan)
    for size, letter in enumerate(("", "s", "m", "l")):
        counting = np.flatnonzero(matches.objects[size])
        objects = sums_by(weights[:, matches.truth_image[counting]], matches.truth_label[counting], num_classes)
        there = np.where(objects > 0, 1.0, np.nan)
        base = np.cumsum(often * matches.base[size], axis=1, dtype=np.int32)
        precisions = [
            average_precision(often, base, matches.base[size], matches.true[size, t], matches.counted[size, t],
                              matches.label, objects)
            for t in range(matches.true.shape[1])
        ]  # fmt: skip
        ap = [there * values for values in precisions]
        if not letter:
            classes = np.mean(ap, axis=0)
            figures |= {"AP": mean(classes), "AP50": mean(ap[0]), "AP75": mean(ap[5])}
        else:
            figures[f"AP{letter}"] = mean(np.mean(ap, axis=0))
        for most in (1, 10, 100) if not letter else (100,):
            hits = (matches.true[size] & (matches.rank < most)).sum(axis=0)  # at how many limits
            columns = np.flatnonzero(hits)
            found = sums_by(often[:, columns] * hits[columns], matches.label[columns], num_classes)
            recall = there * found / np.maximum(objects, 1) / matches.true.shape[1]
            figures[f"AR{letter or most}"] = mean(recall)
    return figures, classes


def average_precision(
    often: NDArray[np.int32],
    base_sum: NDArray[np.int32],
    base: Bools,
    true: Bools,
    counted: Bools,
    label: Ints,
    objects: Floats,
    *,
    recalls: Floats | None = _RECALLS,
) -> Floats:
    """Return B×C, the average precision of each class in each draw: the mean over recalls, or the whole area.

    Args:
        often: B×M, how often each detection, by class and falling score, was drawn.
        base_sum: its running sum over the detections in `base`.
        base: M, detections that count, but for a few that differ in `counted`.
        true: M, right ones.
        counted: M, right or wrong ones.
        label: M, the class.
        objects: B×C, the number of objects.
        recalls: at which the precision counts; None for the whole area under the curve.
    """
    result = np.zeros(objects.shape)
    hits = np.flatnonzero(true)
    if not len(hits):
        return result
    differ = np.flatnonzero(base != counted)
    step = counted[differ].astype(np.int32) - base[differ].astype(np.int32)
    changes = np.zeros((len(often), len(differ) + 1), np.int32)
    np.cumsum(often[:, differ] * step, axis=1, dtype=np.int32, out=changes[:, 1:])
    starts = np.searchsorted(label, label[hits], "left")  # of the class

    def all_until(places: Ints) -> NDArray[np.int32]:  # counted ones before a place
        before = np.where(places > 0, base_sum[:, np.maximum(places - 1, 0)], 0)
        return np.asarray(before + changes[:, np.searchsorted(differ, places, "left")], np.int32)

    first = np.append(True, label[hits][1:] != label[hits][:-1])
    runs = np.flatnonzero(first)
    run = np.cumsum(first) - 1
    weight = often[:, hits]
    found = np.cumsum(weight, axis=1, dtype=np.int32)
    found -= (found[:, runs] - weight[:, runs])[:, run]
    number = all_until(hits + 1) - all_until(starts)
    precision = found / np.maximum(number, 1)
    above = 2.0 * (run.max() - run)  # a class is above those behind it, so that none sees another's precision
    precision = np.maximum.accumulate((precision + above)[:, ::-1], axis=1)[:, ::-1] - above
    classes = label[hits][runs]
    most = np.maximum(objects[:, classes], 1)
    if recalls is None:
        result[:, classes] = np.add.reduceat(weight * precision, runs, axis=1) / most
        return result
    reached = np.searchsorted(recalls, found / most[:, run], "right")
    gained = np.diff(reached, axis=1, prepend=0)
    gained[:, runs] = reached[:, runs]
    result[:, classes] = np.add.reduceat(gained * precision, runs, axis=1) / len(recalls)
    return result


def sums_by(values: NDArray[np.generic], label: Ints, num_classes: int) -> Floats:
    """Return B×C, the sums of B×M values over the columns of each class."""
    sums = np.zeros((len(values), num_classes))
    order = np.argsort(label, kind="stable")
    classes, starts = np.unique(label[order], return_index=True)
    if len(classes):
        sums[:, classes] = np.add.reduceat(values[:, order], starts, axis=1)
    return sums


def mean(values: Floats) -> Floats:
    """Return the mean of each row over the values that are there; NaN where none is."""
    there = np.isfinite(values)
    number = there.sum(axis=1)
    return np.where(number > 0, np.where(there, values, 0).sum(axis=1) / np.maximum(number, 1), np.nan)
