"""Taking out the boxes that do not count, by the rules of MOTChallenge and KITTI, and pairing the others.

The rules are those of TrackEval (https://github.com/JonathonLuiten/TrackEval), which both benchmarks use. They differ
in the roles that they give the boxes of the truth (`centernet.evaluation.tracking.files`), and are then the same steps:

1. In each frame the true boxes, but for regions, are assigned to the results: the largest sum of IoU among pairs of at
   least .5.
2. Results that got a box to be ignored are taken out.
3. Results that got none are taken out if more than half of them lies within a region, or if they are too small (KITTI).
4. Only the true boxes that count remain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from centernet.boxes import intersection_over_area

from ..collecting import Bools, Floats, Ints
from ..pairs import EPSILON, Pairs, row_spans
from .tracks import Role, Tracks


@dataclass(frozen=True, eq=False)
class Comparison:
    """A sequence that is ready to be counted: N true and M found boxes, and which of them overlap.

    Attributes:
        truth_ids: N int64, 0 … num_truth_ids - 1.
        found_ids: M int64, 0 … num_found_ids - 1.
        pairs: of their rows.
        num_truth_ids, num_found_ids: numbers of identities.
        num_frames: of the sequence.
    """

    truth_ids: Ints
    found_ids: Ints
    pairs: Pairs
    num_truth_ids: int
    num_found_ids: int
    num_frames: int

    @classmethod
    def of(cls, truth: Tracks, found: Tracks, num_frames: int, *, min_height: float | None = None) -> Comparison:
        """Take out the boxes that do not count, and pair the others.

        Args:
            truth: with the roles of its boxes.
            found: the results; those with another role than COUNTED take no part.
            num_frames: of the sequence.
            min_height: pixels; results that lie on no box of the truth and are no higher than this are taken out.
        """
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
            drop = _mostly_inside(frames, boxes, truth.frames[regions], truth.boxes[regions])
            if min_height is not None:
                drop |= boxes[:, 3] - boxes[:, 1] <= min_height + EPSILON
            keep &= ~(alone & drop)
        truth_names, truth_ids = np.unique(truth.ids[present][counted], return_inverse=True)
        found_names, found_ids = np.unique(ids[keep], return_inverse=True)
        return cls(
            truth_ids=truth_ids,
            found_ids=found_ids,
            pairs=pairs.without(counted, keep),
            num_truth_ids=len(truth_names),
            num_found_ids=len(found_names),
            num_frames=num_frames,
        )


def _mostly_inside(frames: Ints, boxes: Floats, region_frames: Ints, regions: Floats) -> Bools:
    """Return True for each box (M×4) of which more than half lies within one region (R×4) of its frame."""
    inside = np.zeros(len(frames), np.bool_)
    both = np.intersect1d(frames, region_frames)
    for a, b, c, d in np.concatenate([row_spans(frames, both), row_spans(region_frames, both)], axis=1).tolist():
        inside[a:b] = (intersection_over_area(boxes[a:b], regions[c:d]) > 0.5 + EPSILON).any(axis=1)
    return inside
