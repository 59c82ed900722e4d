"""`centernet fit` and `centernet validate`: a training or an evaluation from one YAML file.

centernet fit --config configs/voc_mobilenet_v2.yaml --data.batch_size 32
centernet validate --config configs/voc_mobilenet_v2.yaml --ckpt_path runs/…/best.ckpt
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import CSVLogger

from centernet.cli.log import quiet_lightning
from centernet.configuration import RENAMED, make_parser, plain, with_current_paths
from centernet.data import DataModule
from centernet.data.audit_subject import parts
from centernet.models import CenterNet
from centernet.network.build import PARTS, trained_section
from centernet.network.tensor_files import read_checkpoint
from centernet.training import EMA, Optimization, Trainer, start_from
from centernet.training.callbacks import ContinuedLog, EpochSummary, LogDetections, SaveConfig
from centernet.training.display import Display, Introduction

logger = logging.getLogger(__name__)

Command = Literal["fit", "validate"]

DESCRIPTIONS = {
    "fit": "Train a model. Example: centernet fit --config configs/voc_mobilenet_v2.yaml",
    "validate": "Evaluate a checkpoint. "
    "Example: centernet validate --config configs/voc_mobilenet_v2.yaml --ckpt_path best.ckpt",
}
TRAINER_DEFAULTS = {
    "log_every_n_steps": 20,
    "gradient_clip_val": 10.0,
    "use_distributed_sampler": False,
    "enable_model_summary": False,
}
NOISE = (  # of Lightning, about what is meant to be so
    "does not have many workers",
    "callbacks used to create the checkpoint",
    "smaller than the logging interval",
    "LeafSpec",
    "in eval mode at the start of training",  # frozen stages
    "Checkpoint directory .* exists and is not empty",
)


def main(arguments: Sequence[str], command: Command) -> int:
    """Run a command; errors in the user's data or files are left to `centernet.cli.main`."""
    run(arguments, command)
    return 0


def run(arguments: Sequence[str], command: Command) -> Run:
    """Run a command and hand back its model, data and trainer."""
    for message in NOISE:
        warnings.filterwarnings("ignore", message=f".*{message}.*")
    with quiet_lightning():
        made = Run(arguments, command)
        made.fit() if command == "fit" else made.validate()
    return made


