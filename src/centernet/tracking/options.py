"""What a tracker can be told, and sets of it under known names."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from .kalman import CHI2_95


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """How detections become tracks. Costs and their limits: 0 is the same, 1 has nothing in common.

    Attributes:
        high_score: detections that score more take part in the first associations and may start tracks.
        low_score: those that score between this and `high_score` may continue tracks that found nothing better (the
            second pass of ByteTrack); None for no second pass.
        new_score: least score with which an unmatched detection starts a track, if it is above `high_score`.
        confirm_hits: detections in a row, the first included, after which a track is shown; in frame 1 all are.
        confirm_score: a track that starts with at least this score is shown at once; None: none is.
        lost_seconds: how long a track that isn't found is looked for.
        motion: form of the Kalman filter: "xyah" (aspect ratio and height) or "xywh" (width and height).
        appearance_limit: cost up to which embeddings, mixed with motion, are paired; None ignores embeddings.
        appearance_weight: share of the cosine distance in that cost, the rest is the squared Mahalanobis distance.
        appearance_share: where embeddings are known, the part of their IoU that two boxes lose as their cosine distance
            goes to 1; 0 compares places alone once embeddings had their turn.
        gate: squared Mahalanobis distance beyond which embeddings aren't compared.
        embedding_momentum: share of the old embedding in the smoothed one of a track.
        iou_limit: 1 - IoU up to which predicted and detected boxes are paired.
        iou_finds_lost: lost tracks take part in that, too; else only their embedding finds them again.
        low_iou_limit: the limit of the second pass.
        low_finds_lost: lost tracks take part in the second pass, too.
        unconfirmed_iou_limit: the limit for tracks that aren't confirmed, which come last.
        fuse_scores: IoU is multiplied by the detection's score there, except in the second pass, so that sure
            detections go first.
        inclusive_iou: sides count as ``x2 - x1 + 1``.
        duplicate_limit: of a tracked and a lost track with a lower cost between them the younger ends; None: neither.
        per_class: only detections of a track's class continue it.
        reupdate: where a track is found again, its motion while it was lost is taken to have been straight from its
            last to its new place (OC-SORT, Cao et al. 2022, arXiv:2203.14360).
        camera_motion: tracks move with the background, which is followed through the frames given to `update()`.
        upstream_habits: two habits of FairMOT's and ByteTrack's code: an unconfirmed track isn't moved to the frame
            that it is compared with, and one that is found again shows the score that it was lost with.

    Raises:
        ValueError: a value that an option can't have.
    """

    high_score: float = 0.6
    low_score: float | None = 0.1
    new_score: float = 0.7
    confirm_hits: int = 2
    confirm_score: float | None = None
    lost_seconds: float = 1.0
    motion: Literal["xyah", "xywh"] = "xyah"
    appearance_limit: float | None = 0.4
    appearance_weight: float = 0.98
    appearance_share: float = 0.0
    gate: float = CHI2_95[4]
    embedding_momentum: float = 0.9
    iou_limit: float = 0.8
    iou_finds_lost: bool = True
    low_iou_limit: float = 0.5
    low_finds_lost: bool = False
    unconfirmed_iou_limit: float = 0.7
    fuse_scores: bool = True
    inclusive_iou: bool = False
    duplicate_limit: float | None = 0.15
    per_class: bool = True
    reupdate: bool = False
    camera_motion: bool = False
    upstream_habits: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            problem = _problem(name, value)
            if problem:
                raise ValueError(f"{name}: expected {problem}, got {value!r}")
        if self.low_score is not None and self.low_score >= self.high_score:
            raise ValueError(
                f"low_score: expected less than high_score ({self.high_score:g}), or None for no second pass, "
                f"got {self.low_score!r}"
            )


_OPTIONAL = ("low_score", "confirm_score", "appearance_limit", "duplicate_limit")
_SWITCHES = (
    "iou_finds_lost", "low_finds_lost", "fuse_scores", "inclusive_iou", "per_class", "reupdate", "camera_motion",
    "upstream_habits",
)  # fmt: skip


def _problem(name: str, value: object) -> str | None:
    """What was expected of an option, where it isn't so."""
    if name in _SWITCHES:
        return None if isinstance(value, bool) else "True or False"
    if name == "motion":
        return None if value in ("xyah", "xywh") else "'xyah' or 'xywh'"
    if name == "confirm_hits":
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return None
        return "a whole number from 1"
    if value is None and name in _OPTIONAL:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return "a finite number" + (" or None" if name in _OPTIONAL else "")
    if name in ("appearance_weight", "appearance_share", "embedding_momentum") and not 0 <= value <= 1:
        return "a share from 0 to 1"
    if name.endswith("iou_limit") and not 0 < value <= 1:
        return "a cost above 0, at most 1"
    if name in ("gate", "lost_seconds", "appearance_limit", "duplicate_limit") and value < 0:
        return "0 or more"
    return None


PRESETS: dict[str, TrackerOptions] = {
    # Bewley et al. 2016, arXiv:1602.00763
    "sort": TrackerOptions(
        high_score=0.4,
        low_score=None,
        new_score=0.4,
        confirm_hits=3,
        lost_seconds=1 / 30,
        appearance_limit=None,
        iou_limit=0.7,
        fuse_scores=False,
        duplicate_limit=None,
    ),
    "fairmot": TrackerOptions(
        high_score=0.4,
        low_score=None,
        new_score=0.4,
        iou_limit=0.5,
        iou_finds_lost=False,
        fuse_scores=False,
        inclusive_iou=True,
        upstream_habits=True,
    ),
    "bytetrack": TrackerOptions(appearance_limit=None, inclusive_iou=True, upstream_habits=True),
    "default": TrackerOptions(
        motion="xywh",
        confirm_score=0.9,
        low_finds_lost=True,
        lost_seconds=2.0,
        appearance_limit=0.5,
        appearance_weight=0.99,
        appearance_share=0.5,
        gate=30.0,
    ),
}
"""Options by name: "sort" (IoU alone, no patience), "fairmot" (Zhang et al. 2020, appearance first, then IoU),
"bytetrack" (Zhang et al. 2022, arXiv:2110.06864, two passes of IoU), and "default", which is the best measured."""
