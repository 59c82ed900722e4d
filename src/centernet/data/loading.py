"""Loaders: the samples of each batch on each device, and how they are read.

Batches are those of (seed, epoch): B samples on each of W devices are together the W·B that one device would see.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset

from ..annotations.problems import DataError, DataWarning, Problems
from ..images import ImageError, Preprocessing
from .batch import Batch, collate
from .dataset import DetectionDataset
from .sample import Sample, Shares
from .sampling import draw_epoch, epoch_length
from .schedule import Schedule
from .transforms import Transform


class BatchKey(NamedTuple):
    """The samples that a batch is made of; all that a worker is told.

    So augmentation depends on (seed, epoch, index) and `times` alone, not on workers, devices, or what was read before.

    Attributes:
        epoch: from 0.
        number: of the batch in the epoch, from 0; the same on all devices.
        indices: of the samples.
        times: for each of them, how often it was in this epoch before; None stands for never.
    """

    epoch: int
    number: int
    indices: list[int]
    times: list[int] | None = None


class Batches(DistributedSampler[Any]):
    """Keys of the batches of one device. It is a DistributedSampler so that Lightning knows that the sharding is done.

    Args:
        dataset: for its length.
        batch_size: on each device.
        seed: of the orders.
        devices: how many there are.
        rank: which of them this is.
    """

    def __init__(
        self, dataset: DetectionDataset, batch_size: int, *, seed: int = 0, devices: int = 1, rank: int = 0
    ) -> None:
        super().__init__(cast("Dataset[Any]", range(len(dataset))), num_replicas=devices, rank=rank, seed=seed)
        self.samples = len(dataset)
        self.batch_size = batch_size


class EvaluationBatches(Batches):
    """All of epoch 0: every sample once, in order, and as many batches on every device.

    Only where there are fewer samples than devices, some come twice: evaluation knows them by their image ids.
    """

    def __len__(self) -> int:
        return math.ceil(math.ceil(self.samples / self.num_replicas) / self.batch_size)

    def __iter__(self) -> Iterator[BatchKey]:
        samples = np.resize(np.arange(self.samples), max(self.samples, self.num_replicas))
        mine = samples[self.rank :: self.num_replicas]
        chunks = np.split(mine, range(self.batch_size, len(mine), self.batch_size))
        if len(chunks) < len(self):
            chunks = np.array_split(mine, len(self))
        return iter([BatchKey(0, number, chunk.tolist()) for number, chunk in enumerate(chunks)])


class TrainBatches(Batches):
    """The whole data set, or what `rates` make of it, in a new order each epoch.

    The last samples that don't fill a batch on every device are left for another epoch; only where the data set is
    smaller than that, one smaller batch is made of it.

    Args:
        dataset, batch_size, **options: as for `Batches`.
        rates: float64 N, how often an epoch has each sample (see `sampling`); None has each once.
        position: (epoch, batches already seen in it), asked for when an iteration begins; None takes what `set_epoch`
            said.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        batch_size: int,
        *,
        rates: Shares | None = None,
        position: Callable[[], tuple[int, int] | None] = lambda: None,
        **options: int,
    ) -> None:
        super().__init__(dataset, batch_size, **options)
        self.samples = len(dataset) if rates is None else epoch_length(rates)
        self.rates = rates
        self.position = position

    def __len__(self) -> int:
        return max(1, self.samples // (self.batch_size * self.num_replicas))

    def __iter__(self) -> Iterator[BatchKey]:
        epoch, start = self.position() or (self.epoch, 0)
        rng = np.random.default_rng([self.seed, epoch])
        drawn = [rng.permutation(self.samples)] if self.rates is None else draw_epoch(self.rates, rng)
        # Where there are not enough for one batch on all devices, it is smaller, and a few samples are there twice.
        share = min(self.batch_size, math.ceil(self.samples / self.num_replicas))
        shape = len(self), self.num_replicas, share
        mine = [np.resize(whole, shape)[:, self.rank].copy() for whole in drawn]  # no views of what other devices have
        return (BatchKey(epoch, n, *(part[n].tolist() for part in mine)) for n in range(start, len(self)))


class BatchReader(Dataset[Batch]):
    """Reads, transforms and collates the samples that a key names; this is what runs in a worker.

    An image that cannot be read is a problem of the batch (once in each worker). In training the next readable sample
    takes its place; in evaluation it is left out, and only where a batch would be empty the next readable sample comes
    again.

    Args:
        dataset: where from.
        transform: to the network's input.
        preprocessing: passed to the transform.
        seed: of the augmentation.
        training: see above.
        strict: an unreadable image is an error.
        schedule: sizes of the input, and when samples are mixed, in training; None changes nothing.
        rates: as for `TrainBatches`: the samples that augmentation mixes in are drawn by them too.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        transform: Transform,
        preprocessing: Preprocessing,
        *,
        seed: int = 0,
        training: bool = False,
        strict: bool = False,
        schedule: Schedule | None = None,
        rates: Shares | None = None,
    ) -> None:
        self.dataset, self.transform, self.preprocessing = dataset, transform, preprocessing
        self.seed, self.training, self.strict = seed, training, strict or dataset.strict
        self.schedule = schedule or Schedule()
        self._rates_until = None if rates is None else rates.cumsum()
        self._unreadable: set[int] = set()
        self._sent = len(dataset.problems)

    def __getitem__(self, key: BatchKey) -> Batch:
        size = self.schedule.size(key.epoch, key.number)
        preprocessing = self.preprocessing if size is None else replace(self.preprocessing, size=size)
        read = partial(self._sample, key.epoch, preprocessing)
        times = key.times or [0] * len(key.indices)
        found = [read(index, before, instead=self.training) for index, before in zip(key.indices, times, strict=True)]
        if all(sample is None for sample in found):
            found = [read(key.indices[0], 0, instead=True)]
        problems = self.dataset.problems[self._sent :]
        self._sent += len(problems)
        samples = [sample for sample in found if sample is not None]
        return collate(samples, pad_value=preprocessing.pad_value, problems=problems)

    def _sample(
        self, epoch: int, preprocessing: Preprocessing, index: int, times: int, *, instead: bool
    ) -> Sample | None:
        """Return a transformed sample; in place of an unreadable one the next readable, if there is to be one."""
        again = [times + 1] if times else []  # not 1, which the sizes of batches are drawn with
        while True:
            opened: dict[int, Sample] = {}
            rng = np.random.default_rng([self.seed, epoch, index, *again])
            try:
                sample = self._open(index, opened, instead=instead)
                if sample is None:
                    return None
                if self.training and self.schedule.mixes(epoch):
                    return self.transform.mix(sample, partial(self._draw, rng, opened), rng, preprocessing)
                return self.transform(sample, rng, preprocessing)
            except ImageError:  # damage that showed only when the image was decoded, perhaps of one mixed in
                broken = {place for place, sample in opened.items() if _is_broken(sample)}
                if self.strict or not broken:
                    raise
                self._unreadable |= broken  # and from the beginning, as if that had been known

    def _draw(self, rng: np.random.Generator, opened: dict[int, Sample]) -> Sample:
        """Return a sample to mix in."""
        return cast(Sample, self._open(self._drawn(rng), opened, instead=True))

    def _drawn(self, rng: np.random.Generator) -> int:
        """Return the index of a sample to mix in."""
        if self._rates_until is None:
            return int(rng.integers(len(self.dataset)))
        return int(np.searchsorted(self._rates_until, rng.uniform(0, self._rates_until[-1]), side="right"))

    def _in_place_of(self, index: int) -> Iterator[int]:
        """Iterate over the samples that may take the place of one that cannot be read."""
        count = len(self.dataset)
        return (step % count for step in range(index + 1, index + count))

    def _read(self, index: int) -> Sample:
        """Return a sample; an ImageError where it cannot be read."""
        return self.dataset[index]

    def _open(self, index: int, opened: dict[int, Sample], *, instead: bool) -> Sample | None:
        """Return a sample; in place of an unreadable one None, or `instead` the next readable."""
        for place in chain([index], self._in_place_of(index) if instead else ()):
            if place in self._unreadable:
                continue
            try:
                opened[place] = self._read(place)
                return opened[place]
            except ImageError:
                if self.strict:
                    raise
                self._unreadable.add(place)
        if not instead:
            return None
        count = len({index, *self._in_place_of(index)})
        raise DataError(f"{self.dataset!r}: none of its {count} images can be read; e.g. {self.dataset.problems[-1]}")


def _is_broken(sample: Sample) -> bool:
    try:
        sample.read()
    except ImageError:
        return True
    return False


class Loader(DataLoader[Batch]):
    """A loader of batches that warns of the problems that its workers find, once for each.

    Args:
        reader: reads a batch.
        sampler: says which samples are in it.
        num_workers: processes that read; 0 reads in this one.
        stream: gives the batches of the reader in place of the sampler, in workers that are started for each epoch.
    """

    def __init__(
        self,
        reader: BatchReader,
        sampler: Batches | None,
        *,
        num_workers: int = 0,
        stream: IterableDataset[Batch] | None = None,
    ) -> None:
        super().__init__(
            reader if stream is None else stream,
            batch_size=None,  # a key is a whole batch
            sampler=sampler,
            num_workers=num_workers,
            worker_init_fn=_init_worker,
            persistent_workers=num_workers > 0 and stream is None,
            pin_memory=torch.cuda.is_available(),
        )
        self.reader = reader
        self._warned = Problems()

    def __iter__(self) -> Any:
        return self._watched(super().__iter__())  # the sampler is asked now, not when the first batch is taken

    def _watched(self, batches: Any) -> Iterator[Batch]:
        unread = "; another sample takes its place" if self.reader.training else "; it is not evaluated"
        for batch in batches:
            for problem in batch.problems:
                self.reader.dataset.problems.add(problem)
                if self._warned.add(problem):
                    outcome = unread if problem.kind == "unreadable-image" else ""
                    warnings.warn(f"{problem}{outcome}", DataWarning, stacklevel=2)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: `TrainBatches` asks where to begin. By this method Lightning knows that a loader can be
        resumed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing, see `state_dict`."""


def _init_worker(_worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the threads
