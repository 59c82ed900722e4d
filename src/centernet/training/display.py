"""The display of a run: a few lines on what is trained, then one live line in a terminal or plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from centernet.data.batch import Batch
from centernet.inference.writers import counted

logger = logging.getLogger(__name__)

REFRESH = 0.2
"""Seconds between two looks of the live line."""
BAR = 8
"""Least width of the bar, which else is a fifth of the terminal's; without room for it there is none."""


class Introduction(Callback):
    """Say what is trained or evaluated, on what, and where the results go, before it begins."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say(trainer, pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._say(trainer, pl_module)

    def _say(self, trainer: pl.Trainer, module: Any) -> None:
        folder = trainer.log_dir  # asks all devices
        if trainer.is_global_zero:
            for line in introduce(trainer, module.network, folder):
                logger.info("%s", line)


def introduce(trainer: pl.Trainer, network: Any, folder: str | None) -> list[str]:
    """Return lines that say what a run works with.

    Args:
        trainer: of the run, with its model and data attached.
        network: the `Network`.
        folder: that the run is written to.
    """
    parts = [_title(network, "backbone"), type(network.neck).__name__]
    parts += dict.fromkeys(type(head).__name__ for head in network.every_head)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        f"model: {', '.join(parts)}; {network.num_classes} classes, {parameters / 1e6:,.2f} M parameters",
        f"input: {_input(network, getattr(trainer, 'datamodule', None))}",
    ]
    steps = trainer.num_training_batches
    if trainer.state.fn == "fit" and steps != float("inf"):
        lines[-1] += f", {counted(int(steps), 'step')} an epoch, {_length(trainer)}"
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    number = f"{trainer.world_size} × " if trainer.world_size > 1 else ""
    lines.append(f"device: {number}{name}, precision {trainer.precision}")
    if trainer.ckpt_path is not None:
        lines.append(f"{'goes on from' if trainer.state.fn == 'fit' else 'weights'}: {trainer.ckpt_path}")
    return lines if folder is None else [*lines, f"output: {folder}"]


def _title(network: Any, part: str) -> str:
    """Return the class of a part, with its name where it has one, as "ResNet resnet18"."""
    section = network.hyper_parameters.get(part)
    arguments = section.get("init_args") if isinstance(section, Mapping) else None
    name = (arguments or {}).get("name")
    return type(getattr(network, part)).__name__ + (f" {name}" if isinstance(name, str) else "")


def _input(network: Any, data: Any) -> str:
    preprocessing = network.preprocessing
    size = "images in their own size" if not preprocessing.one_size else "×".join(map(str, preprocessing.size))
    sizes = getattr(getattr(data, "schedule", None), "sizes", ())
    if sizes:
        size += f" (trained at {', '.join('×'.join(map(str, one)) for one in sizes)})"
    batch = getattr(data, "batch_size", None)
    return size if batch is None else f"{size}, batches of {batch}"


def _length(trainer: pl.Trainer) -> str:
    epochs, steps = trainer.max_epochs, trainer.max_steps
    parts = [] if epochs is None or epochs == -1 else [counted(epochs, "epoch")]
    parts += [] if steps == -1 else [counted(steps, "step")]
    return " or ".join(parts) or "without a set end"


def epoch_title(trainer: pl.Trainer) -> str:
    """Return "epoch 3/60": epochs are counted from 1, and the last is left out where none is set."""
    last = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
    return f"epoch {trainer.current_epoch + 1}{last}"


@dataclass
class Pace:
    """Speed of the last batches; time between two stretches of work does not count.

    Attributes:
        seconds: a batch takes; 0 before the first.
        images: a second.
    """

    seconds: float = 0.0
    images: float = 0.0
    _marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=50))  # time, images until then

    def begin(self) -> None:
        """Start the clock."""
        self._marks.clear()
        self._marks.append((time.monotonic(), 0))

    def add(self, images: int) -> None:
        """Count a batch."""
        self._marks.append((time.monotonic(), self._marks[-1][1] + images))
        (start, before), (now, after) = self._marks[0], self._marks[-1]
        self.seconds = max(now - start, 1e-9) / (len(self._marks) - 1)
        self.images = (after - before) / max(now - start, 1e-9)


@dataclass
class Stage:
    """The training batches of an epoch, or a validation.

    Attributes:
        title: as "epoch 3/60".
        total: batches; infinite where nobody knows.
        pace: of its batches.
        unit: noun for a batch.
        done: batches.
        note: in place of the figures, where no batches are counted.
    """

    title: str
    total: float
    pace: Pace
    unit: str = "step"
    done: int = 0
    note: str = ""


class Display(ProgressBar):
    """Progress of a run: epoch from 1, step, loss, images a second, and the time that the whole run still takes.

    In a terminal it is one line, drawn anew in its place, under all that is printed; the validation is shown in the
    same place, and at the end the line is taken away. Elsewhere, in a file or pipe, a plain line comes now and then.

    Args:
        every: seconds between two plain lines.
    """

    def __init__(self, every: float = 30.0) -> None:
        super().__init__()
        self.every = every
        self._enabled = True
        self._live: Live | None = None
        self._shown = float("-inf")
        self._loss: float | None = None
        self._training, self._validating = Pace(), Pace()
        self._epoch = self._stage = Stage("starting", float("inf"), self._training, note="the first images are read")
        self._validation_start = self._validation_seconds = 0.0

    def disable(self) -> None:
        """Show nothing: on all devices but the first, and in searches for settings."""
        self._close()
        self._enabled = False

    def enable(self) -> None:
        """Show it again."""
        self._enabled = True

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._open()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # not called for an epoch that is gone on with in the middle

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._open()
        self._epoch = self._stage = Stage(epoch_title(trainer), self.total_train_batches, self._training)
        self._training.begin()
        self._shown = time.monotonic()  # the line of the last epoch, or those of the start, have just been printed
        self._draw()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._count(batch, batch_idx + 1)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        title = "validation"
        if trainer.state.fn == "fit":
            title = f"{epoch_title(trainer)} validation"
        else:
            self._open()
        self._stage = Stage(title, float(sum(trainer.num_val_batches)), self._validating, "batch")
        self._validation_start = time.monotonic()
        self._validating.begin()
        self._draw()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not trainer.sanity_checking:
            self._count(batch, self._stage.done + 1)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._stage.note = "the figures are computed"
            self._draw()
            self._show()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if trainer.state.fn != "fit":
            self._close()
            return
        self._validation_seconds = time.monotonic() - self._validation_start
        self._stage = self._epoch
        self._training.begin()
        self._draw()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._close()

    def line(self) -> str:
        """Return the plain line: "epoch 3/60, step 120/345: loss 3.214, 45.1 images/s, 0:12:10 left"."""
        stage = self._stage
        place = "" if stage.note else f", {stage.unit} {self._counted()}"
        return f"{stage.title}{place}: {', '.join(self._figures())}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the live line: title, a bar of the epoch's or the validation's batches, figures."""
        stage, width = self._stage, options.max_width - 1
        figures = self._figures() if stage.note else [f"{stage.unit} {self._counted()}", *self._figures()]
        dot = " - " if options.ascii_only else " · "
        room = width - len(stage.title) - len(dot.join(figures)) - 2
        text = Text.assemble((stage.title, "bold"), ": " if stage.note else " ", no_wrap=True, overflow="crop")
        if room >= BAR and not stage.note:
            text.append_text(self._bar(min(room, width // 5), ascii_only=options.ascii_only)).append(" ")
        text.append(dot.join(figures)).truncate(width)
        yield text

    def _bar(self, width: int, *, ascii_only: bool) -> Text:
        share = min(self._stage.done / self._stage.total, 1.0) if self._stage.total else 1.0
        full = int(width * share)
        ink, rest = "#-" if ascii_only else "━━"
        return Text.assemble((ink * full, "cyan"), (rest * (width - full), "bright_black"))

    def _counted(self) -> str:
        total = "" if self._stage.total == float("inf") else f"/{self._stage.total:.0f}"
        return f"{self._stage.done}{total}"

    def _figures(self) -> list[str]:
        stage = self._stage
        if stage.note:
            return [stage.note]
        loss = [f"loss {self._loss:.3f}"] if self._loss is not None and stage is self._epoch else []
        speed = [f"{stage.pace.images:.1f} images/s"] if stage.pace.seconds else []
        left = self._seconds_left()
        if left is None:
            return loss + speed
        seconds = round(left)
        return [*loss, *speed, f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"]

    def _seconds_left(self) -> float | None:
        """Return the time until the run ends, with its validations; None where no end is known."""
        stage, epoch = self._stage, self._epoch
        left = 0.0 if stage is epoch else (stage.total - stage.done) * stage.pace.seconds
        if self.trainer.state.fn == "fit":
            batches = self._batches_left()
            left += batches * self._training.seconds
            between = (self.trainer.val_check_batch or 1) * (self.trainer.check_val_every_n_epoch or 1)
            if self._validation_seconds and between != float("inf"):
                left += batches // between * self._validation_seconds
        return left if stage.pace.seconds and left != float("inf") else None

    def _batches_left(self) -> float:
        trainer, epoch = self.trainer, self._epoch
        left = float("inf")
        if trainer.max_epochs not in (None, -1):
            left = epoch.total - epoch.done + epoch.total * (trainer.max_epochs - trainer.current_epoch - 1)
        if trainer.max_steps != -1:
            left = min(left, (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches)
        return left

    def _count(self, batch: Batch, done: int) -> None:
        self._stage.done = done
        self._stage.pace.add(len(batch.images) * self.trainer.world_size)
        self._show()

    def _open(self) -> None:
        """Begin to draw, where a person looks on; doing so again changes nothing."""
        if not self._enabled or self._live is not None or not sys.stdout.isatty():
            return
        console = Console(highlight=False)
        if console.is_interactive:  # a terminal that can go back to the beginning of a line
            # Without a thread of its own: processes that read images would begin with a copy of its locks.
            self._live = Live(
                self, console=console, auto_refresh=False, transient=True, redirect_stderr=sys.stderr.isatty()
            )
            self._live.start()
            self._draw()

    def _show(self) -> None:
        """Draw the live line or print a plain one, if it is time."""
        if not self._enabled or time.monotonic() - self._shown < (self.every if self._live is None else REFRESH):
            return
        self._shown = time.monotonic()
        loss = self.trainer.progress_bar_metrics.get("train/loss")  # waits for the device, so not at each step
        self._loss = None if loss is None else float(loss)
        if self._live is None:
            logger.info("  %s", self.line())
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def _close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
