"""Taking out the boxes that do not count, by the rules of MOTChallenge and KITTI, and pairing the others.

The rules are those of TrackEval (https://github.com/JonathonLuiten/TrackEval), which both benchmarks use. They differ
only in the roles that they give the boxes of the truth (`benchmarks`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..collecting import Floats, Ints
from ..pairs import EPSILON, Pairs, largest_share_inside
from .tracks import Role, Tracks


@dataclass(frozen=True, eq=False)
class Comparison:
    """A sequence that is ready to be counted: N true and M found boxes, and the pairs of them that overlap."""

    truth_ids: Ints  # N, 0 … num_truth_ids - 1
    found_ids: Ints  # M, 0 … num_found_ids - 1
    frames: Ints  # N, of the true boxes
    boxes: Floats  # N×4, the true ones
    pairs: Pairs
    num_truth_ids: int
    num_found_ids: int
    num_frames: int

    @classmethod
    def of(cls, truth: Tracks, found: Tracks, num_frames: int, *, min_height: float | None = None) -> Comparison:
        """Take out the boxes that do not count, and pair the others; see `TrackingEvaluator.update`."""
        present, own = truth.role(Role.COUNTED, Role.IGNORED, Role.BYSTANDER), found.role(Role.COUNTED)
        frames, boxes, ids = found.frames[own], found.boxes[own], found.ids[own]
        pairs = Pairs.find(truth.frames[present], truth.boxes[present], frames, boxes)
        counted, ignored = (truth.role(role)[present] for role in (Role.COUNTED, Role.IGNORED))
        regions = truth.role(Role.REGION)
        keep = np.ones(len(frames), np.bool_)
        if ignored.any() or regions.any() or min_height is not None:
            likely = pairs.where(pairs.iou >= 0.5 - EPSILON)
            matched = likely.assign(likely.iou)
            keep[likely.found[matched[ignored[likely.truth[matched]]]]] = False
            alone = np.ones(len(frames), np.bool_)
            alone[likely.found[matched]] = False
            inside = largest_share_inside(truth.frames[regions], truth.boxes[regions], frames, boxes)
            drop = inside > 0.5 + EPSILON
            if min_height is not None:
                drop |= boxes[:, 3] - boxes[:, 1] <= min_height + EPSILON
            keep &= ~(alone & drop)
        truth_names, truth_ids = np.unique(truth.ids[present][counted], return_inverse=True)
        found_names, found_ids = np.unique(ids[keep], return_inverse=True)
        pairs = pairs.without(counted, keep)
        own_frames, own_boxes = truth.frames[present][counted], truth.boxes[present][counted]
        sizes = len(truth_names), len(found_names), num_frames
        return cls(truth_ids, found_ids, own_frames, own_boxes, pairs, *sizes)
