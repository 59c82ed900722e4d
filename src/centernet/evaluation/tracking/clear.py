"""The CLEAR metrics (Bernardin and Stiefelhagen, 2008), as TrackEval counts them, at an IoU of .5.

In each frame true and found boxes are assigned to each other: first as many as possible of the pairs of identities that
were together in the frame before, then the largest sum of IoU. The figures are described in docs/tracking.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..collecting import Floats, Ints
from ..pairs import EPSILON, best_assignment
from .matching import Comparison

_ONWARD = 1000.0  # worth of a pair that was together in the frame before: more than any sum of IoU

COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "MT", "PT", "ML", "Frag", "CLR_Frames")


def clear_sums(compared: Comparison) -> dict[str, float]:
    """Return the values that add up over sequences: the `COUNTS`, and MOTP_sum, the sum of the true positives' IoU.

    As with TrackEval, frames of a sequence without any true or any found box are not in CLR_Frames.
    """
    num_truth, num_found = len(compared.truth_ids), len(compared.found_ids)
    times, rows = _matches(compared)
    truth, found = compared.truth_ids[compared.pairs.truth[rows]], compared.found_ids[compared.pairs.found[rows]]
    overlap = float(compared.pairs.iou[rows].sum())
    hits = len(truth)
    length = np.bincount(compared.truth_ids, minlength=compared.num_truth_ids)
    share = np.bincount(truth, minlength=compared.num_truth_ids) / np.maximum(length, 1)
    mostly, at_all = int((share > 0.8).sum()), int((share >= 0.2).sum())

    order = np.lexsort((times, truth))  # by true track, then by time
    times, truth, found = times[order], truth[order], found[order]
    same = truth[1:] == truth[:-1]
    return {
        "CLR_TP": hits,
        "CLR_FN": num_truth - hits,
        "CLR_FP": num_found - hits,
        "IDSW": int((same & (found[1:] != found[:-1])).sum()),
        "MT": mostly,
        "PT": at_all - mostly,
        "ML": compared.num_truth_ids - at_all,
        "Frag": int((same & (times[1:] - times[:-1] > 1)).sum()),
        "CLR_Frames": compared.num_frames if num_truth and num_found else 0,
        "MOTP_sum": overlap,
    }


class Switch(NamedTuple):
    """A true track that another found track goes on with: the frames and true boxes before and after."""

    track: int  # of the true ones, in the order of their identities
    before: int
    after: int
    box_before: Floats
    box_after: Floats


def switches(compared: Comparison) -> list[Switch]:
    """Return the changes of identity that IDSW counts, by the frame after."""
    times, rows = _matches(compared)
    own, other = compared.pairs.truth[rows], compared.pairs.found[rows]
    order = np.lexsort((times, compared.truth_ids[own]))
    own, other = own[order], compared.found_ids[other[order]]
    track = compared.truth_ids[own]
    found = []
    for i in np.flatnonzero((track[1:] == track[:-1]) & (other[1:] != other[:-1])).tolist():
        before, after = int(own[i]), int(own[i + 1])
        frames = int(compared.frames[before]), int(compared.frames[after])
        found.append(Switch(int(track[i]), *frames, compared.boxes[before], compared.boxes[after]))
    return sorted(found, key=lambda one: (one.after, one.track))


def _matches(compared: Comparison) -> tuple[Ints, Ints]:
    """Return the matches of all frames: the time of each, and its place among the pairs."""
    # Time counts only frames that have boxes of both: others neither end a match nor interrupt a track.
    fits = compared.pairs.iou >= 0.5 - EPSILON
    near, pairs = np.flatnonzero(fits), compared.pairs.where(fits)
    truth, found = compared.truth_ids[pairs.truth], compared.found_ids[pairs.found]
    before = np.full(compared.num_truth_ids, -1)  # the found track that each true track had a frame ago
    times, chosen = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for time, (here, rows, columns, shape) in enumerate(pairs.frames()):
        true_here, found_here = truth[here], found[here]
        scores = pairs.iou[here] + _ONWARD * (before[true_here] == found_here)
        matched = best_assignment(scores, rows, columns, shape)
        before.fill(-1)
        before[true_here[matched]] = found_here[matched]
        times.append(np.full(len(matched), time))
        chosen.append(matched + here.start)
    return np.concatenate(times), near[np.concatenate(chosen)]


def clear_figures(sums: Mapping[str, float]) -> dict[str, float]:
    """Compute MOTA, MOTP and their kin, and the counts. Without true boxes all ratios are 0, and MLR is 1."""
    figures = {name: int(sums[name]) for name in COUNTS}
    hits, missed, false, switches = (sums[name] for name in ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW"))
    true = hits + missed
    tracks = sums["MT"] + sums["PT"] + sums["ML"]
    ratios = {
        "MOTA": (hits - false - switches) / max(true, 1),
        "MOTP": sums["MOTP_sum"] / max(hits, 1),
        "MODA": (hits - false) / max(true, 1),
        "CLR_Re": hits / max(true, 1),
        "CLR_Pr": hits / max(hits + false, 1),
        "MTR": sums["MT"] / max(tracks, 1),
        "PTR": sums["PT"] / max(tracks, 1),
        "MLR": sums["ML"] / max(tracks, 1),
        "sMOTA": (sums["MOTP_sum"] - false - switches) / max(true, 1),
        "MOTAL": (hits - false - (np.log10(switches) if switches else 0)) / max(true, 1),
        "CLR_F1": hits / max(hits + 0.5 * missed + 0.5 * false, 1),
        "FP_per_frame": false / max(sums["CLR_Frames"], 1),
    }
    if not true:
        ratios = dict.fromkeys(ratios, 0.0) | {"MLR": 1.0}
    return {name: float(value) for name, value in ratios.items()} | figures
