"""`centernet fit` and `centernet validate`: a training or an evaluation from one YAML file.

centernet fit --config configs/voc_mobilenet_v2.yaml --data.batch_size 32
centernet validate --config configs/voc_mobilenet_v2.yaml --ckpt_path runs/…/best.ckpt
"""

from __future__ import annotations

import logging
import re
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import CSVLogger

from centernet.annotations.problems import DataError
from centernet.claim import claimed
from centernet.cli.beginning import Beginning, run_name
from centernet.cli.corrections import answer
from centernet.cli.log import quiet_lightning, tell
from centernet.configuration import RENAMED, make_parser, plain
from centernet.data import DataModule
from centernet.data.audit_subject import parts
from centernet.evaluation.error_bars import ErrorBars
from centernet.inference.validation import Validation
from centernet.models import CenterNet
from centernet.network.build import PARTS
from centernet.report import write_report
from centernet.report.runs import Run as ReadRun
from centernet.training import EMA, Distillation, Optimization, Trainer, start_from
from centernet.training.batch_size import measured_batch_size
from centernet.training.callbacks import EpochSummary, KeepValidation, LogDetections, SaveConfig
from centernet.training.display import Display, Introduction
from centernet.training.files import ContinuedLog, RunLog
from centernet.training.monitoring import fit_callbacks, monitored, result, stopping_reason, without_validation
from centernet.training.resuming import Interrupted, checkpoints, command_to_go_on
from centernet.training.test_time import TestTimeLook
from centernet.training.trainer import recorded_precision
from centernet.trust import through
from centernet.whole import write_json

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
TEST_TIME = ("flip", "scales", "soft_nms")
"""Options of `validate` that are those of `Detector`."""
MAIN_FIGURES = ("AP", "AP50", "HOTA", "MOTA", "IDF1")
NOISE = (  # of Lightning, about what is meant to be so
    "does not have many workers",
    "callbacks used to create the checkpoint",
    "smaller than the logging interval",
    "LeafSpec",
    "in eval mode at the start of training",  # frozen stages
    "Checkpoint directory .* exists and is not empty",
    "Total length of `list` across ranks is zero",  # no validation, which is said in plain words
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
        self.arguments = [_with_current_option(argument) for argument in arguments]
        answer(parser, command, self.arguments)
        self.config = parser.parse_args(self.arguments)
        begin = Beginning(parser, self.arguments, self.config, command)
        self.config = begin.config
        self.trust = begin.trust
        pl.seed_everything(self.config.seed_everything, workers=True)
        if self.config.data.seed is None:
            self.config.data.seed = self.config.seed_everything
        with begin.explaining(), through(begin.door):
            made = parser.instantiate(self.config)
        self.model: CenterNet = made.model
        self.model.describe(plain(self.config.model))
        self.model.optimization = made.optimization
        if self.config.teacher is not None and command == "fit":
            teacher, weight = self.config.teacher, self.config.teacher_weight
            self.model.distillation = Distillation(teacher, weight, trust=self.trust)
        self.datamodule: DataModule = made.data
        begin.check(self.model.network)
        if self.config.overfit_one_batch:
            self.datamodule.overfit_one_batch()
            self.model.optimization.reference_batch = 0  # one batch learns at the full rate
        save = SaveConfig("")
        self.monitor: str | None = None
        self.unvalidated: str | None = None
        self.kept = KeepValidation()
        self.checkpoint = ""
        self.done, self.resumed = begin.done, begin.checkpoint
        self.step = None if begin.checkpoint is None else int(begin.checkpoint.get("global_step", 0))
        self.trainer = self._trainer(dict(made.trainer), [made.log_images, save])
        if self.datamodule.automatic_batch_size and command == "fit":
            size = measured_batch_size(self.model, self.datamodule, self.trainer, self.config.memory)
            self.datamodule.batch_size = self.config.data.batch_size = size
        save.text = parser.dump(self.config, skip_none=False)

    def fit(self) -> None:
        """Train, and log the figures, the folder and the checkpoint that is the result."""
        if self.done is not None:
            logger.info("%s", self.done)  # what was asked for is there
            self._complete()
            return
        if self.config.start_from is not None and self.config.ckpt_path is None:  # a run that goes on has its weights
            self._start_from(self.config.start_from)
        self.datamodule.check_objects()
        with self._interruption(), self._claimed():
            self.trainer.fit(self.model, self.datamodule, **self._method_arguments())
        folder = self.trainer.log_dir  # asks all devices
        self.checkpoint, best = result(self.trainer)
        last, stopped = self.model.validated, stopping_reason(self.trainer)
        self._validate_again(self.checkpoint)
        if not self.trainer.is_global_zero:
            return
        if last is not None and self.monitor is not None:
            logger.info("%s", last.table())
        if stopped:
            logger.info("%s", stopped)
        if best is not None:
            logger.info("best %s %.4f", best.monitor, float(best.best_model_score or 0))
        elif self.monitor is None or last is None:
            logger.info("%s: the last weights are the result", self.unvalidated or "no validation ran before the end")
        self._page_of_best(folder)
        if self.checkpoint:
            logger.info("log, configuration and images: %s", folder)
            logger.info("checkpoint: %s", self.checkpoint)

    def _complete(self) -> None:
        """Write the page of a run that was stopped between its last epoch and its page."""
        folder = Path(self.trainer.log_dir or self.config.output)  # asks all devices
        best = folder / "checkpoints" / "best.ckpt"
        if not best.is_file():
            return
        self.checkpoint = str(best)
        if all((folder / name).is_file() for name in ("report.html", "report.json")):
            return
        states = (self.resumed or {}).get("callbacks", {})
        if self.kept.state_key in states:
            self.kept.load_state_dict(states[self.kept.state_key])
            self._validate_again(self.checkpoint)
            if self.trainer.is_global_zero:
                self._page_of_best(folder)

    def _validate_again(self, checkpoint: str) -> None:
        """Evaluate the best weights for the page, where they are of before the run was resumed."""
        if not checkpoint or not self.kept.epoch or self.kept.validation is not None:
            return
        self.trainer.callbacks, self.trainer.loggers = [], []  # type: ignore[attr-defined]  # the log has the figures
        self.trainer.validate(self.model, self.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
        self.kept.validation = self.model.validation

    def _page_of_best(self, folder: str | Path | None) -> None:
        if folder is not None and self.kept.validation is not None:
            self._report(Path(folder), self.kept.validation, f"the figures are those of epoch {self.kept.epoch}")

    def _report(self, folder: Path, validation: Validation, *notes: str, bars: ErrorBars | None = None) -> None:
        """Write the page on a validation to the folder of the run, and say so; a run does not fail by it."""
        calibration = self.model.network.calibration
        threshold = None if calibration is None else calibration.score_threshold
        run = ReadRun.read(folder) if self.command == "fit" else None
        title = f"{run_name(self.config)}, {folder.name}"
        options: dict[str, Any] = {"bars": bars, "run": run, "threshold": threshold, "notes": notes}
        try:
            page = write_report(folder, title, validation=validation, subtitle=f"{validation.dataset!r}", **options)
        except (OSError, ValueError) as error:
            logger.warning("no page on the figures was written: %s", error)
        else:
            logger.info("page: %s", page)

    def _start_from(self, source: str) -> list[str]:
        """Take over the weights of a trained model; new classes begin from what answers in the training images."""
        data = self.datamodule
        batches = data.some_batches() if "train" in data.datasets else None
        return start_from(self.model.network, source, batches, trust=self.trust)

    def validate(self) -> None:
        """Evaluate, print the figures, and write them beside the run."""
        split = self.datamodule.validate_on = self.config.split
        dataset = self.datamodule.datasets.get(split)
        if dataset is None:
            raise DataError(f"data.{split} is not given: there is nothing to evaluate on")
        if dataset.columns.ignore.all():
            raise DataError(
                f"data.{split}: none of the {len(dataset):,} images of {dataset!r} has an object, so there is nothing "
                "to compare detections with; `centernet check` shows what was read"
            )
        start = self.config.start_from if self.config.ckpt_path is None else None
        if start is not None and self.model.class_names is None:  # those of the data, by which it finds its channels
            self.model.class_names = self.datamodule.class_names
        if start is not None and (anew := self._start_from(start)):
            raise ValueError(
                f"validate: the weights of {start} do not fit the model wholly ({anew[0]} would be untrained); give a "
                "checkpoint of this model by --ckpt_path"
            )
        self.model.calibrating = self.config.calibrate is not None
        options = {name: self.config[name] for name in TEST_TIME if self.config[name]}
        if options:
            self.model.looking_again = TestTimeLook(self.model.network, dataset, **options)
        with self._interruption():
            self.trainer.validate(self.model, self.datamodule, **self._method_arguments())
        folder = Path(self.trainer.log_dir or ".")  # asks all devices
        figures = self.model.validated
        if not self.trainer.is_global_zero:
            return
        if figures is None:
            raise DataError("no image was evaluated: trainer.limit_val_batches leaves none")
        assert self.model.validation is not None
        path, bars = folder / "figures.json", self.model.validation.error_bars()
        content: dict[str, Any] = {**figures.stats, "per_class": {c.name: c.ap for c in figures.coco.per_class}}
        if bars.figures:
            content["intervals"] = bars.to_dict()
        write_json(path, content, indent=1)
        tell(figures.table())
        if bars.figures:
            tell(f"\n{bars.table()}")
        by_name = {name: figures.stats[name] for name in MAIN_FIGURES if name in figures.stats}
        tell("\n" + ", ".join(f"val/{name} {value:.4f}" for name, value in by_name.items()))  # as `--monitor` has them
        self._report(folder, self.model.validation, bars=bars)
        tell(f"figures: {path}")
        if self.config.calibrate is not None:
            self._save_calibrated(Path(self.config.calibrate))

    def _save_calibrated(self, folder: Path) -> None:
        """Write the model with the calibration that the validation has fitted."""
        calibration = self.model.calibration
        if calibration is None:
            raise DataError(
                "--calibrate: nothing was written: too few detections to fit it, at least 50 right and 50 wrong ones "
                "of a score from .05 on are needed"
            )
        self.model.save_pretrained(folder)
        tell(
            f"temperature {calibration.temperature:g}, shift {calibration.shift:g}; best F1 from the score "
            f"{calibration.score_threshold:.3f} on; {len(calibration.class_thresholds)} classes have one of their own"
        )
        tell(f"calibrated model: {folder}")

    @contextmanager
    def _interruption(self) -> Iterator[None]:
        """Turn Lightning's end of a process after Ctrl-C into an `Interrupted` that says how to go on."""
        handler = signal.getsignal(signal.SIGINT)
        try:
            yield
        except SystemExit as stop:
            if not self.trainer.interrupted:
                raise
            signal.signal(signal.SIGINT, handler)
            if self.command == "validate":
                raise Interrupted("nothing was written") from stop
            last = Path(self.trainer.log_dir or self.config.output) / "checkpoints" / "last.ckpt"
            if not last.is_file():
                text = "no epoch was finished, so there is no checkpoint to go on from: the same command begins again"
                raise Interrupted(text) from stop
            found = checkpoints(Path(self.config.output), run_name(self.config))
            command = command_to_go_on(self.arguments, last, found[0] if found else None)
            raise Interrupted(f"what was finished before is kept; go on with:\n{command}") from stop

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Hold the folder of the run, so that nobody else trains in it meanwhile."""
        folder = self.trainer.log_dir  # asks all devices
        with claimed(folder) if folder is not None and self.trainer.is_global_zero else nullcontext():
            yield

    def _method_arguments(self) -> dict[str, Any]:
        names = {"fit": ("ckpt_path", "weights_only"), "validate": ("ckpt_path", "weights_only", "verbose")}
        return {name: self.config[name] for name in names[self.command]}

    def _trainer(self, settings: dict[str, Any], extra: list[Callback]) -> pl.Trainer:
        if self.config.overfit_one_batch:
            settings |= {"max_epochs": 300, "check_val_every_n_epoch": 50, "num_sanity_val_steps": 0}
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
            callbacks += self._fit_callbacks(callbacks, settings)
        callbacks.append(Introduction())
        if settings.get("enable_progress_bar") is not False and not _has(callbacks, ProgressBar):
            callbacks.append(Display())
        if settings.get("precision") == "auto" and self.resumed is not None:  # a second measurement may differ
            settings["precision"] = recorded_precision(self.resumed) or "auto"
        return Trainer(**{**settings, "callbacks": callbacks})

    def _fit_callbacks(self, given: Sequence[Callback], settings: dict[str, Any]) -> list[Callback]:
        added: list[Callback] = [EMA(self.config.ema_decay)] if self.config.ema_decay else []
        if not _has(given, EpochSummary):
            added.append(EpochSummary())
        self.unvalidated = without_validation(self.datamodule, settings)
        if self.unvalidated is None:
            self.monitor = monitored(self.model.network, self.datamodule.datasets["val"], self.config.monitor)
            self.kept = KeepValidation(self.monitor)
            added.append(self.kept)
        elif self.config.monitor or self.config.patience:
            raise ValueError(f"--monitor and --patience need figures of a validation: {self.unvalidated}")
        else:
            warnings.warn(f"{self.unvalidated}: the last weights will be the result", stacklevel=2)
        if settings.get("enable_checkpointing") is not False:
            own = _has(given, ModelCheckpoint)
            added += fit_callbacks(self.monitor, self.config.patience, checkpoints=not own)
        return added

    def _log(self) -> CSVLogger:
        """Return the log of a new run, named as its configuration, or that of the run that a checkpoint is from."""
        checkpoint = self.config.ckpt_path if self.command == "fit" else None
        if checkpoint and Path(checkpoint).is_file() and Path(checkpoint).parent.name == "checkpoints":
            folder = Path(checkpoint).resolve().parent.parent
            if (folder / "metrics.csv").is_file():
                return ContinuedLog(folder, self.step)
        return RunLog(self.config.output, name=run_name(self.config))


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
    text = "Begin with the weights of a model: one of the package, a folder or a .ckpt; what does not fit begins anew."
    parser.add_argument("--start_from", type=str | None, default=None, help=text)
    text = "Run modules of classes of its own that a checkpoint names; only where you trust its author."
    parser.add_argument("--trust", action="store_true", help=text)
    text = "Learn from a frozen model, too: one of the package, a folder or a .ckpt that knows some of the classes."
    parser.add_argument("--teacher", type=str | None, default=None, help=text)
    text = "Of what the teacher adds to the loss."
    parser.add_argument("--teacher_weight", type=PositiveFloat, default=1.0, help=text)
    text = "Go on with the newest checkpoint of the run of this name under --output."
    parser.add_argument("--resume", action="store_true", help=text)
    text = (
        "Figure of validation whose best value best.ckpt has: AP, AP50, HOTA, loss …; val/HOTA for a tracker's videos, "
    )
    parser.add_argument("--monitor", type=str | None, default=None, help=text + "else val/AP, when null.")
    text = "Stop after so many validations without a better value of that figure; null for never."
    parser.add_argument("--patience", type=PositiveInt | None, default=None, help=text)
    text = "GB that `--data.batch_size auto` may use on the device; most of what is free when null."
    parser.add_argument("--memory", type=PositiveFloat | None, default=None, help=text)
    parser.add_argument("--split", type=Literal["val", "test"], default="val", help="Of the data, for `validate`.")
    parser.add_class_arguments(LogDetections, "log_images")
    for name in ("preprocessing", "class_names", "num_classes"):
        parser.link_arguments(f"model.{name}", f"data.{name}", apply_on="instantiate")
    given = {"model", "train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}
    parser.add_method_arguments(Trainer, command, skip=given)
    if command == "validate":
        text = "Folder for the model with its scores calibrated on this split, which should not have trained it."
        parser.add_argument("--calibrate", type=str | None, default=None, help=text)
        text = "Look at the mirror images too, and average."
        parser.add_argument("--flip", action="store_true", help=text)
        text = "Look at images resized by each of these, such as [0.5, 1, 1.5], and merge by soft suppression; for "
        text += "models whose preprocessing.resize is fix_res or keep_res."
        parser.add_argument("--scales", type=list[PositiveFloat] | None, default=None, help=text)
        text = "Lower the scores of objects that overlap better ones of their class, at one scale too."
        parser.add_argument("--soft-nms", action="store_true", help=text)
        parser.set_defaults(verbose=False)  # Lightning's table of what is printed anyway
    return parser


def _has(callbacks: Sequence[Callback], kind: type[Callback]) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)


def _with_current_option(argument: str) -> str:
    """Return an argument with the former name of a section replaced."""
    for old, new in RENAMED.items():
        argument = re.sub(rf"^--{old}\.", f"--{new}.", argument)
    return argument
