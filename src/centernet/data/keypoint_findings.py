"""Findings about the keypoints of a data set: places outside, left and right exchanged, nothing labelled."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..column import Column
from .columns import Columns
from .fields import keypoint_field
from .findings import DatasetReport, SplitReport, counted
from .sample import Bools, Floats

FAR = 0.25
"""Longer sides of its box by which a keypoint may lie outside of it."""
WIDE = 0.2
"""Widths of the box from which on the places of a pair tell which way an object faces."""
_ENOUGH = 10  # objects that say how a pair usually lies
_EXAMPLES = 3


def judge_keypoints(report: DatasetReport, split: SplitReport, columns: Columns) -> None:
    """Add what is found in the keypoints of a split, if it has some."""
    field = keypoint_field(split.dataset.fields)
    if field is None:
        return
    points, objects = columns.data[field.name], ~columns.ignore
    labelled = points[..., 2] > 0
    for kind, sample, text in _places(columns, points, labelled, field):
        report.add(kind, split, text, sample)
    without = objects & ~labelled.any(axis=1)
    if without.any():
        count, total = int(without.sum()), int(objects.sum())
        text = f"{count:,} of {counted(total, 'object')} have no labelled keypoint: they train their boxes alone"
        report.add("no-keypoints", split, text, note=count < total)
    for kind, text in _pairs(columns, points, labelled & objects[:, None], field):
        report.add(kind, split, text)


def _places(columns: Columns, points: Floats, labelled: Bools, field: Column) -> Iterator[tuple[str, int, str]]:
    """Yield a finding for each object with keypoints outside of its image, or far outside of its box."""
    samples, (low, high) = columns.samples(), np.split(columns.boxes[:, None], 2, axis=-1)
    sizes = columns.sizes[samples][:, None, ::-1]
    xy = points[..., :2]
    outside = labelled & ((xy < 0) | (xy >= sizes)).any(axis=-1) & (sizes > 0).all(axis=-1)
    room = FAR * (high - low).max(axis=-1, keepdims=True)
    far = labelled & ~outside & ((xy < low - room) | (xy > high + room)).any(axis=-1)
    for kind, flags, where in (
        ("keypoint-outside-image", outside, "outside of the image, and count as not labelled"),
        ("keypoint-outside-box", far, "far outside of its box"),
    ):
        for row in np.flatnonzero(flags.any(axis=1)).tolist():
            names = [_name(field, place) for place in np.flatnonzero(flags[row]).tolist()]
            box = "[{:g}, {:g}, {:g}, {:g}]".format(*columns.boxes[row].tolist())
            yield kind, int(samples[row]), f"{', '.join(names[:4])} of the object {box}: {where}"


def _pairs(columns: Columns, points: Floats, labelled: Bools, field: Column) -> Iterator[tuple[str, str]]:
    """Yield pairs whose left and right lie the other way round than those of the other pairs, over many objects."""
    assert field.skeleton is not None
    pairs = np.array(field.skeleton.flip_pairs, dtype=np.int64).reshape(-1, 2)
    if not len(pairs) and len(field.skeleton) > 3:
        text = f"none of the {len(field.skeleton)} keypoints change places in a mirror"
        yield "no-pairs", f"{text}: are there no left and right ones ({', '.join(field.skeleton.names[:6])} ...)?"
    if len(pairs) < 2:
        return
    gaps = points[:, pairs[:, 0], 0] - points[:, pairs[:, 1], 0]  # M×P
    widths = columns.boxes[:, 2] - columns.boxes[:, 0]
    known = labelled[:, pairs].all(axis=-1) & (np.abs(gaps) > WIDE * widths[:, None])
    signs = np.where(known, np.sign(gaps), 0)
    others = signs.sum(axis=1, keepdims=True) - signs
    for place, (left, right) in enumerate(pairs.tolist()):
        judged = (signs[:, place] != 0) & (np.abs(others[:, place]) >= 1)
        against = judged & (signs[:, place] * others[:, place] < 0)
        if judged.sum() >= _ENOUGH and against.sum() > judged.sum() / 2:
            names = f"{_name(field, left)} and {_name(field, right)}"
            some = ", ".join(str(columns.paths[index]) for index in columns.samples()[against][:_EXAMPLES].tolist())
            text = (
                f"{names} lie the other way round than the other pairs in {against.sum():,} of {judged.sum():,} objects"
            )
            yield "swapped-keypoints", f"{text} ({some}): are they exchanged?"


def _name(field: Column, place: int) -> str:
    return str(place) if field.skeleton is None else field.skeleton.names[place]
