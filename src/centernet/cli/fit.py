"""`centernet fit` and `centernet validate`: Lightning's command line over one YAML file.

centernet fit --config configs/voc_mobilenet_v2.yaml --data.batch_size 32
centernet validate --config configs/voc_mobilenet_v2.yaml --ckpt_path runs/…/best.ckpt
"""

from __future__ import annotations

import csv
import json
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger

from centernet.configuration import MODE, explain, plain, register_loader
from centernet.data import DataModule
from centernet.models import CenterNet
from centernet.network.build import PARTS
from centernet.training import EMA, EpochSummary, LogDetections, Optimization, Trainer, start_from

logger = logging.getLogger(__name__)


class SaveConfig(SaveConfigCallback):
    """Every value that was used, beside the run (`config.yaml`) and inside its checkpoints (`config`)."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["config"] = self.parser.dump(self.config, skip_none=False)


class Parser(LightningArgumentParser):
    """Lightning's, with errors that list the choices where a part's name is unknown."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        return super().error(explain(message, PARTS), ex)


class CLI(LightningCLI):
    """Model, data, optimisation and trainer from one file; the defaults of a run that a person expects."""

    def __init__(self, arguments: Sequence[str], *, configured: str = "run") -> None:
        self._name = configured
        register_loader()
        super().__init__(
            CenterNet,
            DataModule,
            trainer_class=Trainer,
            trainer_defaults={"log_every_n_steps": 20, "gradient_clip_val": 10.0, "use_distributed_sampler": False},
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},  # by a run that goes on in its folder
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={
                "fit": {
                    "parser_mode": MODE,
                    "prog": "centernet fit",
                    "description": "Train a model. Example: centernet fit --config configs/voc_mobilenet_v2.yaml",
                },
                "validate": {
                    "parser_mode": MODE,
                    "prog": "centernet validate",
                    "description": "Evaluate a checkpoint. "
                    "Example: centernet validate --config configs/voc_mobilenet_v2.yaml --ckpt_path best.ckpt",
                },
            },
            args=list(arguments),
            auto_configure_optimizers=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
            "validate": {"model", "dataloaders", "datamodule"},
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(Optimization, "optimization")
        parser.add_argument("--ema_decay", type=float, default=0.998, help="Of the averaged weights; 0 for none.")
        parser.add_argument("--output", type=str, default="runs", help="Folder that the run is written under.")
        parser.add_argument(
            "--overfit-one-batch",
            action="store_true",
            help="Train and evaluate on one batch, unaugmented, for a first look: AP must come near 1.",
        )
        parser.add_argument(
            "--start_from",
            type=str | None,
            default=None,
            help="Begin with the weights of a model: voc-lite, a folder or a .ckpt; what does not fit begins anew.",
        )
        parser.add_argument("--split", type=Literal["val", "test"], default="val", help="What `validate` evaluates.")
        parser.add_lightning_class_args(LogDetections, "pictures")
        parser.link_arguments("model.preprocessing", "data.preprocessing", apply_on="instantiate")
        parser.link_arguments("model.class_names", "data.class_names", apply_on="instantiate")
        parser.link_arguments("model.num_classes", "data.num_classes", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        self.model.describe(plain(self._get(self.config, "model")))
        self.model.optimization = self._get(self.config_init, "optimization")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        settings = self._get(self.config_init, "trainer")
        output = self._get(self.config, "output")
        folder = self._folder_to_go_on_in()
        log = CSVLogger(output, name=self._name) if folder is None else _csv_that_goes_on(folder)
        if settings.get("logger") is None or settings["logger"] is True:
            kwargs["logger"] = log
        elif settings["logger"] is not False:
            given = settings["logger"] if isinstance(settings["logger"], list) else [settings["logger"]]
            kwargs["logger"] = [log, *(sink for sink in given if not isinstance(sink, CSVLogger))]
        callbacks: list[Callback] = list(settings.get("callbacks") or [])
        if self.subcommand == "fit":
            decay = self._get(self.config, "ema_decay")
            if decay:
                callbacks.append(EMA(decay))
            callbacks.append(EpochSummary())
            if not any(isinstance(callback, ModelCheckpoint) for callback in callbacks) and settings.get(
                "enable_checkpointing"
            ) in (None, True):
                best = ModelCheckpoint(monitor="val/AP", mode="max", filename="best", enable_version_counter=False)
                # save_last=True would write only when there is a new best.
                last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
                callbacks += [best, last]
        if self.subcommand == "validate":
            kwargs["enable_checkpointing"] = False
        if settings.get("enable_progress_bar") is not False:
            if sys.stdout.isatty():
                callbacks.append(RichProgressBar())
            else:
                kwargs["enable_progress_bar"] = False
        if self._get(self.config, "overfit_one_batch"):
            kwargs |= {"max_epochs": 300, "check_val_every_n_epoch": 50, "num_sanity_val_steps": 0}
        kwargs["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def _folder_to_go_on_in(self) -> Path | None:
        """Of a resumed run: where its log and checkpoints are."""
        given = self._get(self.config, "ckpt_path") if self.subcommand == "fit" else None
        if not given or not Path(given).is_file() or Path(given).parent.name != "checkpoints":
            return None
        folder = Path(given).resolve().parent.parent
        return folder if (folder / "metrics.csv").is_file() else None

    def before_fit(self) -> None:
        start = self._get(self.config, "start_from")
        if start is not None and self._get(self.config, "ckpt_path") is None:  # a run that goes on has its own weights
            start_from(self.model.network, start)
        if self._get(self.config, "overfit_one_batch"):
            self.datamodule.overfit_one_batch()
            self._get(self.config_init, "optimization").reference_batch = 0  # one batch is learned at the full rate

    def fit(self, **kwargs: Any) -> None:
        self.trainer.fit(**kwargs)
        folder = self.trainer.log_dir  # asks all devices
        if not self.trainer.is_global_zero:
            return
        if self.model.validated is not None:
            logger.info("%s", self.model.validated.table())
        checkpoint = self.trainer.checkpoint_callback
        if isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_path:
            logger.info("best val/AP %.4f", float(checkpoint.best_model_score or 0))
            logger.info("log, configuration and pictures: %s", folder)
            logger.info("checkpoint: %s", checkpoint.best_model_path)

    def validate(self, **kwargs: Any) -> None:
        self.datamodule.validate_on = self._get(self.config, "split")
        self.trainer.validate(**kwargs)
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


def _csv_that_goes_on(folder: Path) -> CSVLogger:
    """A log in the folder of a stopped run that keeps its rows; Lightning's would delete them."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    log = CSVLogger(folder.parent.parent, name=folder.parent.name, version=folder.name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will be deleted.*")
        writer = log.experiment
    if isinstance(getattr(writer, "metrics", None), list):  # on the first device
        writer.metrics.extend(rows)
        writer.save()
    return log


def main(arguments: Sequence[str], subcommand: Literal["fit", "validate"]) -> int:
    """Run a subcommand; errors in the user's data or files are left to `centernet.cli.main`."""
    run(arguments, subcommand)
    return 0


def run(arguments: Sequence[str], subcommand: Literal["fit", "validate"]) -> CLI:
    """Run a subcommand and hand back its model, data and trainer."""
    # Lightning calls a method of the parser that jsonargparse renames, and asks for more workers than small data needs.
    warnings.filterwarnings("ignore", message=".*instantiate_classes.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # frozen stages
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "Tip:" not in record.getMessage()
    )
    return CLI([subcommand, *arguments], configured=_config_name(arguments))


def _config_name(arguments: Sequence[str]) -> str:
    """Stem of the configuration file, for the run's folder."""
    for i, argument in enumerate(arguments):
        if argument in ("-c", "--config") and i + 1 < len(arguments):
            return Path(arguments[i + 1]).stem
        if argument.startswith("--config="):
            return Path(argument.partition("=")[2]).stem
    return "run"
