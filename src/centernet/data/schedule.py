"""Changes over a training run: the size of the input, the end of mixing images, and the place of a resumed run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..annotations.problems import DataWarning, check_option

SizeSchedule = Literal["random", "rising"]

COARSEST_STRIDE = 32  # of the networks; other sizes would be padded in the network, on two sides


@dataclass(frozen=True)
class Schedule:
    """A function of (seed, epoch, number of the batch) alone, so that all devices and a resumed run agree.

    Attributes:
        sizes: (height, width) of the input to choose from; none leaves it to the preprocessing.
        size_schedule: ``random`` draws one for each batch; ``rising`` gives each an equal share of the epochs, in the
            order of `sizes`, the last share to the last.
        close: share of the epochs, 0..1, at the end of the run, in which images are no longer mixed; at least one
            epoch, unless it is 0.
        total_epochs: of the run; None where nobody knows, then each epoch is as the first.
        seed: of the sizes.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    size_schedule: SizeSchedule = "random"
    close: float = 0.0
    total_epochs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        expected = f"(height, width), both multiples of {COARSEST_STRIDE} above 0"
        for place, size in enumerate(self.sizes):
            right = all(side >= COARSEST_STRIDE and side % COARSEST_STRIDE == 0 for side in size)
            check_option(f"data.sizes[{place}]", right, expected, size)

    @property
    def needs_length(self) -> bool:
        """True where anything depends on how long the run is."""
        return self.close > 0 or (self.size_schedule == "rising" and len(self.sizes) > 1)

    def mixes(self, epoch: int) -> bool:
        """Return True if the images of this epoch (from 0) may be mixed."""
        if self.close == 0 or self.total_epochs is None:
            return True
        return epoch < self.total_epochs - max(1, round(self.close * self.total_epochs))

    def size(self, epoch: int, batch: int) -> tuple[int, int] | None:
        """Return (height, width) of batch number `batch` of an epoch; None is that of the preprocessing."""
        if not self.sizes:
            return None
        count = len(self.sizes)
        if self.size_schedule == "rising":
            place = 0 if self.total_epochs is None else min(epoch * count // self.total_epochs, count - 1)
        else:
            place = int(np.random.default_rng([self.seed, epoch, batch, 1]).integers(count))
        return self.sizes[place]


def run_length(trainer: Any, batches: int) -> int | None:
    """Return the epochs of a Lightning trainer's run, the one that its steps end in included; None for no limit.
    `batches` are those of an epoch on each device."""
    steps = max(1, -(-batches // trainer.accumulate_grad_batches))
    lengths = trainer.max_epochs or -1, -(-trainer.max_steps // steps)
    return min((int(length) for length in lengths if length > 0), default=None)


@dataclass
class Progress:
    """The place of a run in its epochs, which follows from the trainer's total of batches: that is right wherever in an
    epoch a checkpoint was written."""

    epoch: int = 0
    start: int = 0  # the batches that had been trained on in all when `epoch` began
    resumed: Mapping[str, int] = field(default_factory=dict)  # the state of a checkpoint, until the first question
    total: int = 0  # the batches in all when the checkpoint was written

    def place(self, done: int, batches: int) -> tuple[int, int]:
        """Return the epoch, and how many of its `batches` were trained on, when `done` have been in all."""
        done = max(done, self.total)
        if self.resumed:
            seen, then = self.resumed["batch"], self.resumed["batches"]
            if seen and then != batches:
                warnings.warn(
                    f"resumed after {seen} of {then} batches of an epoch, but with this data set, batch size and "
                    f"number of devices an epoch has {batches}: it goes on with other images than it would have had",
                    DataWarning,
                    stacklevel=2,
                )
            self.epoch, self.start, self.resumed = self.resumed["epoch"], done - min(seen, batches), {}
        epochs, seen = divmod(done - self.start, batches)
        return self.epoch + epochs, seen

    def begin(self, done: int, batches: int, *, restarting: bool) -> tuple[int, int]:
        """Return the place to go on at: the next epoch if the last one was cut short, and the run isn't resumed."""
        epoch, seen = self.place(done, batches)
        # A schedule that asks for the length of the run has loaders made before the trainer's counters are restored.
        if seen and not restarting and done >= self.total:
            self.epoch, self.start = epoch + 1, done
            return self.epoch, 0
        return epoch, seen
