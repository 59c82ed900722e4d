"""The options of the tracker, and sets of them under known names."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from .kalman import CHI2_95


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """Options of the tracker. Those that are not given have the values of the preset (`PRESETS`).

    A cost is 0 for things that are the same and 1 for things that have nothing in common.

    Attributes:
        high_score: detections above this score take part in the first associations and may start tracks.
        low_score: detections between this score and high_score may continue tracks that found nothing better (the
            second pass of ByteTrack); None for no second pass.
        new_score: least score of a detection that starts a track; it must be above high_score, too.
        confirm_hits: detections in a row, the first included, after which a track is shown; in the first frame all are.
        confirm_score: score from which on a new track is shown at once; None to wait for confirm_hits.
        lost_seconds: seconds for which a track that is lost is looked for.
        motion: state of the Kalman filter: xyah (aspect ratio and height) or xywh (width and height).
        appearance_limit: highest cost of a pair by embeddings, mixed with motion; None ignores embeddings.
        appearance_weight: share of the cosine distance in that cost; the rest is the squared Mahalanobis distance.
        appearance_share: share of their IoU that two boxes lose as the cosine distance of their embeddings goes to 1; 0
            compares places alone.
        gate: squared Mahalanobis distance beyond which embeddings are not compared.
        embedding_momentum: share of the old embedding in the smoothed one of a track.
        iou_limit: highest cost (1 - IoU) of a pair of a predicted and a detected box.
        iou_finds_lost: let lost tracks take part in the association by IoU, not only in that by embeddings.
        low_iou_limit: iou_limit of the second pass.
        low_finds_lost: let lost tracks take part in the second pass.
        unconfirmed_iou_limit: iou_limit of tracks that are not shown yet, which come last.
        fuse_scores: multiply the IoU by the score of the detection, so that sure detections go first; not in the second
            pass.
        inclusive_iou: count the sides of boxes as x2 - x1 + 1.
        duplicate_limit: cost (1 - IoU) below which a tracked and a lost track are the same object, and the younger
            track ends; None keeps both.
        per_class: continue a track with detections of its own class alone.
        reupdate: when a lost track is found again, take its motion in between to have been straight (OC-SORT, Cao et
            al. 2022, arXiv:2203.14360).
        camera_motion: move tracks with the background, which is followed through the images of the frames.
        point_cutoff: Hz of a one-euro filter over the points of a track, such as a person's joints, while they stand
            still: 1 is calm, less calmer; None leaves points as they were found.
        upstream_habits: keep two habits of FairMOT's and ByteTrack's code: a track that is not shown yet is not moved
            to the frame that it is compared with, and one that is found again shows the score that it was lost with.
        number_unshown: give an identity to a track as it begins, as FairMOT's and ByteTrack's code do, so that those
            that are never shown leave gaps; without it identities are given as tracks are shown, 1, 2, 3 …
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
    gate: float = CHI2_95
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
    point_cutoff: float | None = None
    upstream_habits: bool = False
    number_unshown: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if expected := _expected(field.name, str(field.type), value):
                raise ValueError(f"{field.name}: expected {expected}, got {value!r}")
        if self.low_score is not None and self.low_score >= self.high_score:
            expected = f"less than high_score ({self.high_score:g}), or None for no second pass"
            raise ValueError(f"low_score: expected {expected}, got {self.low_score!r}")


def _expected(name: str, kind: str, value: object) -> str | None:
    """Return the values that an option can have, if this is none of them; `kind` is its annotation."""
    optional = kind.endswith("| None")
    if kind == "bool":
        return None if isinstance(value, bool) else "True or False"
    if kind.startswith("Literal"):
        return None if value in ("xyah", "xywh") else "'xyah' or 'xywh'"
    if value is None and optional:
        return None
    if kind == "int" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        return "a whole number from 1"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return "a finite number" + (" or None" if optional else "")
    if name in ("appearance_weight", "appearance_share", "embedding_momentum") and not 0 <= value <= 1:
        return "a share from 0 to 1"
    if name.endswith("iou_limit") and not 0 < value <= 1:
        return "a cost above 0, at most 1"
    if name == "point_cutoff" and value <= 0:
        return "a number above 0, or None"
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
        number_unshown=True,
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
"""Options by preset: "sort" (IoU alone, no patience), "fairmot" (Zhang et al. 2020, appearance first, then IoU),
"bytetrack" (Zhang et al. 2022, arXiv:2110.06864, two passes of IoU), and "default", which is the best measured."""
