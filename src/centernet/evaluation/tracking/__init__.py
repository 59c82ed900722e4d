"""Tracking metrics: HOTA, CLEAR (MOTA) and identity (IDF1), with the rules of MOTChallenge and KITTI."""

from .benchmarks import Format as Format
from .benchmarks import evaluate_tracking as evaluate_tracking
from .evaluator import COMBINED as COMBINED
from .evaluator import TrackingEvaluator as TrackingEvaluator
from .evaluator import TrackingResult as TrackingResult
from .tracks import Role as Role
from .tracks import RowError as RowError
from .tracks import Tracks as Tracks
