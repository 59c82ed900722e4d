"""KITTI's labels (Geiger et al., CVPR 2012; https://www.cvlibs.net/datasets/kitti).

Those of the detection benchmark are a file for each image. A row has 15 columns: type, truncated, occluded, alpha,
left, top, right, bottom, and seven of the object in space; results have a score behind them. Those of the tracking
benchmark are a file for each sequence, with the frame (from 0) and the identity before each row. The corners are taken
as they are, as the benchmarks' own evaluation takes them.

Other tools (NVIDIA TAO and DIGITS, CVAT, datumaro, FiftyOne) write detection labels for classes of any name.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..boxes3d import Boxes3D, known_in_space
from ..detections import Detections
from .problems import DataError, Reports, with_nearest
from .rows import BoxRows, RowList
from .text import TextTable, filled_lines, number

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person", "Person_sitting", "Cyclist", "Tram", "Misc")
"""The types of objects."""
DONT_CARE = "DontCare"
"""The type of regions that nobody labelled."""
NEIGHBOURS = {"Van": "Car", "Person": "Pedestrian", "Person_sitting": "Pedestrian"}
"""Types too like another for the evaluation to hold them against it. (Person is how tracking labels say sitting.)"""
MAX_OCCLUSION, MAX_TRUNCATION = (0, 1, 2), (0.15, 0.3, 0.5)
"""Limits of the three levels of difficulty: easy, moderate, hard."""
TRUTH_WIDTHS = (17,)
RESULT_WIDTHS = (17, 18)
KIND_COLUMN = 2
LEFT_COLOUR_CAMERA = ("P2", "P_rect_02")
"""Names that calibration files give the matrix of the camera whose images the labels are of."""
_DETECTION_NUMBERS = (14, 15)
"""Numbers behind the type in a row of the detection benchmark, without and with a score."""


def read_truth(
    names: Sequence[str],
    path: Path,
    report: Reports,
    *,
    max_occlusion: int,
    max_truncation: int,
    calib: Path | None = None,
) -> BoxRows:
    """Read the rows of a label file that are to become boxes; `images` are the frames as numbered there.

    With the folder of calibration files they have the fields of `centernet.boxes3d`.
    """
    table = TextTable.read(path, TRUTH_WIDTHS, words_column=KIND_COLUMN)
    table = table.numbers(report, used=[3, 4, 6, 7, 8, 9], whole=[0, 1], what="row of a label file")
    table = table.without_repeated(report)
    words = [str(word) for word in table.words]

    def unknown(row: int) -> str:
        return f"the type {with_nearest([words[row]], KITTI_CLASSES)} is none of KITTI's"

    table = table.keep(np.isin(words, [*KITTI_CLASSES, DONT_CARE]), report, "unknown-class", unknown)
    label_of = labels_by_type(names)
    table = table.select(np.isin(table.words, list(label_of)))
    values, kinds = table.values, table.words
    labels = np.array([label_of[kind] for kind in kinds.tolist()], dtype=np.int64)
    ignore = ~np.isin(kinds, names) | (values[:, 4] > max_occlusion) | (values[:, 3] > max_truncation)
    rows = BoxRows.of_tracks(table, values[:, 6:10], labels, ignore, difficulty(values[:, 3], values[:, 4]))
    if calib is None:
        return rows
    cameras = np.tile(_camera_of(path, calib, report), (len(rows), 1, 1))
    return replace(rows, data=_in_space(values[:, [5, *range(10, 17)]], cameras))


def labels_by_type(names: Sequence[str]) -> dict[str, int]:
    """Return the label of each of KITTI's types that is not passed over: neighbours have that of their class."""
    meant = {kind: kind if kind in names else NEIGHBOURS.get(kind, "") for kind in KITTI_CLASSES}
    return {kind: names.index(name) for kind, name in meant.items() if name in names} | {DONT_CARE: -1}


