"""The report on data sets as one page that needs nothing else: images are embedded, boxes are drawn by the browser.

The pages of all reports are in `templates`; text that comes from files is escaped there.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from ..images import ImageError
from .findings import DatasetReport, Finding, SplitReport, cell_titles, counted, kind_of, size_text
from .sample import Bools, Floats, Ints, Pixels

_FINDINGS = 200  # of a kind on the page
_CROPS = 60  # classes with examples
_PAIRS = 12
_EXAMPLES = 3
_ANY_CLASS = "any class"


@dataclass(frozen=True)
class TrainingSample:
    """An image as the network is shown it in training.

    Attributes:
        title: the name of the image.
        image: uint8 H×W×3 RGB.
        boxes: float32 N×4, input pixels.
        labels: int64 N.
        ignore: bool N.
        heatmap: float32 h×w in 0..1, the target's largest value over the classes.
    """

    title: str
    image: Pixels
    boxes: Floats
    labels: Ints
    ignore: Bools
    heatmap: Floats


def report_as_html(
    report: DatasetReport,
    *,
    title: str,
    subtitle: str = "",
    samples: Sequence[TrainingSample] = (),
    without_samples: str = "",
    class_names: Sequence[str] = (),
    configuration: str = "",
) -> str:
    """Return the page.

    Args:
        report: of `audit`.
        title: what was checked.
        subtitle: a line below it.
        samples: of training, with their targets.
        without_samples: why there are none.
        class_names: what the labels of `samples` mean.
        configuration: YAML to train with, shown at the end.
    """
    names = report.class_names()
    colours = {  # the golden angle: neighbours differ
        name: f"hsl({(number * 137.508 + 205) % 360:.0f} 75% 52%)"
        for number, name in enumerate(dict.fromkeys([*names, *class_names]))
    }
    templates = Environment(
        loader=PackageLoader("centernet"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.filters["counted"] = counted
    cells = {split.name: split.tally.cells.sum(axis=0) for split in report.splits}
    return templates.get_template("dataset_report.html").render(
        report=report,
        title=title,
        subtitle=subtitle,
        samples=samples,
        without_samples=without_samples,
        class_names=class_names,
        configuration=configuration,
        input_size=size_text(report.preprocessing),
        figures=_Figures(report, colours),
        colours=colours,
        names=names,
        classes=_classes(report, names),
        sizes={name: (counts / counts.sum()).tolist() for name, counts in cells.items() if counts.sum()},
        cell_titles=cell_titles(),
        kind_of=kind_of,
        split_path=_split_path,
        most_findings=_FINDINGS,
        most_crops=_CROPS,
        most_pairs=_PAIRS,
    )


class _Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    name: str
    colour: str
    ignored: bool


class _Figure(NamedTuple):
    """An image of some (width, height) for the page, with its boxes and the colours of their classes."""

    source: str
    width: int
    height: int
    boxes: list[_Box]
    legend: dict[str, str]
    caption: str
    heat: str = ""


class _Figures:
    """Small versions of a report's images; each file is read when it is shown."""

    def __init__(self, report: DatasetReport, colours: dict[str, str]) -> None:
        self.splits = {split.name: split for split in report.splits}
        self.colours = colours

    def of_sample(self, name: str, index: int, with_split: bool = False) -> _Figure | None:
        """Return a sample with its boxes; None where the image cannot be read."""
        image = self._read(name, index)
        if image is None:
            return None
        dataset = self.splits[name].dataset
        truth = dataset.annotation(index)
        caption = f"{name}: {truth.path.name}" if with_split else truth.path.name
        return self._figure(image, 240, truth.boxes, truth.labels, truth.ignore, dataset.class_names, caption)

    def of_training(self, sample: TrainingSample, class_names: Sequence[str]) -> _Figure:
        """Return a training sample with its boxes and its heatmap."""
        caption = f"{sample.title} · {counted(int((~sample.ignore).sum()), 'object')}"
        figure = self._figure(sample.image, 320, sample.boxes, sample.labels, sample.ignore, class_names, caption)
        return figure._replace(heat=_heat(sample.heatmap))

    def examples(self, findings: Sequence[Finding]) -> list[_Figure]:
        """Return the first samples that findings are about, once each; near-duplicates are shown in pairs instead."""
        samples = {(f.split, f.sample): f.sample for f in findings if f.sample is not None}
        if findings[0].kind in ("near-duplicate", "unreadable-image"):
            return []
        figures = [self.of_sample(split, index) for (split, _), index in list(samples.items())[:_EXAMPLES]]
        return [figure for figure in figures if figure is not None]

    def crops(self, class_name: str) -> list[str]:
        """Return some objects of a class, each with a little of what is around it, as sources of an <img>."""
        found: list[str] = []
        for split in self.splits.values():
            if class_name not in split.dataset.class_names:
                continue
            for index, row in split.tally.first_of[split.dataset.class_names.index(class_name)]:
                image = self._read(split.name, index)
                boxes = split.dataset.annotation(index).boxes
                if image is None or row >= len(boxes) or len(found) == _EXAMPLES:
                    continue
                x1, y1, x2, y2 = boxes[row].tolist()
                margin = 2 + 0.1 * max(x2 - x1, y2 - y1)
                left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
                crop = image[top : int(y2 + margin) + 1, left : int(x2 + margin) + 1]
                if crop.size:
                    found.append(_jpeg(crop, 96, 64))
        return found

    def _read(self, name: str, index: int) -> Pixels | None:
        try:
            return self.splits[name].dataset.image(index).read()[0] if name in self.splits else None
        except ImageError:
            return None

    def _figure(
        self,
        image: Pixels,
        width: int,
        boxes: Floats,
        labels: Ints,
        ignore: Bools,
        class_names: Sequence[str],
        caption: str,
    ) -> _Figure:
        names = [class_names[label] if label >= 0 else _ANY_CLASS for label in labels.tolist()]
        corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(float).round(1)
        shapes = [
            _Box(x, y, across, down, name, self.colours.get(name, ""), ignored)
            for (x, y, across, down), name, ignored in zip(corners.tolist(), names, ignore.tolist(), strict=True)
        ]
        legend = {name: self.colours[name] for name in class_names if name in names}
        return _Figure(_jpeg(image, width), image.shape[1], image.shape[0], shapes, legend, caption)


