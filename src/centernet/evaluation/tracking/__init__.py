"""Tracking metrics: HOTA, CLEAR (MOTA) and identity (IDF1), with the rules of MOTChallenge and KITTI."""

from .benchmarks import Format, evaluate_tracking
from .evaluator import COMBINED, TrackingEvaluator, TrackingResult
from .tracks import Role, RowError, Tracks

__all__ = [
    "COMBINED",
    "Format",
    "Role",
    "RowError",
    "TrackingEvaluator",
    "TrackingResult",
    "Tracks",
    "evaluate_tracking",
]
