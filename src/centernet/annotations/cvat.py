"""CVAT's XML 1.1 for images and for videos (https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat), from CVAT
itself or from what writes its form (datumaro, FiftyOne).

Pixels count from 0. For images each ``<image>`` holds its shapes; for videos each ``<track>`` is an object, which has
its shape from frame to frame: between two stated ones it moves evenly, and it ends where ``outside`` is 1 or the video
ends. Boxes, polygons, ellipses, masks and cuboids become the boxes around them, and so do skeletons, whose points are
keypoints: ``outside`` ones are not labelled, ``occluded`` ones hidden. Polylines, points and tags have none. Nothing is
an object to ignore. Files are read as a stream.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

from .keypoints import skeleton_of
from .listed import ListedImages, ListedVideo, Pose
from .problems import DataError, Reports, UnknownKeys, opening
from .shapes import Box, around, around_ellipse, around_turned
from .text import number
from .xml import XML_ERRORS, read_elements

WITHOUT_BOX = ("polyline", "points", "tag")
"""Kinds of shapes that have no box."""
_SHAPES = ("box", "polygon", "ellipse", "mask", "cuboid", "skeleton")
_CORNERS = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")  # of a cuboid


class CvatTask(NamedTuple):
    """The frames of a video: from `start` to `stop`, each `step`."""

    name: str
    source: str  # the file of the video, where one is named
    start: int
    stop: int | None
    step: int
    size_hw: tuple[int, int] | None


@dataclass
class CvatFile:
    """The contents of a file: `listed`, and beside each of its images the subset, and the number of the frame.

    Images are named as in the file, frames of videos ``frame_000012`` as CVAT names them; in a project that has subsets
    the name begins with the subset.
    """

    listed: ListedImages
    subsets: list[str] = field(default_factory=list)  # "" without one
    frames: list[int] = field(default_factory=list)  # -1: no video's
    tasks: list[CvatTask] = field(default_factory=list)  # of each of listed.videos


def read_cvat(path: Path, report: Reports, *, subset: str | None = None, frame_rate: float = 30.0) -> CvatFile:
    """Read a file, or one subset of a project; the file says no frame rate."""
    reader = _Reader(path, report, subset, frame_rate)
    with opening(path, "annotations"):
        try:
            for element in read_elements(path):
                reader.add(element)
        except XML_ERRORS as error:
            raise DataError(f"{path}: cannot be read as XML ({error}); export it again") from error
    return reader.finish()


def find_subsets(path: Path) -> list[str]:
    """Return the subsets of a project's file in their order; empty where it has none."""
    names: dict[str, None] = {}
    with opening(path, "annotations"):
        try:
            for element in read_elements(path):
                if element.tag in ("image", "track") and element.get("subset"):
                    names[element.get("subset", "")] = None
        except XML_ERRORS:  # named when it is read
            pass
    return list(names)


class _Shape(NamedTuple):
    """A shape of a track; its box is None where it is outside and has no place."""

    frame: int
    place: int
    box: Box | None
    degrees: float  # by which the box is turned
    outside: bool
    keyframe: bool
    pose: Pose


class _Read(NamedTuple):
    """A shape as it is read: its class, its box, the angle by which that is turned, and keypoints of a skeleton."""

    label: str
    box: Box
    degrees: float
    pose: Pose


