"""KITTI's tracking benchmark (Geiger et al., CVPR 2012; https://www.cvlibs.net/datasets/kitti/eval_tracking.php).

Layout::

    root/label_02/0001.txt
    root/image_02/0001/000000.png        frames count from 0

A row has 17 columns: frame, identity, type, truncated, occluded, alpha, left, top, right, bottom, and seven of the
object in space. The corners are taken as they are, as the benchmark's own evaluation takes them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..dataset import DetectionDataset, VideoSequence
from ..sample import DataError
from .reading import Folder, Reports, Rows, check_class_names, judge_box, number, own_size, table, whole, with_nearest
from .sequences import Identities, choose_sequences, numbered_pictures, spans

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person", "Person_sitting", "Cyclist", "Tram", "Misc")
"""The types of label_02, besides DontCare."""

_NEIGHBOURS = {"Van": "Car", "Person": "Pedestrian", "Person_sitting": "Pedestrian"}
_FRAME_RATE = 10.0


class _Row(NamedTuple):
    """A row that is to become a box; label -1: any class."""

    line: int
    track: int
    box: tuple[float, float, float, float]
    label: int
    ignore: bool


class KITTITracking(DetectionDataset):
    """KITTI's tracking sequences, with identities that run from 0 on over all of them.

    To be ignored are DontCare regions (for every class); what the benchmark's evaluation leaves out for being too like
    a class that is asked for (Van for Car; Person and Person_sitting for Pedestrian) unless it is asked for too; and
    objects more occluded or truncated than the limits. Other types are passed over. A picture without rows is an
    example of background; pictures may have gaps between them.

    What is wrong is left out and named in `problems` (and in one warning): a sequence without pictures or label file,
    rows of the wrong width or with something else than numbers, a second row of a frame and identity, an unknown type,
    a box that is inverted, without area or outside its picture, and, in one problem a sequence, frames with labels but
    without a picture.

    Args:
        root: the folder that holds ``label_02`` and ``image_02`` (or the one above, with ``training`` in it).
        sequences: names or patterns, such as ``"0001"`` or ``"00*"``; None takes all.
        class_names: of `KITTI_CLASSES`, in the order of their labels.
        max_occlusion: 0 visible, 1 partly, 2 largely occluded, 3 unknown.
        max_truncation: 0 inside the picture, 1 partly, 2 largely truncated.
        strict: the first problem is an error.

    Attributes:
        sequences: name, samples and frame rate of each sequence.

    Raises:
        DataError: no such folder, sequence or class, or no usable image; with `strict` any problem.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        sequences: Sequence[str] | None = None,
        *,
        class_names: Sequence[str] = ("Car", "Pedestrian", "Cyclist"),
        max_occlusion: int = 3,
        max_truncation: int = 2,
        strict: bool = False,
    ) -> None:
        root = _root(Path(root))
        names = check_class_names(class_names)
        unknown = [name for name in names if name not in KITTI_CLASSES]
        if unknown or not names:
            text = with_nearest(unknown, KITTI_CLASSES) or "nothing"
            raise DataError(f"class_names has {text}, but the types of KITTI are {', '.join(KITTI_CLASSES)}")
        report, rows, identities = Reports(strict=strict), Rows(), Identities()
        done = []
        for name in choose_sequences(_sequences(root), sequences, root):
            start = len(rows.names)
            path = root / "label_02" / f"{name}.txt"
            truth = _read_truth(path, names, (max_occlusion, max_truncation), report)
            if truth is not None:
                _read_frames(root, name, path, truth, rows, identities, report)
                done.append(VideoSequence(name, start, len(rows.names), _FRAME_RATE))
        identities.finish(rows)
        super().__init__(
            names,
            rows.columns(root),
            source=root,
            problems=report.found,
            strict=strict,
            amodal=rows.amodal,
            sequences=[sequence for sequence in done if len(sequence)],
            clipped=rows.clipped,
        )


def _root(root: Path) -> Path:
    for folder in (root, root / "training"):
        if (folder / "label_02").is_dir() and (folder / "image_02").is_dir():
            return folder
    raise DataError(
        f"{root}: expected the folders label_02 and image_02 in it (or in its folder training); check `root`"
    )


def _sequences(root: Path) -> list[str]:
    """All that has a label file or a folder of pictures."""
    names = {path.stem for path in (root / "label_02").glob("*.txt")}
    names |= {path.name for path in (root / "image_02").iterdir() if path.is_dir()}
    return sorted(names)


def _read_truth(
    path: Path, names: tuple[str, ...], limits: tuple[int, int], report: Reports
) -> Mapping[int, list[_Row]] | None:
    """The rows that are to become boxes, by frame; None where there is no file."""
    if not path.is_file():
        report(path, "missing-annotation", "there is no such file; the sequence is left out")
        return None
    truth: dict[int, list[_Row]] = {}
    seen: set[tuple[int, int]] = set()
    for line, fields in table(path, None, {17}, report):
        kind = fields[2]
        try:
            frame, track = whole(fields[0]), whole(fields[1])
            truncated, occluded = number(fields[3]), number(fields[4])
            left, top, right, bottom = map(number, fields[6:10])
            if not all(map(math.isfinite, (truncated, occluded, left, top, right, bottom))):
                raise ValueError
        except ValueError:
            report(path, "bad-row", f"line {line}: {' '.join(fields):.100} is no row of a label file; it is left out")
            continue
        where = f"line {line} (frame {frame}, identity {track}, {kind:.40})"
        if track >= 0 and (frame, track) in seen:
            report(path, "duplicate", f"{where}: this identity is in the frame again; it is left out")
            continue
        seen.add((frame, track))
        wanted = kind if kind in names else _NEIGHBOURS.get(kind, "")
        if kind not in (*KITTI_CLASSES, "DontCare"):
            text = f"{where}: the type {with_nearest([kind], KITTI_CLASSES)} is none of KITTI's; it is left out"
            report(path, "unknown-class", text)
        elif kind == "DontCare" or wanted in names:
            ignore = wanted != kind or occluded > limits[0] or truncated > limits[1]
            label = names.index(wanted) if wanted in names else -1
            truth.setdefault(frame, []).append(_Row(line, track, (left, top, right, bottom), label, ignore))
    return truth


def _read_frames(
    root: Path,
    name: str,
    path: Path,
    truth: Mapping[int, list[_Row]],
    rows: Rows,
    identities: Identities,
    report: Reports,
) -> None:
    folder = f"image_02/{name}"
    pictures = numbered_pictures(Folder(root), folder, report)
    if not pictures:
        return report(root / folder, "missing-image", "no pictures named by their frames; the sequence is left out")
    without = [frame for frame in truth if frame not in pictures]
    if without:
        lost = sum(len(truth[frame]) for frame in without)
        text = f"the frames {spans(without)} have no picture in {folder}; their {lost} boxes are left out"
        report(path, "missing-image", text)
    for frame, picture in pictures.items():
        size_hw = own_size(root / folder / picture, report)
        if size_hw is None:
            continue
        for row in truth.get(frame, ()):
            wrong = judge_box(row.box, size_hw)
            if wrong is not None:
                where = f"line {row.line} (frame {frame}, identity {row.track})"
                report(path, wrong[0], f"{where}: {wrong[1]}; the box is left out")
                continue
            track = identities.number(name, row.track)
            rows.add_box(row.box, size_hw, label=row.label, ignore=row.ignore, identity=track)
        rows.add_image(f"{folder}/{picture}", len(rows.names), size_hw)
    return None
