"""Tracking metrics: HOTA, CLEAR (MOTA) and identity (IDF1), with the rules of MOTChallenge and KITTI."""

from .benchmarks import FORMATS, Format, evaluate_tracking
from .evaluator import COMBINED, TrackingEvaluator, TrackingResult
from .tracks import Role, RowError, Tracks

__all__ = [
    "COMBINED",
    "FORMATS",
    "Format",
    "Role",
    "RowError",
    "TrackingEvaluator",
    "TrackingResult",
    "Tracks",
    "evaluate_tracking",
]