class _Reader:
    """Takes the elements of a file one by one."""

    def __init__(self, path: Path, report: Reports, subset: str | None, frame_rate: float) -> None:
        self._path, self._report, self._subset, self._rate = path, report, subset, frame_rate
        self._file = CvatFile(ListedImages("shape"))
        self._keys = UnknownKeys(["outside", "rotation", "keyframe", "label"])
        self._tasks: dict[str, CvatTask] = {}
        self._tracks: list[tuple[str, str, str, list[_Shape]]] = []  # task, subset, class, shapes
        self._left_out: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._joints: dict[str, dict[str, None]] = {}  # by class: the names of its keypoints
        self._drawings: dict[str, str] = {}  # by class: SVG that joins its keypoints
        self._posed: Counter[str] = Counter()  # objects with keypoints by class
        self._identities = 0
        self._root = ""

    def add(self, element: Element) -> None:
        """Take the root, or a child of it."""
        if not self._root:
            self._root = element.tag
            if element.tag != "annotations":
                known = " (this is Pascal VOC's: give its folder to VOC)" if element.tag == "annotation" else ""
                raise DataError(f"{self._path}: expected CVAT's <annotations>, got <{element.tag}>{known}")
        elif element.tag == "meta":
            self._add_meta(element)
        elif element.tag in ("image", "track"):
            if self._subset in (None, element.get("subset", "")):
                (self._add_image if element.tag == "image" else self._add_track)(element)
        elif element.tag in WITHOUT_BOX:
            self._left_out[element.tag] += 1
        elif element.tag != "version":
            self._unknown[element.tag] += 1

    def finish(self) -> CvatFile:
        """Return everything, videos behind images."""
        if not self._root:
            raise DataError(f"{self._path}: no CVAT annotations, the file is empty; export it again")
        self._add_videos()
        self._choose_skeleton()
        self._keys.report(self._path, self._report)
        self._report.left_out_shapes(self._path, self._left_out)
        if self._unknown:
            names = ", ".join(f"<{tag}> {count}" for tag, count in self._unknown.items())
            self._report(self._path, "unknown-key", f"elements that CVAT's XML 1.1 does not have are left out: {names}")
        return self._file

    def _choose_skeleton(self) -> None:
        """Take the keypoints that most objects have; those of others with other ones are left out."""
        kinds: Counter[tuple[str, ...]] = Counter()
        for label, count in self._posed.items():
            kinds[tuple(self._joints[label])] += count
        if not kinds:
            return
        (names, _), *others = kinds.most_common()
        label = next(label for label in self._posed if tuple(self._joints[label]) == names)
        places = {name: place for place, name in enumerate(names)}
        edges = [(places[a], places[b]) for a, b in _edges(self._drawings.get(label, ""), names)]
        listed = self._file.listed
        listed.skeleton = skeleton_of(names, edges)
        renamed = dict(zip(names, listed.skeleton.names, strict=True))
        listed.poses = {row: {renamed.get(k, k): v for k, v in pose.items()} for row, pose in listed.poses.items()}
        if others:
            text = f"the keypoints of {sum(count for _, count in others)} skeletons are others than those of {label!r}"
            self._report.note(self._path, "not-used", f"{text}: they are not read")
            labels = {other for other in self._posed if tuple(self._joints[other]) != names}
            of_row = listed.rows.rows().labels
            wrong = {listed.label(other) for other in labels}
            listed.poses = {row: pose for row, pose in listed.poses.items() if int(of_row[row]) not in wrong}

    # Classes and videos ---------------------------------------------------------------------------------------------

    def _add_meta(self, meta: Element) -> None:
        labels = [label for label in meta.iterfind(".//labels/label") if label.find("parent") is None]
        for label in meta.iterfind(".//labels/label"):
            name, parent = (label.findtext("name") or "").strip(), (label.findtext("parent") or "").strip()
            if parent and name:
                self._joints.setdefault(parent, {})[name] = None
            elif svg := label.findtext("svg"):
                self._drawings[name] = svg
        kinds = {(label.findtext("name") or "").strip(): label.findtext("type") for label in labels}
        self._file.listed.declare([name for name, kind in kinds.items() if name and kind not in WITHOUT_BOX])
        for task in (entry for entry in meta.iter() if entry.tag in ("task", "job", "project")):
            if task.find("mode") is None and task.find("size") is None:
                continue
            stated = {key: task.findtext(key) or "" for key in ("id", "name", "source", "start_frame", "stop_frame")}
            filtered = (task.findtext("frame_filter") or "").replace(" ", "").removeprefix("step=")
            start, step, size = _whole(stated["start_frame"]) or 0, _whole(filtered) or 1, _whole(task.findtext("size"))
            stop = _whole(stated["stop_frame"])
            height, width = (_whole(task.findtext(f"original_size/{key}")) for key in ("height", "width"))
            self._tasks[stated["id"]] = CvatTask(
                stated["name"],
                stated["source"],
                start,
                start + (size - 1) * step if stop is None and size else stop,
                step,
                (height, width) if height and width else None,
            )

    def _task(self, name: str) -> CvatTask:
        """The task of a track: the one of its id, or the only one."""
        if name not in self._tasks and len(self._tasks) == 1:
            return next(iter(self._tasks.values()))
        return self._tasks.get(name, CvatTask(self._path.stem, "", 0, None, 1, None))

    # Images ---------------------------------------------------------------------------------------------------------

    def _add_image(self, element: Element) -> None:
        name, subset = element.get("name", ""), element.get("subset", "")
        number_of = element.get("id", "?")
        if not name:
            self._report(self._path, "bad-row", f"image {number_of} has no name; it is left out")
            return
        size_hw = _whole(element.get("height")), _whole(element.get("width"))
        known = len(self._file.listed.names)
        full = f"{subset}/{name}" if subset else name
        image = self._image(full, subset, -1, (size_hw[0], size_hw[1]) if size_hw[0] and size_hw[1] else None)
        if image < known:
            text = f"the image {full} is there again, with {len(element)} shapes; they are left out"
            self._report(self._path, "duplicate", text)
            return
        for place, shape in enumerate(element, start=1):
            if shape.get("outside") == "1":  # written by datumaro for the frames of a video where an object isn't
                continue
            read = self._shape(shape, f"shape {place} of {full}")
            if read is not None:
                box = around_turned(read.box, read.degrees)
                self._file.listed.add(image, place, box, read.label, pose=read.pose)

    def _image(self, name: str, subset: str, frame: int, size_hw: tuple[int, int] | None) -> int:
        image = self._file.listed.image(name, self._path, size_hw)
        if image == len(self._file.subsets):
            self._file.subsets.append(subset)
            self._file.frames.append(frame)
        return image

    def _shape(self, shape: Element, where: str, label: str | None = None) -> _Read | None:
        """A shape; None where it has no box, or after a wrong one was reported."""
        if shape.tag not in _SHAPES:
            self._left_out[shape.tag if shape.tag in WITHOUT_BOX else f"<{shape.tag}> (unknown)"] += 1
            return None
        self._keys.look(shape.keys(), where)
        label = shape.get("label", "") if label is None else label
        try:
            pose = _pose(shape) if shape.tag == "skeleton" else {}
            box, degrees = (around([x, y] for x, y, _ in pose.values()), 0.0) if pose else _geometry(shape)
        except (ValueError, TypeError) as error:
            self._report(self._path, "bad-box", f"{where}: <{shape.tag}>: {error}; the box is left out")
            return None
        if not label:
            self._report(self._path, "unknown-class", f"{where}: no label; the box is left out")
            return None
        if pose:
            self._posed[label] += 1
            joints = self._joints.setdefault(label, {})
            joints |= dict.fromkeys(point.get("label", "") for point in shape.iterfind("points"))
        return _Read(label, box, degrees, pose)

    # Tracks ---------------------------------------------------------------------------------------------------------

    def _add_track(self, element: Element) -> None:
        name, label = f"track {element.get('id', '?')}", element.get("label", "")
        if not label:
            text = f"{name}: no label; its {len(element)} shapes are left out"
            self._report(self._path, "unknown-class", text)
            return
        shapes: dict[int, _Shape] = {}
        for place, entry in enumerate(element, start=1):
            shape = self._track_shape(entry, place, f"{name}, shape {place}", label)
            if shape is not None and shape.frame in shapes:
                text = f"{name}, shape {place}: frame {shape.frame} is there again; the box is left out"
                self._report(self._path, "duplicate", text)
            elif shape is not None:
                shapes[shape.frame] = shape
        in_order = [shapes[frame] for frame in sorted(shapes)]
        self._tracks.append((element.get("task_id", ""), element.get("subset", ""), label, in_order))

    def _track_shape(self, entry: Element, place: int, where: str, label: str) -> _Shape | None:
        """A shape of a track; None as for `_shape`."""
        frame, outside = _whole(entry.get("frame")), entry.get("outside", "0")
        pose: Pose = {}
        box, degrees = None, 0.0
        if entry.tag == "skeleton" and len(entry) and all(point.get("outside") == "1" for point in entry):
            outside = "1"
        if outside != "1":
            read = self._shape(entry, where, label)
            if read is None:
                return None
            _, box, degrees, pose = read
        elif entry.tag in _SHAPES and entry.tag != "skeleton":
            with suppress(ValueError, TypeError):
                (x1, y1, x2, y2), degrees = _geometry(entry)
                box = (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None
        if frame is None or outside not in ("0", "1"):
            what = "frame is no whole number" if frame is None else f"outside is {outside!r}, expected 0 or 1"
            self._report(self._path, "bad-box", f"{where}: {what}; the box is left out")
            return None
        return _Shape(frame, place, box, degrees, outside == "1", entry.get("keyframe") != "0", pose)

    def _add_videos(self) -> None:
        groups = dict.fromkeys((task, subset) for task, subset, _, _ in self._tracks)
        if not groups and not self._file.listed.names and len(self._tasks) == 1:  # a video without an object
            groups = {(next(iter(self._tasks)), self._subset or ""): None}
        for place, (task_id, subset) in enumerate(groups):
            if any(other[1] == subset for other in list(groups)[:place]):
                where = f"the subset {subset}" if subset else "no subset"
                text = f"two videos of the project are in {where}, so their frames have the same names"
                raise DataError(f"{self._path}: {text}; export each task by itself")
            self._add_video(task_id, subset)

    def _add_video(self, task_id: str, subset: str) -> None:
        task, listed = self._task(task_id), self._file.listed
        tracks = [track for track in self._tracks if track[:2] == (task_id, subset)]
        stated = [shape.frame for *_, shapes in tracks for shape in shapes if not shape.outside]
        stop = max(stated, default=task.start) if task.stop is None else task.stop
        if stop - task.start > 10**7:
            raise DataError(f"{self._path}: a video of {stop - task.start + 1} frames; check <stop_frame>")
        numbers = range(task.start, stop + 1, task.step)
        start, prefix = len(listed.names), f"{subset}/" if subset else ""
        for frame in numbers:
            self._image(f"{prefix}frame_{frame:06d}", subset, frame, task.size_hw)
        for identity, (*_, label, shapes) in enumerate(tracks, start=self._identities):
            beyond = {shape.frame for shape in shapes if shape.frame not in numbers and not shape.outside}
            if beyond:
                some = ", ".join(map(str, sorted(beyond)[:3]))
                text = f"a {label} is in {len(beyond)} frames that the video does not have ({some} ...)"
                self._report(self._path, "unknown-image", f"{text}; these boxes are left out")
            for frame, place, box, pose in _moving(shapes, numbers):
                image = start + (frame - task.start) // task.step
                listed.add(image, place, box, label, identity=identity, pose=pose)
        self._identities += len(tracks)
        name = "_".join(filter(None, (subset, Path(task.source).stem or task.name or self._path.stem)))
        listed.videos.append(ListedVideo(name, start, len(listed.names), self._rate))
        self._file.tasks.append(task)


def _moving(shapes: Sequence[_Shape], frames: range) -> Iterator[tuple[int, int, Box, Pose]]:
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


def _between(shape: _Shape, after: _Shape | None, share: float) -> Box:
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


def _pose(skeleton: Element) -> Pose:
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


def _edges(svg: str, joints: Sequence[str]) -> list[tuple[str, str]]:
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


def _geometry(shape: Element) -> tuple[Box, float]:
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


def _whole(text: str | None) -> int | None:
    """A whole number from 0 on below 2³¹; None for anything else."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
