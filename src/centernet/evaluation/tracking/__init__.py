"""Tracking metrics: HOTA, CLEAR (MOTA) and identity (IDF1), with the rules of MOTChallenge and KITTI."""

from .benchmarks import Format as Format, evaluate_tracking as evaluate_tracking
from .evaluator import COMBINED as COMBINED, TrackingEvaluator as TrackingEvaluator, TrackingResult as TrackingResult
from .tracks import Role as Role, RowError as RowError, Tracks as Tracks