def _classes(report: DatasetReport, names: Sequence[str]) -> dict[str, list[dict[str, Any] | None]]:
    """Return by class, the most frequent first, its figures in each split; None where the split lacks it."""
    rows = {name: [_class_figures(split, name) for split in report.splits] for name in names}
    return dict(sorted(rows.items(), key=lambda row: -sum(cell["objects"] for cell in row[1] if cell is not None)))


def _class_figures(split: SplitReport, name: str) -> dict[str, Any] | None:
    if name not in split.dataset.class_names:
        return None
    label, tally = split.dataset.class_names.index(name), split.tally
    counts = {"objects": tally.objects, "images": tally.images_with, "ignored": tally.ignored}
    return {"share": tally.objects[label] / max(1, tally.objects.max())} | {k: int(v[label]) for k, v in counts.items()}


def _split_path(finding: Finding) -> tuple[str, str]:
    """Return the folder and the name of a finding's file; something else than a file has no folder."""
    path = Path(finding.path)
    is_file = finding.sample is not None or path.suffix
    return (f"{path.parent}/", path.name) if is_file else ("", finding.path)


def _jpeg(image: Pixels, width: int, height: int = 100_000) -> str:
    """Return an image reduced into width×height, as the source of an <img>."""
    small = Image.fromarray(image)
    small.thumbnail((width, height))
    return _source(small, "jpeg", quality=78)


def _heat(heatmap: Floats) -> str:
    """Return a heatmap to lay over an image: orange to white, transparent where there is nothing."""
    heat = heatmap.clip(0, 1)[..., None]
    colours = np.concatenate([255 + 0 * heat, 90 + 165 * heat**2, 255 * heat**4, 230 * heat**0.7], axis=-1)
    return _source(Image.fromarray(colours.round().astype(np.uint8), "RGBA"), "png", optimize=True)


def _source(image: Image.Image, format: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return f"data:image/{format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
