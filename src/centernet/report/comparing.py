"""Two models on the same images: differences with intervals, and the objects that one finds and the other misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.evaluation.bootstrap import FEW, CocoDraws, Interval, draw, interval
from centernet.evaluation.collecting import Collected, text_table
from centernet.evaluation.errors import RIGHT, Errors
from centernet.evaluation.figures import tracking_stats
from centernet.evaluation.matches import Matches
from centernet.inference.validation import Validation
from centernet.report.diagnosis import above
from centernet.report.pictures import Picture, pair_picture, places
from centernet.whole import write_json, write_text

_SHOWN = 6  # images on each side
_TRACKS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1")


@dataclass(frozen=True)
class Difference:
    """A figure of both models, and by how much the second is above the first; the interval is of 95 %, paired."""

    name: str
    first: float
    second: float
    interval: Interval | None

    @property
    def value(self) -> float:
        """Second less first."""
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """True where the interval leaves 0 out."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        values = {"first": self.first, "second": self.second, "difference": self.value}
        return {"name": self.name, **values, "interval": self.interval, "clear": self.is_clear}


@dataclass(frozen=True)
class Comparison:
    """The differences of two models on the same images.

    Attributes:
        names: of the two.
        images: that both were judged on.
        figures: differences of COCO's twelve, and of tracks.
        classes: differences of the AP of each class, the largest first.
        only_first, only_second: by the id of an image, how many objects only one of them finds.
        validations: of the two, for the pictures.
        thresholds: from which on a detection finds an object: the score of each model's best F1.
    """

    names: tuple[str, str]
    images: int
    figures: list[Difference]
    classes: list[Difference]
    only_first: dict[int, int] = field(default_factory=dict)
    only_second: dict[int, int] = field(default_factory=dict)
    validations: tuple[Validation, Validation] | None = None
    thresholds: tuple[float, float] = (0.0, 0.0)

    def table(self) -> str:
        """Return the differences as lines of text."""
        rows: list[Sequence[object]] = [["", *self.names, "difference", "95 %"]]
        for one in self.figures:
            rows.append([one.name, one.first, one.second, f"{one.value:+.3f}", self._words(one)])
        objects = sum(self.only_first.values()), sum(self.only_second.values())
        lines = [f"{self.images} images", *text_table(rows)]
        lines += [f"objects that only {name} finds: {count}" for name, count in zip(self.names, objects, strict=True)]
        return "\n".join(lines)

    def _words(self, one: Difference) -> str:
        if one.interval is None:
            return "not known"
        return f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}" + (", clear" if one.is_clear else "")


def compare(names: tuple[str, str], first: Validation, second: Validation) -> Comparison:
    """Compare two validations of the same data set, in pairs: both are drawn the same images again.

    Raises:
        ValueError: they are of different images or classes.
    """
    ids = first.evaluator.image_ids()
    if ids != second.evaluator.image_ids() or first.evaluator.class_names != second.evaluator.class_names:
        raise ValueError(f"{names[0]} and {names[1]} were not judged on the same images and classes")
    results = [one.compute() if one.result is None else one.result for one in (first, second)]
    class_names = first.evaluator.class_names
    weights = draw(len(ids)) if len(ids) < FEW else draw(2, 0)
    collected = [one.evaluator.collected() for one in (first, second)]
    matches = [Matches.of(one, len(class_names)) for one in collected]
    draws = [CocoDraws.of(one, len(class_names), weights) for one in matches] if len(weights) else []

    def difference(
        name: str, values: Sequence[float], samples: Sequence[NDArray[np.float64]], units: int
    ) -> Difference:
        there = min(values) > -1 and len(samples) == 2
        found = interval(samples[1] - samples[0], values[1] - values[0], units) if there else None
        return Difference(name, values[0], values[1], found)

    figures = [
        difference(name, [one.coco.stats[name] for one in results], [one.figures[name] for one in draws], len(ids))
        for name in results[0].coco.stats
    ]
    figures += _tracks(first, second, difference)
    classes = []
    for label, name in enumerate(class_names):
        values = [one.coco.per_class[label].ap for one in results]
        if results[0].coco.per_class[label].objects:
            classes.append(difference(name, values, [one.classes[:, label] for one in draws], len(ids)))
    limits = tuple(_threshold(one) for one in matches)
    found = [_found(one, limit, len(class_names)) for one, limit in zip(collected, limits, strict=True)]
    image = collected[0].truth_image[collected[0].truth_label != -1]
    only = [np.bincount(image[a & ~b], minlength=len(ids)) for a, b in (found, found[::-1])]
    by_image = [{ids[place]: int(counts[place]) for place in np.flatnonzero(counts).tolist()} for counts in only]
    classes.sort(key=lambda one: -abs(one.value))
    return Comparison(
        names, len(ids), figures, classes, by_image[0], by_image[1], (first, second), (limits[0], limits[1])
    )


