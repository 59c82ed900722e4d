"""Training of a network: the Lightning module, validation, optimiser and schedule, averaged weights, precision."""

from centernet.training.callbacks import ContinuedLog, EpochSummary, LogDetections, SaveConfig
from centernet.training.ema import EMA
from centernet.training.module import DetectionModule
from centernet.training.optimization import Optimization
from centernet.training.start import start_from
from centernet.training.trainer import Trainer

__all__ = [
    "EMA",
    "ContinuedLog",
    "DetectionModule",
    "EpochSummary",
    "LogDetections",
    "Optimization",
    "SaveConfig",
    "Trainer",
    "start_from",
]
