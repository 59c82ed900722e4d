"""Boxes with identities along a sequence, the form of the truth and of a tracker's results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from centernet.detections import Detections

from ..collecting import Bools, Floats, Ints, Truth


class Role(IntEnum):
    """The part that a box of the truth plays; results are COUNTED or NONE."""

    COUNTED = 0  # to be tracked
    IGNORED = 1  # need not be tracked; a result that lies on it is taken out
    BYSTANDER = 2  # need not be tracked; a result that lies on it stays in, and is a false positive
    REGION = 3  # without identity: results that lie on no other box and by more than half in it are taken out
    NONE = 4  # takes no part: boxes of other classes


class RowError(ValueError):
    """A row of `Tracks` that is wrong: its place, and the fault."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(f"row {row}: {text}")
        self.row = row
        self.text = text


class IdentifiedTruth(Truth, Protocol):
    """The true objects of one frame, with identities from 0, or -1 where `ignore` is set."""

    @property
    def ids(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, eq=False)
class Tracks:
    """N boxes of a sequence, the truth's or a tracker's, to be evaluated as one class; they may come in any order.

    Attributes:
        frames: N int64, from 0.
        ids: N int64, from 0, and none twice in a frame; -1, which no COUNTED box may have: none.
        boxes: N×4 float64 ``x1 y1 x2 y2`` in pixels. A box without area overlaps nothing.
        roles: N int8, see `Role`; all COUNTED where None is given.

    Raises:
        RowError: a frame below 0, a box to be tracked without an identity, an identity that is twice in a frame, a box
            that is not four finite numbers.
        ValueError: arrays that differ in length.
    """

    frames: Ints
    ids: Ints
    boxes: Floats
    roles: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        frames = np.asarray(self.frames, np.int64).reshape(-1)
        ids = np.asarray(self.ids, np.int64).reshape(-1)
        boxes = np.asarray(self.boxes, np.float64).reshape(-1, 4)
        roles = np.zeros(len(frames), np.int8) if self.roles is None else np.asarray(self.roles, np.int8)
        columns: dict[str, NDArray[Any]] = {"frames": frames, "ids": ids, "boxes": boxes, "roles": roles}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"tracks: expected arrays of one length, got {lengths}")
        _check(frames, ids, boxes, roles)
        order = np.argsort(frames, kind="stable") if np.any(frames[1:] < frames[:-1]) else slice(None)
        for name, column in columns.items():
            object.__setattr__(self, name, column[order])

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.frames)

    def role(self, *roles: Role) -> Bools:
        """Return N bool, True for rows that have one of these roles."""
        assert self.roles is not None
        return np.isin(self.roles, roles)

    @classmethod
    def from_detections(cls, frames: Iterable[Detections], label: int = 0) -> Tracks:
        """Join the results of a tracker for each frame of a sequence, none left out; those of one label."""
        parts = []
        for frame, found in enumerate(frames):
            if found.track_ids is None:
                raise ValueError(f"frame {frame}: the detections have no track_ids; give them to a tracker first")
            mine = found.labels == label
            roles = np.full(mine.sum(), Role.COUNTED)
            parts.append((np.full(len(roles), frame), found.track_ids[mine], found.bboxes[mine], roles))
        return cls._joined(parts)

    @classmethod
    def from_annotations(cls, frames: Iterable[IdentifiedTruth], label: int = 0) -> Tracks:
        """Join the truth of each frame of a sequence (`centernet.data.Annotation`), none left out; that of one label.

        A box to ignore takes out the results that lie on it; one of any class is a `Role.REGION`.
        """
        parts = []
        for frame, truth in enumerate(frames):
            any_class = (truth.labels == -1) & truth.ignore
            mine = (truth.labels == label) | any_class
            roles = np.where(any_class, Role.REGION, np.where(truth.ignore, Role.IGNORED, Role.COUNTED))
            parts.append((np.full(mine.sum(), frame), truth.ids[mine], truth.boxes[mine], roles[mine]))
        return cls._joined(parts)

    @classmethod
    def _joined(cls, parts: Sequence[tuple[NDArray[Any], ...]]) -> Tracks:
        nothing = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int8)
        return cls(*map(np.concatenate, zip(nothing, *parts, strict=True)))


def _check(frames: Ints, ids: Ints, boxes: Floats, roles: NDArray[np.int8]) -> None:
    used = roles != Role.NONE
    nameless = (roles == Role.COUNTED) & (ids < 0)
    for wrong, expected in (
        (used & ~np.isfinite(boxes).all(axis=1), "a box of four finite numbers"),
        (used & (frames < 0), "a frame of 0 or more"),
        (nameless, "an identity of 0 or more; are these detections that no tracker has seen?"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            got = f"frame {frames[row]}, identity {ids[row]}, box {boxes[row].tolist()}"
            raise RowError(row, f"expected {expected}; got {got}")
    rows = np.flatnonzero(used & (roles != Role.REGION) & (ids >= 0))
    rows = rows[np.lexsort((rows, ids[rows], frames[rows]))]
    twice = (frames[rows][1:] == frames[rows][:-1]) & (ids[rows][1:] == ids[rows][:-1])
    if twice.any():
        row = int(rows[1:][twice].min())
        raise RowError(row, f"the identity {ids[row]} is in frame {frames[row]} twice; each may be there once")