def difficulty(truncation: NDArray[np.float64], occlusion: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the lowest level whose limits each object keeps: 0 easy, 1 moderate, 2 hard, 3 none of them."""
    beyond = (truncation[:, None] > MAX_TRUNCATION) | (occlusion[:, None] > MAX_OCCLUSION)  # the limits rise
    return np.asarray(beyond.sum(axis=1), np.int8)


@dataclass
class LabelFiles:
    """The objects of many label files of the detection benchmark.

    Labels of the rows are places among the `types`; `files` are by the image. With the folder `calib` of calibration
    files rows have the fields of `centernet.boxes3d`.
    """

    report: Reports
    calib: Path | None = None
    files: dict[int, Path] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    rows: RowList = field(default_factory=RowList)
    _hidden: array[float] = field(default_factory=lambda: array("d"))  # truncation and occlusion of each row
    _space: array[float] = field(default_factory=lambda: array("d"))  # alpha, and the seven numbers of the box in space
    _cameras: dict[int, NDArray[np.float64]] = field(default_factory=dict)  # by image

    def read(self, path: Path, image: int) -> None:
        """Read the label file of an image; a row that is wrong is reported and left out."""
        self.files[image] = path
        if self.calib is not None:
            self._cameras[image] = _camera_of(path, self.calib, self.report)
        for place, line in filled_lines(path).items():
            try:
                kind, truncation, occlusion, box, space = read_object(line)
            except ValueError as error:
                text = f"line {place} {error}: {' '.join(line.split()):.100}; it is left out"
                self.report(path, "bad-row", text)
                continue
            self.rows.add(image, place, box, self.types.setdefault(kind, len(self.types)))
            self._hidden.extend((truncation, occlusion))
            if self.calib is not None:
                self._space.extend(space)

    def are_kittis(self) -> bool:
        """Tell whether most objects (or all of none) are of KITTI's own types, so that another one is a mistake."""
        counts = self.counts()
        known = sum(counts[kind] for kind in (*KITTI_CLASSES, DONT_CARE))
        return not counts or 2 * known > sum(counts.values())

    def counts(self) -> Counter[str]:
        """Count the objects of each type."""
        numbers = np.bincount(self.rows.rows().labels, minlength=len(self.types))
        return Counter(dict(zip(self.types, numbers.tolist(), strict=True)))

    def boxes(
        self, names: Sequence[str], label_of: Mapping[str, int], *, max_occlusion: float, max_truncation: float
    ) -> BoxRows:
        """Return the objects of the types in `label_of`; those that are none of the `names` themselves, or too
        hidden, are to be ignored."""
        rows, types = self.rows.rows(), np.array(list(self.types), dtype=object)
        labels = np.array([label_of.get(kind, -2) for kind in types], dtype=np.int64)[rows.labels]
        hidden = np.asarray(self._hidden, dtype=np.float64).reshape(-1, 2)
        other = ~np.array([kind in names for kind in types], dtype=np.bool_)[rows.labels]
        ignore = other | (hidden[:, 0] > max_truncation) | (hidden[:, 1] > max_occlusion)
        level = difficulty(hidden[:, 0], hidden[:, 1])
        data = {}
        if self.calib is not None:
            cameras = np.array([self._cameras[image] for image in rows.images.tolist()]).reshape(-1, 3, 4)
            data = _in_space(np.asarray(self._space, dtype=np.float64).reshape(-1, 8), cameras)
        return replace(rows, labels=labels, ignore=ignore, difficulty=level, data=data).select(labels >= -1)

    def report_unknown(self) -> None:
        """Report each object whose type is none of KITTI's."""
        rows, kinds = self.rows.rows(), list(self.types)
        unknown = np.array([kind not in (*KITTI_CLASSES, DONT_CARE) for kind in kinds], dtype=np.bool_)
        for row in np.flatnonzero(unknown[rows.labels]).tolist():
            kind, path = kinds[rows.labels[row]], self.files[int(rows.images[row])]
            text = f"the type {with_nearest([kind], KITTI_CLASSES)} is none of KITTI's; it is left out"
            self.report(path, "unknown-class", f"line {rows.places[row]}: {text}")


def read_object(line: str) -> tuple[str, float, float, list[float], list[float]]:
    """Return the type, truncation, occlusion, box, and alpha with the box in space of a row of the detection benchmark.

    A ValueError says what is wrong with it. Types may have several words, as datumaro writes them.
    """
    fields = line.split()
    first = next((place for place, text in enumerate(fields) if place and _is_number(text)), len(fields))
    if len(fields) - first not in _DETECTION_NUMBERS or _is_number(fields[0]):
        text = f"a type and {_DETECTION_NUMBERS[0]} numbers, or {_DETECTION_NUMBERS[1]} with a score"
        raise ValueError(f"has {len(fields)} columns, expected {text}")
    try:
        values = [number(text) for text in fields[first:]]
    except ValueError as error:
        raise ValueError(f"is no row of a label file ({error})") from error
    truncation, occlusion, box = values[0], values[1], values[3:7]
    if not np.isfinite(box).all():
        raise ValueError("has a box that is not four finite numbers")
    if not (0 <= truncation <= 1 or truncation == -1):
        raise ValueError(f"has the truncation {fields[first]}, expected 0 .. 1, or -1 where it is not known")
    if occlusion not in (-1, 0, 1, 2, 3):
        raise ValueError(f"has the occlusion {fields[first + 1]}, expected 0, 1, 2, 3, or -1 where it is not known")
    return " ".join(fields[:first]), truncation, occlusion, box, [values[2], *values[7:14]]


def _is_number(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def _in_space(rows: NDArray[np.float64], cameras: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Return the fields of N×8 numbers: alpha, height, width, length, x, y, z, rotation_y."""
    return known_in_space(Boxes3D(rows[:, 4:7], rows[:, 1:4], rows[:, 7], rows[:, 0]), cameras)


def _camera_of(labels: Path, calib: Path, report: Reports) -> NDArray[np.float64]:
    """Return the camera matrix of a label file; of one that is missing or none, which is reported, NaN."""
    path = calib / f"{labels.stem}.txt"
    try:
        if path.is_file():
            return read_calibration(path)
        text = "there is no such calibration file"
    except DataError as error:
        text = str(error).removeprefix(f"{path}: ")
    report(path, "missing-annotation", f"{text}; nothing of {labels.name} is known in space")
    return np.full((3, 4), np.nan)


def read_calibration(path: Path) -> NDArray[np.float64]:
    """Return the camera matrix 3×4 of the left colour camera from a calibration file of KITTI's.

    Raises:
        DataError: there is no line ``P2:`` with twelve numbers in it, or it is no camera's.
    """
    for place, line in filled_lines(path).items():
        name, _, rest = line.replace(":", " ", 1).partition(" ")
        if name in LEFT_COLOUR_CAMERA:
            try:
                values = np.array([number(text) for text in rest.split()])
            except ValueError as error:
                raise DataError(f"{path}: line {place}, {name}: {error}") from error
            if values.size != 12 or not np.isfinite(values).all() or values[0] <= 0 or values[5] <= 0:
                text = "expected twelve numbers, a camera matrix 3×4 row by row with focal lengths above 0"
                raise DataError(f"{path}: line {place}, {name}: {text}, got {rest.strip():.80}")
            return values.reshape(3, 4)
    raise DataError(
        f"{path}: no line {' or '.join(LEFT_COLOUR_CAMERA)} with a camera matrix; is it a calibration file?"
    )


def calibration_file(path: Path, image: Path) -> Path:
    """Return the calibration file of an image: the one given, or that in a folder with the name of the image or of its
    folder (KITTI's detection and tracking benchmark). A DataError where there is none."""
    if not path.is_dir():
        return path
    names = [f"{stem}.txt" for stem in (image.stem, image.parent.name) if stem]
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise DataError(f"{path}: no calibration file {' or '.join(names)} for the image {image}")
    return found


def label_text(detections: Detections) -> str:
    """Return detections as a result file of the detection benchmark: 16 columns, of which those of the object in space
    are what detections of `centernet.boxes3d.in_space` say, and the benchmark's own words for unknown without it."""
    if not (count := len(detections)):
        return ""
    unknown = {"alpha": -10.0, "dimensions": [-1.0] * 3, "location": [-1000.0] * 3, "rotation_y": -10.0}
    alpha, dimensions, location, turn = (
        np.asarray(detections.data.get(name, [value] * count), np.float64).reshape(count, -1)
        for name, value in unknown.items()
    )
    table = np.concatenate([alpha, detections.bboxes, dimensions, location, turn, detections.scores[:, None]], axis=1)
    rows = (" ".join(f"{value:.4f}" for value in row) for row in table.tolist())
    return "".join(f"{name} -1 -1 {row}\n" for name, row in zip(detections.names, rows, strict=True))
