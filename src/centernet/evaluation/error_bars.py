"""Intervals of 95 % for the figures of a validation: what other images of the same kind might have given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .bootstrap import DRAWS, FEW, CocoDraws, Interval, average_precision, draw, interval, mean, sums_by, within
from .collecting import Collected, EvaluationResult, Evaluator, Floats, Ints
from .figures import EVALUATORS, ValidationResult, tracking_stats
from .keypoints import KeypointEvaluator
from .matches import Matches
from .tracking import TrackingEvaluator
from .voc import IGNORED, TRUE_POSITIVE, judge

_OWN_DRAWS = 100  # of figures that are computed anew for each draw
_COUNTS = ("IDSW",)


@dataclass(frozen=True)
class ErrorBars:
    """Intervals of the figures that are there; a figure without one is not in it.

    Attributes:
        images: that were drawn again; 0 where there are so many that none was.
        sequences: that were drawn again for the figures of tracks.
        figures: by the names of `ValidationResult.stats`.
        classes: of the AP of each class, by its name.
    """

    images: int = 0
    sequences: int = 0
    figures: Mapping[str, Interval] = field(default_factory=dict)
    classes: Mapping[str, Interval] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        evaluator: Evaluator,
        result: ValidationResult,
        benchmark: str | None = None,
        tracks: TrackingEvaluator | None = None,
        keypoints: KeypointEvaluator | None = None,
        *,
        few: int = FEW,
    ) -> ErrorBars:
        """Compute the intervals of a validation's figures.

        Args:
            evaluator: that has collected the images.
            result: its figures.
            benchmark: the data set's own, see `EVALUATORS`.
            tracks: the evaluator of its videos.
            keypoints: the evaluator of its keypoints.
            few: figures of so many images or more get none.
        """
        figures: dict[str, Interval | None] = {}
        classes: dict[str, Interval | None] = {}
        images, names = len(evaluator), evaluator.class_names
        if images < few:
            collected, weights = evaluator.collected(), draw(images)
            matches = Matches.of(collected, len(names))
            coco = CocoDraws.of(matches, len(names), weights)
            figures |= _intervals(coco.figures, result.coco.stats, images)
            holding = _images_of(collected, len(names))
            for label, one in enumerate(result.coco.per_class):
                found = interval(coco.classes[:, label], one.ap, int(holding[label]))
                classes[one.name] = within(found)
            figures |= _intervals(voc_draws(collected, len(names), weights), result.voc.stats, images)
            if result.own is not None and benchmark is not None:
                figures |= _anew(evaluator, partial(EVALUATORS[benchmark], names), result.own)
            if result.keypoints is not None and keypoints is not None:
                figures |= _anew(keypoints, partial(KeypointEvaluator, names, keypoints.skeleton), result.keypoints)
        sequences = 0 if tracks is None else len(tracks)
        if tracks is not None and result.tracking is not None and images < few:
            drawn = [tracking_stats(one) for one in tracks.draws(draw(sequences))] if sequences > 1 else []
            samples = {name: np.array([one[name] for one in drawn]) for name in (drawn[0] if drawn else ())}
            figures |= _intervals(samples, tracking_stats(result.tracking), sequences)
        there = {name: found for name, found in figures.items() if found is not None}
        of_classes = {name: found for name, found in classes.items() if found is not None}
        return cls(images if images < few else 0, sequences if images < few else 0, there, of_classes)

    def table(self) -> str:
        """Return the intervals as lines of text; nothing where there is none."""
        if not self.figures:
            return ""
        what = f"{self.images} images"
        if self.sequences:
            what += f", and for tracks {self.sequences} sequences"
            what += "" if self.sequences > 1 else " (one alone gives no interval)"
        texts = [f"{name} {text(found)}" for name, found in self.figures.items() if name in SHOWN or "/" in name]
        lines = [", ".join(texts[start : start + 5]) for start in range(0, len(texts), 5)]
        return "\n".join([f"95 % intervals, of {what} drawn again:", *lines])

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "images": self.images,
            "sequences": self.sequences,
            "draws": DRAWS,
            "figures": {name: list(found) for name, found in self.figures.items()},
            "per_class": {name: list(found) for name, found in self.classes.items()},
        }


SHOWN = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100", "mAP_allpoint", "HOTA", "DetA", "AssA", "MOTA", "IDF1")


def text(found: Interval) -> str:
    """Return an interval as .341–.367."""
    return "–".join(f"{value:.3f}".removeprefix("0") for value in found)


def voc_draws(collected: Collected, num_classes: int, weights: Ints) -> dict[str, Floats]:
    """Return Pascal VOC's two means in each draw."""
    collected = collected.with_a_region_for_each_class(num_classes)
    verdicts = judge(collected, iou_threshold=0.5, inclusive=False)
    order = np.lexsort((-collected.score, collected.label))
    verdicts, label = verdicts[order], collected.label[order]
    counting = np.flatnonzero(~collected.truth_ignore)
    parts: dict[str, list[Floats]] = {"mAP_11point": [], "mAP_allpoint": []}
    for part in np.array_split(weights.astype(np.int32), max(1, len(weights) * len(order) >> 20)):
        often, counted = part[:, collected.image[order]], verdicts != IGNORED
        objects = sums_by(part[:, collected.truth_image[counting]], collected.truth_label[counting], num_classes)
        there = np.where(objects > 0, 1.0, np.nan)
        sums = np.cumsum(often * counted, axis=1, dtype=np.int32)
        for name, recalls in (("mAP_11point", np.linspace(0, 1, 11)), ("mAP_allpoint", None)):
            hits = verdicts == TRUE_POSITIVE
            ap = average_precision(often, sums, counted, hits, counted, label, objects, recalls=recalls)
            parts[name].append(mean(there * ap))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _anew(
    evaluator: Evaluator | KeypointEvaluator,
    empty: Callable[[], Evaluator | KeypointEvaluator],
    result: EvaluationResult,
) -> dict[str, Interval | None]:
    """Return the intervals of figures that are computed anew for each draw, by an evaluator of their kind."""
    images: list[Any] = [evaluator._images[image_id] for image_id in sorted(evaluator._images)]
    samples: dict[str, list[float]] = {}
    for often in draw(len(images), _OWN_DRAWS):
        drawn = empty()
        rows = np.repeat(np.arange(len(images)), often).tolist()
        drawn._images = {number: images[row] for number, row in enumerate(rows)}
        for name, value in drawn.compute().stats.items():
            samples.setdefault(name, []).append(np.nan if value == -1 else float(value))
    values = {f"{result.title}/{name}": np.array(of_draws) for name, of_draws in samples.items()}
    return _intervals(values, {f"{result.title}/{name}": value for name, value in result.stats.items()}, len(images))


def _intervals(samples: Mapping[str, Floats], figures: Mapping[str, float], units: int) -> dict[str, Interval | None]:
    found = {name: interval(values, figures[name], units) for name, values in samples.items()}
    return {name: within(one, *_bounds(name)) for name, one in found.items()}


def _bounds(name: str) -> Interval:
    """Return the least and the highest value that a figure can have."""
    own = name.rpartition("/")[2]
    return (0.0, np.inf) if own in _COUNTS else (-np.inf, 1.0) if own == "MOTA" else (0.0, 1.0)


def _images_of(collected: Collected, num_classes: int) -> Ints:
    """Return C, in how many images an object of each class is."""
    counting = ~collected.truth_ignore
    pairs = np.unique(collected.truth_image[counting] * num_classes + collected.truth_label[counting])
    return np.bincount(pairs % num_classes, minlength=num_classes)
