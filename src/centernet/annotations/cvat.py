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
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from ..skeleton import Skeleton
from ..text import in_xml
from .cvat_shapes import Shape, edges_of, geometry, moving, pose_of, whole_number
from .keypoints import skeleton_of
from .listed import ListedImages, ListedVideo, Pose
from .problems import DataError, Reports, UnknownKeys, opening
from .shapes import Box, around, around_turned
from .xml import XML_ERRORS, read_elements

WITHOUT_BOX = ("polyline", "points", "tag")
"""Kinds of shapes that have no box."""
END = "</annotations>\n"
_EDGES = ("xtl", "ytl", "xbr", "ybr")
_SHAPES = ("box", "polygon", "ellipse", "mask", "cuboid", "skeleton")


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
        self._tracks: list[tuple[str, str, str, list[Shape]]] = []  # task, subset, class, shapes
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
        edges = [(places[a], places[b]) for a, b in edges_of(self._drawings.get(label, ""), names)]
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
            start, step = whole_number(stated["start_frame"]) or 0, whole_number(filtered) or 1
            size, stop = whole_number(task.findtext("size")), whole_number(stated["stop_frame"])
            height, width = (whole_number(task.findtext(f"original_size/{key}")) for key in ("height", "width"))
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
        size_hw = whole_number(element.get("height")), whole_number(element.get("width"))
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
            pose = pose_of(shape) if shape.tag == "skeleton" else {}
            box, degrees = (around([x, y] for x, y, _ in pose.values()), 0.0) if pose else geometry(shape)
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
        shapes: dict[int, Shape] = {}
        for place, entry in enumerate(element, start=1):
            shape = self._track_shape(entry, place, f"{name}, shape {place}", label)
            if shape is not None and shape.frame in shapes:
                text = f"{name}, shape {place}: frame {shape.frame} is there again; the box is left out"
                self._report(self._path, "duplicate", text)
            elif shape is not None:
                shapes[shape.frame] = shape
        in_order = [shapes[frame] for frame in sorted(shapes)]
        self._tracks.append((element.get("task_id", ""), element.get("subset", ""), label, in_order))

    def _track_shape(self, entry: Element, place: int, where: str, label: str) -> Shape | None:
        """A shape of a track; None as for `_shape`."""
        frame, outside = whole_number(entry.get("frame")), entry.get("outside", "0")
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
                (x1, y1, x2, y2), degrees = geometry(entry)
                box = (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None
        if frame is None or outside not in ("0", "1"):
            what = "frame is no whole number" if frame is None else f"outside is {outside!r}, expected 0 or 1"
            self._report(self._path, "bad-box", f"{where}: {what}; the box is left out")
            return None
        return Shape(frame, place, box, degrees, outside == "1", entry.get("keyframe") != "0", pose)

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
            for frame, place, box, pose in moving(shapes, numbers):
                image = start + (frame - task.start) // task.step
                listed.add(image, place, box, label, identity=identity, pose=pose)
        self._identities += len(tracks)
        name = "_".join(filter(None, (subset, Path(task.source).stem or task.name or self._path.stem)))
        listed.videos.append(ListedVideo(name, start, len(listed.names), self._rate))
        self._file.tasks.append(task)


def head_text(class_names: Sequence[str], skeleton: Skeleton | None = None) -> str:
    """Return the beginning of a file for images, with the labels of its task; behind the images comes `END`.

    Classes are rectangles, or with a skeleton skeletons, each with points of its own.
    """
    labels = ""
    for name in (escape(in_xml(name)) for name in class_names):
        kind = "rectangle" if skeleton is None else "skeleton"
        drawn = "" if skeleton is None else f"<svg>{escape(skeleton_svg(skeleton))}</svg>"
        labels += f"<label><name>{name}</name><type>{kind}</type><attributes/>{drawn}</label>"
        for joint in () if skeleton is None else skeleton.names:
            text = f"<name>{escape(in_xml(joint))}</name><type>points</type><attributes/><parent>{name}</parent>"
            labels += f"<label>{text}</label>"
    listed = f"<meta><task><labels>{labels}</labels></task></meta>\n" if class_names else ""
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{listed}'


def label_entry(class_name: str, skeleton: Skeleton | None = None) -> dict[str, Any]:
    """Return a class as CVAT's editor of labels takes it ("Raw")."""
    entry: dict[str, Any] = {"name": in_xml(class_name), "type": "rectangle", "attributes": []}
    if skeleton is not None:
        points = [{"name": in_xml(name), "type": "points", "attributes": []} for name in skeleton.names]
        entry |= {"type": "skeleton", "svg": skeleton_svg(skeleton), "sublabels": points}
    return entry


def skeleton_svg(skeleton: Skeleton) -> str:
    """Return CVAT's drawing of a skeleton: keypoints in a ring, numbered from 1, and lines between them."""
    turns = [2 * math.pi * place / len(skeleton) for place in range(len(skeleton))]
    places = [(round(50 + 40 * math.sin(turn), 2), round(50 - 40 * math.cos(turn), 2)) for turn in turns]
    lines = "".join(
        f'<line x1="{places[a][0]}" y1="{places[a][1]}" x2="{places[b][0]}" y2="{places[b][1]}" data-type="edge" '
        f'data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in skeleton.edges
    )
    return lines + "".join(
        f'<circle r="1.5" cx="{x}" cy="{y}" data-type="element node" data-element-id="{number}" '
        f'data-node-id="{number}" data-label-name={quoteattr(in_xml(name))}></circle>'
        for number, (name, (x, y)) in enumerate(zip(skeleton.names, places, strict=True), start=1)
    )


def image_text(
    number: int, name: str, size_hw: tuple[int, int], objects: Iterable[tuple[Sequence[float], str, Pose]]
) -> str:
    """Return an image with its objects: x1 y1 x2 y2, the class name, keypoints; `number` counts from 0.

    Objects with a labelled keypoint become skeletons, which have no box of their own; others boxes.
    """
    height, width = size_hw
    lines = [f'<image id="{number}" name={quoteattr(in_xml(name))} width="{width}" height="{height}">']
    for box, class_name, pose in objects:
        label = f'label={quoteattr(in_xml(class_name))} source="auto"'
        if any(visible for _, _, visible in pose.values()):
            points = (
                f'<points label={quoteattr(in_xml(joint))} source="auto" outside="{int(visible == 0)}" '
                f'occluded="{int(visible == 1)}" points="{x:.2f},{y:.2f}"/>'
                for joint, (x, y, visible) in pose.items()
            )
            lines += [f'<skeleton {label} z_order="0">', *points, "</skeleton>"]
        else:
            edges = " ".join(f'{edge}="{value:.2f}"' for edge, value in zip(_EDGES, box, strict=True))
            lines.append(f'<box {label} occluded="0" {edges} z_order="0"/>')
    return "\n".join([*lines, "</image>", ""])
