"""The identity metrics (Ristani et al., 2016, arXiv:1609.01775), at an IoU of .5.

Each true track is given at most one found track and the other way round, over the whole sequence, so that as many boxes
as possible agree: IDTP.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..pairs import best_assignment
from .matching import Comparison

COUNTS = ("IDTP", "IDFN", "IDFP")


def identity_sums(compared: Comparison) -> dict[str, float]:
    """Return IDTP, IDFN and IDFP, which add up over sequences."""
    pairs = compared.pairs.where(compared.pairs.iou >= 0.5)
    truth, true_tracks = np.unique(compared.truth_ids[pairs.truth], return_inverse=True)
    found, found_tracks = np.unique(compared.found_ids[pairs.found], return_inverse=True)
    # Tracks that never meet another need not be given one.
    cells, together = np.unique(true_tracks * len(found) + found_tracks, return_counts=True)
    chosen = best_assignment(together, *np.divmod(cells, max(len(found), 1)), (len(truth), len(found)))
    hits = int(together[chosen].sum())
    return {"IDTP": hits, "IDFN": len(compared.truth_ids) - hits, "IDFP": len(compared.found_ids) - hits}


def identity_figures(sums: Mapping[str, float]) -> dict[str, float]:
    """Compute IDF1, IDR and IDP, and return the counts, too."""
    hits, missed, false = (int(sums[name]) for name in COUNTS)
    ratios = {
        "IDF1": hits / max(hits + 0.5 * missed + 0.5 * false, 1),
        "IDR": hits / max(hits + missed, 1),
        "IDP": hits / max(hits + false, 1),
    }
    return {**ratios, "IDTP": hits, "IDFN": missed, "IDFP": false}
