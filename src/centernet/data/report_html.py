"""The report on data sets as one page that needs nothing else: images are embedded, boxes are drawn by the browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from .. import boxes as box_ops
from ..drawing import class_colour
from ..images import ImageError
from ..skeleton import Skeleton
from .fields import keypoint_field
from .findings import KINDS, DatasetReport, Finding, counted
from .report_text import report_tables
from .sample import Bools, Floats, Ints, Pixels

_EXAMPLES = 3  # of a kind of finding, or of a class
_ANY_CLASS = "any class"


class Figure(NamedTuple):
    """An image for the page."""

    source: str  # of an <img>
    width: int
    height: int
    boxes: list[tuple[float, float, float, float, str, bool]]  # x, y, width, height, class name, ignored
    classes: list[str]  # among them
    caption: str
    heat: str  # a heatmap to lay over it, as the source of an <img>; or nothing
    limbs: list[tuple[float, float, float, float, str]]  # from x y to x y, and the side: left, right or middle
    joints: list[tuple[float, float, str, bool, str]]  # x, y, side, hidden, name


def figure(
    image: Pixels,
    boxes: Floats,
    labels: Ints,
    ignore: Bools,
    class_names: Sequence[str],
    caption: str,
    *,
    heatmap: Floats | None = None,
    width: int = 240,
    keypoints: Floats | None = None,
    skeleton: Skeleton | None = None,
) -> Figure:
    """Return an image (uint8 H×W×3 RGB) with its boxes for the page, reduced to a width.

    Boxes are in pixels of the image; label -1 is any class; the heatmap is float32 h×w in 0..1. `keypoints` are float32
    N×K×3 (x, y, visibility) of the skeleton's K.
    """
    names = [*class_names, _ANY_CLASS]
    corners = box_ops.xyxy_to_xywh(boxes).astype(float).round(1)
    rows = zip(corners.tolist(), labels.tolist(), ignore.tolist(), strict=True)
    shapes = [(*corner, names[label], flag) for corner, label, flag in rows]
    present = [class_names[label] for label in np.unique(labels[labels >= 0])]
    heat = "" if heatmap is None else _heat(heatmap)
    limbs, joints = _pose(keypoints, skeleton) if keypoints is not None and skeleton is not None else ([], [])
    return Figure(
        jpeg_source(image, width), image.shape[1], image.shape[0], shapes, present, caption, heat, limbs, joints
    )


def _pose(keypoints: Floats, skeleton: Skeleton) -> tuple[list[Any], list[Any]]:
    """Return the limbs and joints of all objects for a figure; those that are not labelled aren't there."""
    limbs, joints, sides = [], [], [("left", "middle", "right")[side + 1] for side in skeleton.sides]
    for pose in keypoints.astype(float).round(1).tolist():
        for a, b in skeleton.edges:
            if pose[a][2] and pose[b][2]:
                side = sides[a] if sides[a] == sides[b] else "middle"
                limbs.append((*pose[a][:2], *pose[b][:2], side))
        for (x, y, visible), side, name in zip(pose, sides, skeleton.names, strict=True):
            if visible:
                joints.append((x, y, side, visible == 1, name))
    return limbs, joints


def report_as_html(
    report: DatasetReport,
    *,
    title: str,
    subtitle: str = "",
    samples: Sequence[Figure] | str = (),
    configuration: str = "",
) -> str:
    """Return the page, with samples of training or why there are none, and YAML to train with."""
    figures = () if isinstance(samples, str) else samples
    names = dict.fromkeys([*report.class_names, *(name for shown in figures for name in shown.classes)])
    loader = PackageLoader("centernet")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.filters["counted"] = counted
    return templates.get_template("dataset_report.html").render(
        report=report,
        title=title,
        subtitle=subtitle,
        samples=samples,
        configuration=configuration,
        tables=report_tables(report),
        colours=class_colours(names),
        kinds=KINDS,
        figure_of=_figure_of,
        examples=_examples,
        crops=_crops,
    )


def class_colours(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each class as CSS has it: that of drawings."""
    return {name: "rgb({} {} {})".format(*class_colour(place)) for place, name in enumerate(names)}


def _figure_of(report: DatasetReport, name: str, index: int, with_split: bool = False) -> Figure | None:
    """Return a sample with its boxes; None where the image cannot be read."""
    dataset = next(split.dataset for split in report.splits if split.name == name)
    truth = dataset.annotation(index)
    caption = f"{name}: {truth.path.name}" if with_split else truth.path.name
    shown = truth.boxes, truth.labels, truth.ignore, dataset.class_names, caption
    with suppress(ImageError):
        field = keypoint_field(dataset.fields)
        pose: dict[str, Any] = {}
        if field is not None:
            pose = {"keypoints": truth.data[field.name], "skeleton": field.skeleton}
        return figure(dataset.image(index).read()[0], *shown, **pose)
    return None


def _examples(report: DatasetReport, findings: Sequence[Finding]) -> list[Figure]:
    """Return the first samples that findings are about, once each; near-duplicates are shown in pairs instead."""
    if findings[0].kind in ("near-duplicate", "unreadable-image"):
        return []
    samples = dict.fromkeys((finding.split, finding.sample) for finding in findings if finding.sample is not None)
    figures = [_figure_of(report, split, index) for split, index in list(samples)[:_EXAMPLES]]
    return [shown for shown in figures if shown is not None]


def _crops(report: DatasetReport, class_name: str) -> list[str]:
    """Return some objects of a class, each with a little of what is around it, as sources of an <img>."""
    label, found = report.class_names.index(class_name), list[str]()
    for split in report.splits:
        for index, (x1, y1, x2, y2) in split.tally.first_of[label][: _EXAMPLES - len(found)]:
            margin = 2 + 0.1 * max(x2 - x1, y2 - y1)
            left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
            with suppress(ImageError):
                image = split.dataset.image(index).read()[0]
                crop = image[top : int(y2 + margin) + 1, left : int(x2 + margin) + 1]
                found += [jpeg_source(crop, 96, 64)] if crop.size else []
    return found


def jpeg_source(image: Pixels, width: int, height: int = 100_000) -> str:
    """Return an image reduced into width×height, as the source of an <img>."""
    small = Image.fromarray(image)
    small.thumbnail((width, height))
    return _source(small, "jpeg", quality=78)


def _heat(heatmap: Floats) -> str:
    """Return a heatmap to lay over an image: orange to white, transparent where there is nothing."""
    heat = heatmap.clip(0, 1)[..., None]
    colours = np.concatenate([255 + 0 * heat, 90 + 165 * heat**2, 255 * heat**4, 230 * heat**0.7], axis=-1)
    return _source(Image.fromarray(colours.round().astype(np.uint8)), "png", optimize=True)


def _source(image: Image.Image, format: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return f"data:image/{format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
