"""The figures of tracks by sequence, and the changes of identity with their frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from centernet.evaluation.tracking import COMBINED, TrackingResult
from centernet.evaluation.tracking.clear import switches
from centernet.evaluation.tracking.matching import Comparison
from centernet.inference.validation import Validation

FIGURES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "CLR_FP", "CLR_FN", "Frag", "GT_IDs", "IDs")
_MOST = 200  # switches that are listed


def describe_tracks(validation: Validation, result: TrackingResult | None) -> dict[str, Any] | None:
    """Return the figures of each sequence and class, and the changes of identity; None without videos."""
    if result is None:
        return None
    rows: list[dict[str, Any]] = []
    for class_name, sequences in result.classes.items():
        for name, figures in sequences.items():
            if figures["GT_Dets"] or figures["Dets"] or len(result.classes) == 1:
                row = {"class": class_name, "sequence": name, "combined": name == COMBINED}
                rows.append(row | {key: figures[key] for key in FIGURES})
    found: list[dict[str, Any]] = []
    for video in validation.videos:
        for class_name, truth in video.truth.items():
            compared = Comparison.of(truth, video.found[class_name], len(video.indices))
            for one in switches(compared):
                boxes = [np.round(box, 1).tolist() for box in (one.box_before, one.box_after)]
                found.append({
                    "sequence": video.name, "class": class_name, "before": one.before, "after": one.after,
                    "boxes": boxes, "indices": [video.indices[one.before], video.indices[one.after]],
                })  # fmt: skip
    content = {"rows": rows, "switches": found[:_MOST], "all_switches": len(found)}
    return content | {"faults": _faults(rows, len(found))}


def _faults(rows: list[dict[str, Any]], changes: int) -> list[tuple[float, str]]:
    """Return what costs a tracker most, each with how much."""
    combined = [row for row in rows if row["combined"]]
    faults: list[tuple[float, str]] = []
    for row in combined:
        missed, false = row["CLR_FN"], row["CLR_FP"]
        weaker = "detection" if row["DetA"] < row["AssA"] else "association"
        text = f"tracks of {row['class']}: {weaker} is the weaker half (DetA {row['DetA']:.3f}, AssA {row['AssA']:.3f})"
        text += f"; {missed:,} boxes are missed and {false:,} are false"
        faults.append((1 - min(row["DetA"], row["AssA"]), text))
    if changes:
        faults.append((0.3, f"{changes:,} changes of identity"))
    single = [row for row in rows if not row["combined"]]
    if len(single) > 1:
        worst = min(single, key=lambda row: row["HOTA"])
        faults.append((0.2, f"worst sequence: {worst['sequence']} ({worst['class']}), HOTA {worst['HOTA']:.3f}"))
    return faults
