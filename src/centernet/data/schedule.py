"""Changes over a training run: the size of the input from batch to batch, and the end of mixing images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .sample import DataError

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
        for place, size in enumerate(self.sizes):
            if any(side < COARSEST_STRIDE or side % COARSEST_STRIDE for side in size):
                raise DataError(
                    f"data.sizes[{place}]: expected (height, width), both multiples of {COARSEST_STRIDE} above 0, "
                    f"got {size}"
                )

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
    """Return the epochs of the run of a Lightning trainer, the one that its steps end in included; None for no limit.

    Args:
        trainer: for `max_epochs`, `max_steps` and `accumulate_grad_batches`.
        batches: of an epoch on each device.
    """
    lengths = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        lengths.append(int(trainer.max_epochs))
    if trainer.max_steps > 0:
        steps = max(1, -(-batches // trainer.accumulate_grad_batches))
        lengths.append(-(-int(trainer.max_steps) // steps))
    return min(lengths, default=None)
