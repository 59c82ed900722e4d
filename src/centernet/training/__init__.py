"""Training of a network: the Lightning module, validation, optimiser and schedule, averaged weights, precision."""

from centernet.training.callbacks import EpochSummary, LogDetections
from centernet.training.ema import EMA
from centernet.training.module import DetectionModule
from centernet.training.optimization import Optimization
from centernet.training.start import start_from
from centernet.training.trainer import Trainer

__all__ = ["EMA", "DetectionModule", "EpochSummary", "LogDetections", "Optimization", "Trainer", "start_from"]
