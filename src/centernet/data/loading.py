"""Loaders: which samples come in which batch on which device, and how they are read.

Epoch and indices travel to the worker, so that augmentation depends on (seed, epoch, index) alone: not on the number of
workers or devices, nor on what a worker did before. The number of the batch travels with them, for its size. Batches,
too, are those of (seed, epoch): B samples on each of W devices are together the W·B samples that one device with that
batch size would see.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from ..images import ImageError, Preprocessing
from .batch import Batch, collate
from .cache import Cached
from .formats.dataset import DetectionDataset
from .sample import DataError, DataWarning, Problem, Sample
from .schedule import Schedule
from .transforms import Transform


class BatchKey(NamedTuple):
    """Which samples a batch is made of.

    Attributes:
        epoch: from 0.
        number: of the batch in the epoch, from 0; the same on all devices.
        indices: of the samples.
    """

    epoch: int
    number: int
    indices: list[int]


class TrainBatches(DistributedSampler[Any]):
    """Keys of the batches of one device: the whole data set in an order of its own each epoch.

    The last samples that don't fill a batch on every device are left for another epoch; only where the data set is
    smaller than that, one smaller batch is made of it.

    It is a DistributedSampler only so that Lightning knows that the sharding is done.

    Args:
        dataset: for its length.
        batch_size: on each device.
        seed: of the orders.
        devices: how many there are.
        rank: which of them this is.
        position: (epoch, batches already seen in it), asked for when an iteration begins; None takes what `set_epoch`
            said.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        batch_size: int,
        *,
        seed: int = 0,
        devices: int = 1,
        rank: int = 0,
        position: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
        super().__init__(_Sized(len(dataset)), num_replicas=devices, rank=rank, seed=seed)
        self.samples = len(dataset)
        self.batch_size = batch_size
        self.position = position

    def __len__(self) -> int:
        return max(1, self.samples // (self.batch_size * self.num_replicas))

    def __iter__(self) -> Iterator[BatchKey]:
        epoch, start = self.position() or (self.epoch, 0)
        return iter(self.batches(epoch)[start:])

    def batches(self, epoch: int) -> list[BatchKey]:
        """All batches of an epoch on this device."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
        together = self.batch_size * self.num_replicas
        if self.samples < together:  # one batch; a few samples twice where there are not enough for all devices
            share = math.ceil(self.samples / self.num_replicas)
            chunks = [np.resize(order, share * self.num_replicas).reshape(self.num_replicas, share)]
        else:
            chunks = list(order[: len(self) * together].reshape(len(self), self.num_replicas, self.batch_size))
        return [BatchKey(epoch, number, chunk[self.rank].tolist()) for number, chunk in enumerate(chunks)]


class EvaluationBatches(DistributedSampler[Any]):
    """Keys of one device's batches, all of epoch 0: every sample once, in order, and as many batches on every device.

    Only where there are fewer samples than devices, some come twice: evaluation knows them by their image ids.
    """

    def __init__(self, dataset: DetectionDataset, batch_size: int, *, devices: int = 1, rank: int = 0) -> None:
        super().__init__(_Sized(len(dataset)), num_replicas=devices, rank=rank, shuffle=False)
        samples = np.resize(np.arange(len(dataset)), max(len(dataset), devices))
        most = math.ceil(len(samples) / devices)  # samples on a device
        count = math.ceil(most / batch_size)
        mine = samples[rank::devices]
        full = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
        chunks = full if len(full) == count else np.array_split(mine, count)
        self._batches = [BatchKey(0, number, chunk.tolist()) for number, chunk in enumerate(chunks)]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[BatchKey]:
        return iter(self._batches)


_ALWAYS_THE_SAME = Schedule()


class BatchReader(Dataset[Batch]):
    """Reads, transforms and collates the samples that a key names; this is what runs in a worker.

    A picture that cannot be read is a problem of the batch (once in each worker). In training the next readable sample
    takes its place; in evaluation it is left out, and only where a batch would be empty the next readable sample comes
    again.

    Args:
        dataset: where from.
        transform: to the network's input.
        preprocessing: passed to the transform.
        seed: of the augmentation.
        training: see above.
        strict: an unreadable picture is an error.
        schedule: sizes of the input, and when samples are mixed, in training.
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
        schedule: Schedule = _ALWAYS_THE_SAME,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.preprocessing = preprocessing
        self.seed = seed
        self.training = training
        self.strict = strict or dataset.strict
        self.schedule = schedule
        self._unreadable: set[int] = set()
        self._sent = len(dataset.problems)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: BatchKey) -> Batch:
        size = self.schedule.size(key.epoch, key.number) if self.training else None
        preprocessing = self.preprocessing if size is None else replace(self.preprocessing, size=size)
        samples = []
        for index in key.indices:
            sample = self._next_readable(index) if self.training else self._read(index)
            if sample is not None:
                samples.append(self._transform(sample, key.epoch, index, preprocessing))
        if not samples:
            index = key.indices[0]
            samples = [self._transform(self._next_readable(index), key.epoch, index, preprocessing)]
        problems = self.dataset.problems[self._sent :]
        self._sent += len(problems)
        return collate(samples, pad_value=preprocessing.pad_value, problems=problems)

    def _transform(self, sample: Sample, epoch: int, index: int, preprocessing: Preprocessing) -> Sample:
        rng = np.random.default_rng([self.seed, epoch, index])
        if not (self.training and self.schedule.mixes(epoch)):
            return self.transform(sample, rng, preprocessing)

        def draw() -> Sample:
            return self._next_readable(int(rng.integers(len(self.dataset))))

        return self.transform.mix(sample, draw, rng, preprocessing)

    def _read(self, index: int) -> Sample | None:
        if index in self._unreadable:
            return None
        try:
            return self.dataset[index]
        except ImageError:
            if self.strict:
                raise
            self._unreadable.add(index)
            return None

    def _next_readable(self, index: int) -> Sample:
        for step in range(len(self.dataset)):
            sample = self._read((index + step) % len(self.dataset))
            if sample is not None:
                return sample
        raise DataError(
            f"{self.dataset!r}: none of its {len(self.dataset)} pictures can be read; e.g. {self.dataset.problems[-1]}"
        )