def _tracks(first: Validation, second: Validation, difference: Any) -> list[Difference]:
    pair = [(one.result.tracking, one.tracks) for one in (first, second) if one.result is not None]
    if any(result is None or tracks is None for result, tracks in pair):
        return []
    sequences = len(pair[0][1])  # type: ignore[arg-type]
    weights = draw(sequences) if sequences > 1 else draw(2, 0)
    drawn = [[tracking_stats(one) for one in tracks.draws(weights)] for _, tracks in pair]  # type: ignore[union-attr]
    stats = [tracking_stats(result) for result, _ in pair]  # type: ignore[arg-type]
    return [
        difference(
            name, [one[name] for one in stats],
            [np.array([one[name] for one in of_model]) for of_model in drawn] if sequences > 1 else [], sequences,
        )
        for name in _TRACKS
    ]  # fmt: skip


def _threshold(matches: Matches) -> float:
    from centernet.evaluation.reliability import best_f1

    keep = matches.counted[0, 0]
    return best_f1(matches.score[keep], matches.true[0, 0][keep], int(matches.objects[0].sum()))[0]


def _found(collected: Collected, limit: float, num_classes: int) -> NDArray[np.bool_]:
    """Return which true boxes of a class of their own are found."""
    errors = Errors.of(above(collected, limit), num_classes)
    own = int((collected.truth_label != -1).sum())
    return np.equal(errors.truth[:own], RIGHT)


def write_comparison(folder: Path, comparison: Comparison, *, notes: Sequence[str] = ()) -> Path:
    """Write the page of a comparison, and its values beside it; returns the page."""
    from centernet.report.page import PAGE, VALUES, render

    pictures = [_pictures(comparison, 0), _pictures(comparison, 1)]
    paths = _paths(comparison)
    content: dict[str, Any] = {
        "title": f"{comparison.names[0]} and {comparison.names[1]}",
        "names": list(comparison.names),
        "images": comparison.images,
        "notes": list(notes),
        "figures": [one.to_dict() for one in comparison.figures],
        "classes": [one.to_dict() for one in comparison.classes],
        "only_first": _rows(comparison.only_first, paths),
        "only_second": _rows(comparison.only_second, paths),
        "thresholds": list(comparison.thresholds),
    }
    page = render("model_comparison.html", content=content, pictures=pictures)
    write_text(folder / PAGE, page, errors="backslashreplace")
    write_json(folder / VALUES, content, indent=1)
    return folder / PAGE


def _paths(comparison: Comparison) -> dict[int, str]:
    dataset = comparison.validations[0].dataset if comparison.validations else None
    if dataset is None:
        return {}
    return {image_id: str(dataset.path(index)) for image_id, index in places(dataset).items()}


def _rows(only: Mapping[int, int], paths: Mapping[int, str]) -> list[dict[str, Any]]:
    rows = sorted(only.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"image": paths.get(image_id, str(image_id)), "objects": count} for image_id, count in rows]


def _pictures(comparison: Comparison, side: int) -> list[Picture]:
    """Draw the images in which one model finds most that the other misses."""
    if comparison.validations is None or (dataset := comparison.validations[0].dataset) is None:
        return []
    only = comparison.only_second if side else comparison.only_first
    ids, place_of = comparison.validations[0].evaluator.image_ids(), places(dataset)
    names = comparison.validations[0].evaluator.class_names
    collected = [one.evaluator.collected() for one in comparison.validations]
    found = [_found(one, limit, len(names)) for one, limit in zip(collected, comparison.thresholds, strict=True)]
    own = np.flatnonzero(collected[0].truth_label != -1)
    drawn = []
    for image_id, count in sorted(only.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN]:
        boxes = []
        for number in np.flatnonzero(collected[0].truth_image[own] == ids.index(image_id)).tolist():
            by = found[0][number], found[1][number]
            kind = {(True, True): "right", (True, False): "a", (False, True): "b", (False, False): "Miss"}[by]
            row = own[number]
            if not collected[0].truth_ignore[row]:
                boxes.append((collected[0].truth_boxes[row].tolist(), kind, names[collected[0].truth_label[row]]))
        index = place_of[image_id]
        caption = f"{dataset.path(index).name}: {count} that only {comparison.names[side]} finds"
        shown = pair_picture(dataset, index, boxes, caption)
        drawn += [] if shown is None else [shown]
    return drawn
