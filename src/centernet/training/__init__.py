"""What training adds to a model: the optimiser and its schedule, averaged weights, precision, pictures on the way."""

from centernet.training.callbacks import EpochSummary, LogDetections
from centernet.training.ema import EMA
from centernet.training.optimization import Optimization
from centernet.training.start import start_from
from centernet.training.trainer import Trainer

__all__ = ["EMA", "EpochSummary", "LogDetections", "Optimization", "Trainer", "start_from"]
