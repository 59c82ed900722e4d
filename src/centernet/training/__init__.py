"""Training of a network: the Lightning module, validation, optimiser and schedule, averaged weights, precision."""

from centernet.training.callbacks import (
    EpochSummary as EpochSummary,
    LogDetections as LogDetections,
    SaveConfig as SaveConfig,
)
from centernet.training.display import Display as Display, Introduction as Introduction
from centernet.training.distillation import Distillation as Distillation
from centernet.training.ema import EMA as EMA
from centernet.training.files import ContinuedLog as ContinuedLog, RunLog as RunLog
from centernet.training.module import DetectionModule as DetectionModule
from centernet.training.optimization import Optimization as Optimization
from centernet.training.start import start_from as start_from
from centernet.training.trainer import Trainer as Trainer
