"""The shapes of CVAT's XML: boxes around them, keypoints of skeletons, and tracks between their stated shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from .listed import Pose
from .shapes import Box, around, around_ellipse, around_turned
from .text import number

_CORNERS = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")  # of a cuboid


class Shape(NamedTuple):
    """A shape of a track; its box is None where it is outside and has no place."""

    frame: int
    place: int
    box: Box | None
    degrees: float  # by which the box is turned
    outside: bool
    keyframe: bool
    pose: Pose


def moving(shapes: Sequence[Shape], frames: range) -> Iterator[tuple[int, int, Box, Pose]]:
    """Yield (frame, place, box, keypoints) of a track in each of the frames that it is in.

    It stays behind its last shape as CVAT has it, but not where the frames between are stated too (``keyframe`` is 0
    for some), and not where its only shape is one frame before the last: to such CVAT's writer adds no end.
    """
    ended = any(not shape.keyframe for shape in shapes)
    ended |= len(shapes) == 1 and len(frames) > 1 and shapes[0].frame == frames[-2]
    for shape, after in zip(shapes, [*shapes, None][1:], strict=True):
        if shape.outside or shape.box is None:
            continue
        stop = after.frame if after else shape.frame + 1 if ended else frames.stop
        for frame in range(shape.frame, min(stop, frames.stop)):
            if frame in frames:
                share = (frame - shape.frame) / (after.frame - shape.frame) if after else 0.0
                pose = _pose_between(shape.pose, after.pose if after else {}, share)
                box = around([x, y] for x, y, _ in pose.values()) if pose else _between(shape, after, share)
                yield frame, shape.place, box, pose


def _between(shape: Shape, after: Shape | None, share: float) -> Box:
    """The box around a shape on its way to the next, on the shorter way round."""
    x1, y1, x2, y2 = shape.box or (0.0, 0.0, 0.0, 0.0)
    degrees = shape.degrees
    if share and after and after.box:
        x1, y1, x2, y2 = (low + (high - low) * share for low, high in zip((x1, y1, x2, y2), after.box, strict=True))
        degrees += ((after.degrees - degrees + 180) % 360 - 180) * share
    return around_turned((x1, y1, x2, y2), degrees)


def _pose_between(pose: Pose, after: Pose, share: float) -> Pose:
    """Keypoints on their way to the next stated ones; those that have no place there stay."""
    moved = {}
    for name, (x, y, visible) in pose.items():
        to_x, to_y, _ = after.get(name, (x, y, visible))
        moved[name] = x + (to_x - x) * share, y + (to_y - y) * share, visible
    return moved


def pose_of(skeleton: Element) -> Pose:
    """The labelled points of a skeleton; a ValueError where it has none, or one has no place."""
    pose = {}
    for point in skeleton.iterfind("points"):
        if point.get("outside") == "1":
            continue
        x, _, y = point.get("points", "").partition(",")
        pose[point.get("label", "")] = number(x), number(y), 1.0 if point.get("occluded") == "1" else 2.0
    if not pose:
        raise ValueError("it has no point that is not outside")
    return pose


_TAG = re.compile(r"<(circle|line)\b([^>]*)>")
_ATTRIBUTE = re.compile(r'data-([a-z-]+)="([^"]*)"')


def edges_of(svg: str, joints: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of keypoints that lines of a label's drawing join."""
    tags: list[tuple[str, dict[str, str]]] = [(tag, dict(_ATTRIBUTE.findall(rest))) for tag, rest in _TAG.findall(svg)]
    names = {str(place): name for place, name in enumerate(joints, start=1)}
    for tag, attributes in tags:
        if tag == "circle" and "label-name" in attributes:
            names[attributes.get("node-id", attributes.get("element-id", ""))] = attributes["label-name"]
    lines = (
        (attributes.get("node-from", ""), attributes.get("node-to", "")) for tag, attributes in tags if tag == "line"
    )
    pairs = [(names[a], names[b]) for a, b in lines if a in names and b in names]
    return [(a, b) for a, b in pairs if a in joints and b in joints]


def geometry(shape: Element) -> tuple[Box, float]:
    """The box of a shape, and the angle by which it is turned about its centre; a ValueError where it has none."""

    def numbers(*names: str) -> list[float]:
        missing = [name for name in names if name not in shape.attrib]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        return [number(shape.attrib[name]) for name in names]

    degrees = number(shape.get("rotation", "0"))
    if not math.isfinite(degrees):
        raise ValueError(f"rotation is {degrees}")
    if shape.tag == "box":
        x1, y1, x2, y2 = numbers("xtl", "ytl", "xbr", "ybr")
        return (x1, y1, x2, y2), degrees
    if shape.tag == "ellipse":
        x, y, *radii = numbers("cx", "cy", "rx", "ry")
        return around_ellipse((x, y), radii, degrees), 0.0
    if shape.tag == "mask":
        left, top, width, height = numbers("left", "top", "width", "height")
        return (left, top, left + width, top + height), 0.0
    if shape.tag == "cuboid":
        values = numbers(*(f"{axis}{corner}" for corner in _CORNERS for axis in "xy"))
        return around(zip(values[::2], values[1::2], strict=True)), 0.0
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("points: expected x,y;x,y;...")
    return around([number(value) for value in pair] for pair in pairs), 0.0


def whole_number(text: str | None) -> int | None:
    """A whole number from 0 on below 2³¹; None for anything else."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
