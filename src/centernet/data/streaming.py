"""Training batches from shards: each process and worker reads tars of its own as a stream, and shuffles in a buffer.

An epoch is a sequence of all samples: the tars in an order of (seed, epoch), the samples of each as they stand. It is
cut into equal parts, one for each device, and those into one for each worker, so that all devices have the same number
of batches whatever is in the tars; a tar on a border is read by both sides, each its own part of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from ..annotations.problems import DataError
from .batch import Batch
from .formats.shards import Shards, ShardSample
from .loading import BatchKey, BatchReader, Loader
from .sample import Sample

MOST_BYTES = 512 << 20
"""Most bytes of the files in a buffer, which holds fewer samples where those are large."""


class ShardReader(BatchReader):
    """Makes batches of samples that are at hand: those of the batch, and those in the buffer, which are mixed in and
    take the place of unreadable ones. Arguments are those of `BatchReader`."""

    def __init__(self, dataset: Shards, *arguments: Any, **options: Any) -> None:
        super().__init__(dataset, *arguments, **options)
        self.shards = dataset
        self._at_hand: dict[int, ShardSample] = {}

    def batch(self, epoch: int, number: int, items: list[ShardSample], buffer: Iterable[ShardSample]) -> Batch:
        """Return batch `number` of an epoch."""
        self._at_hand = {item.index: item for item in (*items, *buffer)}
        return self[BatchKey(epoch, number, [item.index for item in items])]

    def _drawn(self, rng: np.random.Generator) -> int:
        return list(self._at_hand)[rng.integers(len(self._at_hand))]

    def _in_place_of(self, index: int) -> Iterator[int]:
        yield from self._at_hand

    def _read(self, index: int) -> Sample:
        return self.shards.sample(self._at_hand[index])


class ShardBatches(IterableDataset[Batch]):
    """The batches of one device, of as many epochs as are iterated over; the samples of an epoch that fill no batch on
    every device are left for another.

    Which samples are in a batch, and which may be mixed in, depends on seed, epoch, and the numbers of devices and
    workers; how each is augmented, on (seed, epoch, index) alone. A stream that begins within an epoch goes on with the
    very batches that were left: for that it reads its tars from the beginning of the epoch, decoding nothing.

    Args:
        reader: makes the batches.
        batch_size: on each device.
        devices: how many there are.
        rank: which of them this is.
        position: as for `TrainBatches`; None begins with epoch 0.
    """

    def __init__(
        self,
        reader: ShardReader,
        batch_size: int,
        *,
        devices: int = 1,
        rank: int = 0,
        position: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        self.reader, self.batch_size, self.devices, self.rank = reader, batch_size, devices, rank
        self.position = position
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on each device."""
        return batches_of_epoch(self.reader.shards, self.batch_size, self.devices)

    def begin(self) -> None:
        """Ask where to begin; before the workers are started, which are told by that."""
        self.epoch, self.start = self.position() or (self.epoch, 0)

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        workers, worker = (1, 0) if info is None else (info.num_workers, info.id)
        worker = (worker + self.start) % workers  # loaders take the first batch from their first worker
        counts = [len(range(place, len(self), workers)) for place in range(workers)]
        first = (self.rank * len(self) + sum(counts[:worker])) * self.batch_size
        rng = np.random.default_rng([self.reader.seed, self.epoch, self.rank, worker])
        buffer: list[ShardSample] = []
        items = shuffled(self._part(first, first + counts[worker] * self.batch_size), buffer, self.reader.shards, rng)
        for number in range(worker, len(self), workers):
            chosen = [next(items) for _ in range(self.batch_size)]
            if number >= self.start:
                yield self.reader.batch(self.epoch, number, chosen, buffer)

    def _part(self, first: int, last: int) -> Iterator[ShardSample]:
        """Iterate over samples `first` to `last - 1` of the epoch."""
        shards = self.reader.shards
        order = np.random.default_rng([self.reader.seed, self.epoch]).permutation(len(shards.index.shards))
        begin = 0
        for number in order.tolist():
            count = shards.index.shards[number].samples
            start, stop = max(first - begin, 0), min(last - begin, count)
            if start < stop:
                yield from shards.samples(number, start, stop)
            begin += count


class StreamLoader(Loader):
    """A `Loader` of a stream."""

    def __init__(self, batches: ShardBatches, *, num_workers: int = 0) -> None:
        super().__init__(batches.reader, None, num_workers=num_workers, stream=batches)
        self.batches = batches
        # Lightning cannot know that they are; a test does.
        warnings.filterwarnings("ignore", "Your `IterableDataset` has `__len__` defined")

    def __iter__(self) -> Any:
        self.batches.begin()
        return super().__iter__()


def batches_of_epoch(dataset: Shards, batch_size: int, devices: int) -> int:
    """Return the number of batches of an epoch on each device.

    Raises:
        DataError: fewer samples than one batch on all devices.
    """
    if (batches := len(dataset) // (batch_size * devices)) == 0:
        text = f"a batch of {batch_size} on each of {devices} devices needs more than its {len(dataset)} samples"
        raise DataError(f"{dataset!r}: {text}; set data.batch_size lower")
    return batches


def shuffled(
    items: Iterable[ShardSample], buffer: list[ShardSample], shards: Shards, rng: np.random.Generator
) -> Iterator[ShardSample]:
    """Iterate over items in the order in which they are drawn from the buffer, which they fill on the way."""
    size = 0
    for item in items:
        buffer.append(item)
        size += item.size
        while len(buffer) >= shards.buffer or size > MOST_BYTES:
            drawn = _take(buffer, rng)
            size -= drawn.size
            yield drawn
    while buffer:
        yield _take(buffer, rng)


def _take(buffer: list[ShardSample], rng: np.random.Generator) -> ShardSample:
    place = int(rng.integers(len(buffer)))
    buffer[place], buffer[-1] = buffer[-1], buffer[place]
    return buffer.pop()
