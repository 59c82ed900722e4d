"""The errors of detections by kind, as TIDE tells them apart (Bolya et al. 2020, arXiv:2008.08115), image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .collecting import Bools, Collected, Floats, Ints
from .matches import Matches
from .pairs import Pairs

KINDS = ("right", "Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "ignored")
"""TIDE's names: mislabelled, badly placed, both, doubled, of nothing, missed."""
RIGHT, CLASS, PLACE, BOTH, DOUBLED, NOTHING, MISSED, IGNORED = range(len(KINDS))
_FITS, _TOUCHES = 0.5, 0.1


@dataclass(frozen=True, eq=False)
class Errors:
    """The kind of each detection and of each true box, as places in `KINDS`.

    Attributes:
        collected: the M detections and N true boxes.
        found: M int8.
        truth: N int8: right (found), Miss, ignored; or Cls and Loc, where an error of that kind lies on it.
        meant: M, the row of the true box that an error of kind Cls, Loc or Dupe lies on; else -1.
        overlap: M, the IoU with that, or with the object of a right one.
    """

    collected: Collected
    found: NDArray[np.int8]
    truth: NDArray[np.int8]
    meant: Ints
    overlap: Floats

    @classmethod
    def of(cls, collected: Collected, num_classes: int) -> Errors:
        """Find the kinds of all errors of these detections."""
        matches = Matches.of(collected, num_classes)
        taken = np.full(len(collected.label), -1)
        taken[matches.row] = matches.found
        whole = collected.with_a_region_for_each_class(num_classes)  # what `taken` counts the rows of
        counting = ~whole.truth_ignore
        kinds = np.full(len(collected.label), IGNORED, np.int8)
        kinds[matches.row] = np.where(matches.true[0, 0], RIGHT, np.where(matches.counted[0, 0], NOTHING, IGNORED))
        best = _Best.of(whole, counting)
        wrong = kinds == NOTHING
        for kind, applies in (
            (BOTH, np.maximum(best.own, best.other) > _TOUCHES),
            (DOUBLED, best.own >= _FITS),
            (CLASS, best.other >= _FITS),
            (PLACE, (best.own >= _TOUCHES) & (best.own < _FITS)),
        ):
            kinds[wrong & applies] = kind
        meant = np.where(kinds == CLASS, best.other_row, best.own_row)
        meant = np.where(np.isin(kinds, (CLASS, PLACE, DOUBLED)), meant, -1)
        truth = np.where(whole.truth_ignore, IGNORED, MISSED).astype(np.int8)
        for kind in (PLACE, CLASS):
            rows = meant[kinds == kind]
            truth[rows[truth[rows] != IGNORED]] = kind
        truth[taken[kinds == RIGHT]] = RIGHT
        overlap = np.where(kinds == CLASS, best.other, best.own)
        return cls(whole, kinds, truth, meant, overlap)

    def counts(self) -> dict[str, int]:
        """Return the number of each kind of error."""
        of_found = {KINDS[kind]: int((self.found == kind).sum()) for kind in range(CLASS, MISSED)}
        return {**of_found, "Miss": int((self.truth == MISSED).sum())}

    def by_image(self) -> Ints:
        """Return images×kinds, how often each kind is there; Miss are true boxes, all others detections."""
        table = np.zeros((self.collected.num_images, len(KINDS)), np.int64)
        np.add.at(table, (self.collected.image, self.found), 1)
        np.add.at(table, (self.collected.truth_image[self.truth == MISSED], MISSED), 1)
        return table


@dataclass(frozen=True, eq=False)
class _Best:
    """The true box of its own class, and of another, that each of M detections overlaps most."""

    own: Floats
    own_row: Ints
    other: Floats
    other_row: Ints

    @classmethod
    def of(cls, collected: Collected, counting: Bools) -> _Best:
        truth = np.flatnonzero(counting)
        truth = truth[np.argsort(collected.truth_image[truth], kind="stable")]
        order = np.argsort(collected.image, kind="stable")
        pairs = Pairs.find(
            collected.truth_image[truth], collected.truth_boxes[truth], collected.image[order], collected.boxes[order]
        )
        rows, found = truth[pairs.truth], order[pairs.found]
        same = collected.truth_label[rows] == collected.label[found]
        parts = []
        for keep in (same, ~same):
            overlap, row = np.zeros(len(order)), np.full(len(order), -1)
            by_overlap = np.flatnonzero(keep)[np.argsort(pairs.iou[keep], kind="stable")]
            overlap[found[by_overlap]] = pairs.iou[by_overlap]  # the last, the largest, stays
            row[found[by_overlap]] = rows[by_overlap]
            parts += [overlap, row]
        return cls(*parts)