class Loader(DataLoader[Batch]):
    """A loader of batches that warns of the problems that its workers find, once for each.

    Args:
        reader: reads a batch.
        sampler: says which samples are in it.
        num_workers: processes that read; 0 reads in this one.
    """

    def __init__(self, reader: BatchReader, sampler: TrainBatches | EvaluationBatches, *, num_workers: int = 0) -> None:
        super().__init__(
            reader,
            batch_size=None,  # a key is a whole batch
            sampler=sampler,
            num_workers=num_workers,
            # Memory is shared with processes that are forked, whatever else is the system's way to start them.
            multiprocessing_context="fork" if num_workers and isinstance(reader.dataset, Cached) else None,
            worker_init_fn=_init_worker,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
        self.reader = reader
        self._warned: set[Problem] = set()

    def __iter__(self) -> Any:
        return self._watched(super().__iter__())  # the sampler is asked now, not when the first batch is taken

    def _watched(self, batches: Any) -> Iterator[Batch]:
        for batch in batches:
            for problem in batch.problems:
                self._warn(problem)
            yield batch

    def _warn(self, problem: Problem) -> None:
        self.reader.dataset.remember(problem)
        if problem in self._warned:
            return
        self._warned.add(problem)
        outcome = ""
        if problem.kind == "unreadable-image":
            outcome = "; another sample takes its place" if self.reader.training else "; it is not evaluated"
        warnings.warn(f"{problem}{outcome}", DataWarning, stacklevel=3)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: `TrainBatches` asks where to begin. By this method Lightning knows that a loader can be resumed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing, see `state_dict`."""


class _Sized(Dataset[None]):
    """A length, which is all that a sampler needs of a data set."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


def _init_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the threads