class Run:
    """A training or an evaluation, put together from the arguments of a command.

    Attributes:
        config: every value that is used.
        model: the `CenterNet`.
        datamodule: its data.
        trainer: with the loggers and callbacks that a person expects of a run.
    """

    def __init__(self, arguments: Sequence[str], command: Command) -> None:
        self.command = command
        parser = _parser(command)
        self.config = parser.parse_args([_with_current_option(argument) for argument in arguments])
        checkpoint = self.config.ckpt_path
        if checkpoint and Path(checkpoint).is_file():  # it says what the model is
            section = read_checkpoint(checkpoint).get("hyper_parameters")
            if section:
                current = {"model": with_current_paths(trained_section(section))}
                self.config = parser.parse_object(current, self.config)
        pl.seed_everything(self.config.seed_everything, workers=True)
        made = parser.instantiate(self.config)
        self.model: CenterNet = made.model
        self.model.describe(plain(self.config.model))
        self.model.optimization = made.optimization
        self.datamodule: DataModule = made.data
        save = SaveConfig(parser.dump(self.config, skip_none=False))
        self.trainer = self._trainer(dict(made.trainer), [made.log_images, save])

    def fit(self) -> None:
        """Train, and log the figures, the folder and the best checkpoint."""
        if self.config.start_from is not None and self.config.ckpt_path is None:  # a run that goes on has its weights
            start_from(self.model.network, self.config.start_from)
        if self.config.overfit_one_batch:
            self.datamodule.overfit_one_batch()
            self.model.optimization.reference_batch = 0  # type: ignore[union-attr] # one batch learns at the full rate
        self.trainer.fit(self.model, self.datamodule, **self._method_arguments())
        folder = self.trainer.log_dir  # asks all devices
        if not self.trainer.is_global_zero:
            return
        if self.model.validated is not None:
            logger.info("%s", self.model.validated.table())
        checkpoint = self.trainer.checkpoint_callback
        if isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_path:
            logger.info("best val/AP %.4f", float(checkpoint.best_model_score or 0))
            logger.info("log, configuration and images: %s", folder)
            logger.info("checkpoint: %s", checkpoint.best_model_path)

    def validate(self) -> None:
        """Evaluate, print the figures, and write them beside the run."""
        self.datamodule.validate_on = self.config.split
        self.trainer.validate(self.model, self.datamodule, **self._method_arguments())
        folder = Path(self.trainer.log_dir or ".")  # asks all devices
        result = self.model.validated
        if result is None or not self.trainer.is_global_zero:
            return
        path = folder / "figures.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**result.stats, "per_class": {c.name: c.ap for c in result.coco.per_class}}
        path.write_text(json.dumps(content, indent=1))
        print(result.table())
        print(f"figures: {path}")

    def _method_arguments(self) -> dict[str, Any]:
        names = {"fit": ("ckpt_path", "weights_only"), "validate": ("ckpt_path", "weights_only", "verbose")}
        return {name: self.config[name] for name in names[self.command]}

    def _trainer(self, settings: dict[str, Any], extra: list[Callback]) -> pl.Trainer:
        callbacks = settings.get("callbacks") or []
        callbacks = [*(callbacks if isinstance(callbacks, list) else [callbacks]), *extra[:1]]
        if not settings.get("fast_dev_run"):
            callbacks += extra[1:]
        loggers = settings.get("logger")
        if loggers is not False:
            given = loggers if isinstance(loggers, list) else [] if loggers in (None, True) else [loggers]
            settings["logger"] = [self._log(), *(sink for sink in given if not isinstance(sink, CSVLogger))]
        if self.command == "validate":
            settings["enable_checkpointing"] = False
        else:
            callbacks += self._fit_callbacks(callbacks, checkpoints=settings.get("enable_checkpointing") is not False)
        callbacks.append(Introduction())
        if settings.get("enable_progress_bar") is not False and not _has(callbacks, ProgressBar):
            callbacks.append(Display())
        if self.config.overfit_one_batch:
            settings |= {"max_epochs": 300, "check_val_every_n_epoch": 50, "num_sanity_val_steps": 0}
        return Trainer(**{**settings, "callbacks": callbacks})

    def _fit_callbacks(self, given: Sequence[Callback], *, checkpoints: bool) -> list[Callback]:
        added: list[Callback] = [EMA(self.config.ema_decay)] if self.config.ema_decay else []
        if not _has(given, EpochSummary):
            added.append(EpochSummary())
        if checkpoints and not any(isinstance(callback, ModelCheckpoint) for callback in given):
            best = ModelCheckpoint(monitor="val/AP", mode="max", filename="best", enable_version_counter=False)
            # save_last=True would write only when there is a new best.
            last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
            added += [best, last]
        return added

    def _log(self) -> CSVLogger:
        """Return the log of a new run, named as its configuration, or that of the run that a checkpoint is from."""
        checkpoint = self.config.ckpt_path if self.command == "fit" else None
        if checkpoint and Path(checkpoint).is_file() and Path(checkpoint).parent.name == "checkpoints":
            folder = Path(checkpoint).resolve().parent.parent
            if (folder / "metrics.csv").is_file():
                return ContinuedLog(folder)
        files = [Path(str(file)) for file in self.config.config or ()]
        return CSVLogger(self.config.output, name=files[0].stem if files else "run")


def _parser(command: Command) -> Any:
    parser = make_parser(
        {**PARTS, **parts()}, prog=f"centernet {command}", description=DESCRIPTIONS[command], exit_on_error=True
    )
    parser.add_argument("-c", "--config", action="config", help="Path of a configuration file in YAML.")
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of all random numbers.")
    parser.add_class_arguments(Trainer, "trainer", fail_untyped=False, instantiate=False, sub_configs=True)
    parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
    parser.add_class_arguments(CenterNet, "model", fail_untyped=False, sub_configs=True)
    parser.add_class_arguments(DataModule, "data", fail_untyped=False, sub_configs=True)
    parser.add_class_arguments(Optimization, "optimization")
    parser.add_argument("--ema_decay", type=float, default=0.998, help="Of the averaged weights; 0 for none.")
    parser.add_argument("--output", type=str, default="runs", help="Folder that the run is written under.")
    text = "Train and evaluate on one batch, unaugmented, for a first look: AP must come near 1."
    parser.add_argument("--overfit-one-batch", action="store_true", help=text)
    text = "Begin with the weights of a model: voc-lite, a folder or a .ckpt; what does not fit begins anew."
    parser.add_argument("--start_from", type=str | None, default=None, help=text)
    parser.add_argument("--split", type=Literal["val", "test"], default="val", help="Of the data, for `validate`.")
    parser.add_class_arguments(LogDetections, "log_images")
    for name in ("preprocessing", "class_names", "num_classes"):
        parser.link_arguments(f"model.{name}", f"data.{name}", apply_on="instantiate")
    given = {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}
    parser.add_method_arguments(Trainer, command, skip=given)
    if command == "validate":
        parser.set_defaults(verbose=False)  # Lightning's table of what is printed anyway
    return parser


def _has(callbacks: Sequence[Callback], kind: type[Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)


def _with_current_option(argument: str) -> str:
    """Return an argument with the former name of a section replaced."""
    for old, new in RENAMED.items():
        argument = re.sub(rf"^--{old}\.", f"--{new}.", argument)
    return argument
