"""The tracker: identities over time for the detections of any detector. NumPy and SciPy, no torch."""

from .interpolation import fill_gaps
from .options import PRESETS, TrackerOptions
from .tracker import Tracker

__all__ = ["PRESETS", "Tracker", "TrackerOptions", "fill_gaps"]
