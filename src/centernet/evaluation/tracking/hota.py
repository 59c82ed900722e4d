"""HOTA, higher order tracking accuracy (Luiten et al., IJCV 2021, arXiv:2009.07736); the figures: docs/tracking.md.

For each limit alpha = .05, .10 … .95 a pair of boxes is a true positive (TP) if its IoU reaches alpha. Which boxes are
paired is decided once for all limits, frame by frame: the largest sum of IoU times alignment (`hota_sums`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..collecting import Floats
from ..pairs import EPSILON
from .matching import Comparison

ALPHAS = np.arange(0.05, 0.99, 0.05)


def hota_sums(compared: Comparison) -> dict[str, Floats]:
    """Return the values that add up over sequences, an array of one number for each alpha.

    They are numbers of boxes, and (``…_sum``) sums over the TP of their IoU and of their association scores. The
    alignment of two tracks is their Jaccard index over the whole sequence, with overlaps as soft matches.
    """
    pairs = compared.pairs
    num_truth, num_found = len(compared.truth_ids), len(compared.found_ids)
    of_truth = np.bincount(pairs.truth, pairs.iou, num_truth)  # the sum of the overlaps of each box
    of_found = np.bincount(pairs.found, pairs.iou, num_found)
    around = of_truth[pairs.truth] + of_found[pairs.found] - pairs.iou
    share = np.where(around > EPSILON, pairs.iou / around, 0.0)

    # Pairs of tracks that meet somewhere, and which of them each pair of boxes is from.
    key = compared.truth_ids[pairs.truth] * compared.num_found_ids + compared.found_ids[pairs.found]
    keys, tracks = np.unique(key, return_inverse=True)
    truth_track, found_track = np.divmod(keys, max(compared.num_found_ids, 1))
    truth_length = np.bincount(compared.truth_ids, minlength=compared.num_truth_ids)[truth_track]
    found_length = np.bincount(compared.found_ids, minlength=compared.num_found_ids)[found_track]
    met = np.bincount(tracks, share, len(keys))
    alignment = met / (truth_length + found_length - met)
    # An alignment that is 0 (of tracks that hardly touch) makes no match.
    matched = pairs.assign(alignment[tracks] * pairs.iou)

    iou, tracks = pairs.iou[matched], tracks[matched]
    reached = iou[:, None] >= ALPHAS - EPSILON  # M×19
    true = reached.sum(axis=0).astype(np.float64)
    together = np.stack([np.bincount(tracks[column], minlength=len(keys)) for column in reached.T])  # 19×K
    union = np.maximum(truth_length + found_length - together, 1)
    return {
        "HOTA_TP": true,
        "HOTA_FN": num_truth - true,
        "HOTA_FP": num_found - true,
        "LocA_sum": np.stack([iou[column].sum() for column in reached.T]),
        "AssA_sum": (together * (together / union)).sum(axis=1),
        "AssRe_sum": (together * (together / np.maximum(truth_length, 1))).sum(axis=1),
        "AssPr_sum": (together * (together / np.maximum(found_length, 1))).sum(axis=1),
    }


def hota_figures(sums: Mapping[str, Floats]) -> dict[str, float | tuple[float, ...]]:
    """Compute HOTA, DetA, AssA, LocA, DetRe, DetPr, AssRe, AssPr, OWTA: means over alpha, and ``…_alpha`` for each."""
    true, missed, false = sums["HOTA_TP"], sums["HOTA_FN"], sums["HOTA_FP"]
    hits = np.maximum(true, 1)
    values = {
        "DetA": true / np.maximum(true + missed + false, 1),
        "AssA": sums["AssA_sum"] / hits,
        # 1 where there is no true positive.
        "LocA": np.maximum(sums["LocA_sum"], 1e-10) / np.maximum(true, 1e-10),
        "DetRe": true / np.maximum(true + missed, 1),
        "DetPr": true / np.maximum(true + false, 1),
        "AssRe": sums["AssRe_sum"] / hits,
        "AssPr": sums["AssPr_sum"] / hits,
    }
    values["HOTA"] = np.sqrt(values["DetA"] * values["AssA"])
    values["OWTA"] = np.sqrt(values["DetRe"] * values["AssA"])
    figures: dict[str, float | tuple[float, ...]] = {}
    for name in ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr", "OWTA"):
        figures |= {name: float(values[name].mean()), f"{name}_alpha": tuple(values[name].tolist())}
    figures |= {f"{name}(0)": float(values[name][0]) for name in ("HOTA", "LocA")}
    counts = ("HOTA_TP", "HOTA_FN", "HOTA_FP")
    return figures | {f"{name}_alpha": tuple(sums[name].astype(np.int64).tolist()) for name in counts}
