"""Training, validation and test data for Lightning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
from jsonargparse.typing import lazy_instance

from ..annotations.problems import DataError, DataWarning, check_class_names, check_option
from ..column import Column
from ..images import Preprocessing
from .batch import Batch
from .cache import Cached
from .combining import Subset
from .dataset import DetectionDataset
from .formats.shards import Shards
from .loading import BatchReader, EvaluationBatches, Loader, TrainBatches
from .near_duplicates import same_files
from .sample import Shares
from .sampling import Sampling, describe_rates
from .schedule import Progress, Schedule, SizeSchedule, run_length
from .streaming import ShardBatches, ShardReader, StreamLoader, batches_of_epoch
from .transforms import Augment, Resize, Transform

__all__ = ["Batch", "DataModule"]

_AUGMENT = lazy_instance(Augment)  # a default that a saved configuration spells out
_PREPROCESSING = Preprocessing()


class DataModule(pl.LightningDataModule):
    """The data of an experiment.

    The labels of all its data sets are made those of `class_names`: classes are matched by name, so that a validation
    set may lack some or list them in another order.

    Augmentation is that of (seed, epoch, index) whatever the number of workers and devices. A run that is resumed from
    a checkpoint, also one in the middle of an epoch, goes on with exactly the batches that it had not seen.

    Args:
        train: images to train on. `Shards` are read as a stream, and then which images are in a batch depends on the
            number of workers and devices, too.
        val: images to validate on.
        test: images for ``test``.
        augmentation: of training samples; null trains on what inference would see.
        preprocessing: the network's input.
        batch_size: images of a batch on each device; ``auto`` lets `centernet fit` find the largest that fits the
            memory, and is 16 elsewhere.
        sampling: how often an epoch has each training image; null has each once, or as the weights of `Concatenated`
            say.
        num_workers: processes that read images, for each loader; 0 reads in the main process.
        class_names: what the labels of the model mean; null takes the classes of the first data set.
        num_classes: of the model; that the data have another number is an error.
        seed: of the order and the augmentation; null takes `seed_everything` of the run, 0 without one.
        strict: an unreadable image ends the run instead of being replaced or left out. (What is wrong in annotations
            is for the data sets' own `strict`.)
        sizes: of training inputs, (height, width) in multiples of 32, one for each batch; null trains at the size of
            `preprocessing`, at which evaluation always is.
        size_schedule: ``random`` draws the size of each batch; ``rising`` goes through `sizes` in their order, in equal
            shares of the run.
        cache: ``memory`` decodes each training image once and keeps it, for all workers of a device together. Images
            larger than training ever looks at are kept reduced. (``disk`` of former versions is as ``none``.)
        cache_gib: how much memory that may take on each device; images beyond it are read each time.
        cache_dir: of former versions; not used.

    Raises:
        DataError: no data set, a number out of range, or classes that do not fit together.
    """

    def __init__(
        self,
        train: DetectionDataset | None = None,
        val: DetectionDataset | None = None,
        test: DetectionDataset | None = None,
        *,
        augmentation: Transform | None = _AUGMENT,
        preprocessing: Preprocessing = _PREPROCESSING,
        batch_size: int | Literal["auto"] = 16,
        sampling: Sampling | None = None,
        num_workers: int = 2,
        class_names: list[str] | None = None,
        num_classes: int | None = None,
        seed: int | None = None,
        strict: bool = False,
        sizes: list[tuple[int, int]] | None = None,
        size_schedule: SizeSchedule = "random",
        cache: Literal["none", "memory", "disk"] = "none",
        cache_gib: float = 4.0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        given = {"train": train, "val": val, "test": test}
        datasets = {name: dataset for name, dataset in given.items() if dataset is not None}
        if not datasets:
            raise DataError("data: give at least one of train, val and test")
        automatic = batch_size == "auto"
        batch_size = 16 if batch_size == "auto" else batch_size
        check_option("data.batch_size", batch_size >= 1, "at least 1, or auto", batch_size)
        check_option("data.num_workers", num_workers >= 0, "at least 0", num_workers)
        seed = 0 if seed is None else seed
        check_option("data.seed", seed >= 0, "at least 0", seed)
        check_option("data.cache_gib", cache_gib > 0, "a number above 0", cache_gib)
        right = sizes is None or (len(sizes) > 0 and preprocessing.one_size)
        expected = "at least one (height, width), or null, and a preprocessing.resize that does not leave"
        check_option("data.sizes", right, f"{expected} images in their size", f"{sizes} with {preprocessing.resize!r}")
        if cache == "disk" or cache_dir is not None:
            warnings.warn(
                "data.cache: images are no longer kept on disk while training. Store them once at the size of training "
                "instead: centernet convert-data SOURCE --to FORMAT --output DIR --shrink SIDE; or set data.cache to "
                "memory, and leave data.cache_dir out",
                DataWarning,
                stacklevel=2,
            )
        source = next(iter(datasets)) if class_names is None else "class_names"
        self.class_names = check_class_names(datasets[source].class_names if class_names is None else class_names)
        if num_classes is not None and num_classes != len(self.class_names):
            raise DataError(
                f"the model has num_classes {num_classes}, but data.{source} has {len(self.class_names)} classes: "
                f"{', '.join(self.class_names)}. Set model.num_classes to {len(self.class_names)}, or give the model "
                "the class_names that it is to know"
            )
        self.datasets: dict[str, DetectionDataset] = {}
        for name, dataset in datasets.items():
            if len(dataset) == 0:
                raise DataError(f"data.{name}: {dataset!r} is empty; check its path and its split")
            try:
                self.datasets[name] = dataset.with_class_names(self.class_names)
            except DataError as error:
                raise DataError(f"data.{name}: {error}. (The list is that of data.{source})") from error
        if isinstance(self.datasets.get("train"), Shards):
            hint = "as shards are read as a stream; train on the files that they were made of, or leave it out"
            check_option("data.sampling", sampling is None, f"null, {hint}", type(sampling).__name__)
            check_option("data.cache", cache != "memory", f"none, {hint}", cache)
        self.augmentation = Augment() if augmentation is _AUGMENT else augmentation
        self.preprocessing = preprocessing
        self.schedule = Schedule(tuple((height, width) for height, width in sizes or ()), size_schedule, seed=seed)
        self.batch_size, self.sampling, self.num_workers = batch_size, sampling, num_workers
        self.seed, self.strict, self.cache, self.cache_gib = seed, strict, cache, cache_gib
        self.automatic_batch_size = automatic
        self.validate_on: Literal["val", "test"] = "val"
        self._described = False
        self._cached: Cached | None = None
        self._progress = Progress()

    def setup(self, stage: str) -> None:
        """Print what the data are, once, and warn of images that are in both training and validation."""
        self._progress = Progress()
        if self._described or (self.trainer is not None and not self.trainer.is_global_zero):
            return
        self._described = True
        print(self.summary())
        train, val = self.datasets.get("train"), self.datasets.get("val")
        if train is None or val is None or train is val:
            return
        if isinstance(train, Shards):  # their files are within tars
            both = list(range(len(val))) if isinstance(val, Shards) and val.root == train.root else []
        else:
            both = same_files(train, val)
        if both:
            text = f"{len(both)} of the {len(val)} images of data.val are also in data.train, so validation flatters: "
            names = [str(val.path(index)) for index in both[:3]] + ["..."] * (len(both) > 3)
            warnings.warn(text + ", ".join(names), DataWarning, stacklevel=2)

    def summary(self) -> str:
        """Return counts by class and problems of each data set, and what sampling makes of the training data."""
        lines = [f"{name}: {dataset.summary()}" for name, dataset in self.datasets.items()]
        if "train" in self.datasets and self._rates is not None:
            lines.append(f"sampling: {describe_rates(self.datasets['train'], self._rates)}")
        return "\n".join(lines)

    @property
    def num_identities(self) -> int:
        """Identities of the training data are below it; 0 where nothing has one."""
        return self.datasets["train"].num_identities if "train" in self.datasets else 0

    @property
    def fields(self) -> tuple[Column, ...]:
        """Columns of what the training data know of each box beside label and identity, such as its keypoints."""
        return self.datasets["train"].fields if "train" in self.datasets else ()

    def check_objects(self) -> None:
        """Make sure that the training data have an object to learn.

        Raises:
            DataError: they have none.
        """
        dataset = self._dataset("train")
        if not dataset.label_arrays()[0].any():
            ignored = len(dataset.columns.ignore)
            why = f"all of their {ignored:,} boxes are to be ignored" if ignored else "they have no box"
            raise DataError(
                f"data.train: there is nothing to learn, none of the {len(dataset):,} images of {dataset!r} has an "
                f"object: {why}. `centernet check` shows what was read; crowds, difficult objects and ignored regions "
                "are no objects"
            )

    def check_identities(self, known: int) -> None:
        """Look through the training data for an identity that a classifier of `known` ones would not have.

        Raises:
            DataError: there is one; the message names its file.
        """
        dataset = self._dataset("train")
        ids = dataset.columns.ids
        identity = int(ids.max(initial=-1))
        if identity >= known:
            index = int(np.searchsorted(dataset.columns.offsets, ids.argmax(), side="right")) - 1
            raise DataError(
                f"{dataset.path(index)}: identity {identity}, but the classifier knows {known} (0 to {known - 1}), "
                f"and the data say that they have {dataset.num_identities}. Train with the data that the classifier "
                "was trained with, or begin a new one; in a data set of your own set num_identities"
            )

    def some_batches(self, images: int = 256) -> Iterator[Batch]:
        """Read some training images as evaluation would see them: of each class an equal share, at least eight of those
        there are, spread over the data set."""
        dataset = self._dataset("train")
        dataset = dataset.some(images) if isinstance(dataset, Shards) else dataset
        table = dataset.columns.label_table().with_objects()
        labels = np.unique(table.labels)
        share = max(images // max(len(labels), 1), 8)
        chosen = [np.zeros(0, np.int64)]
        for label in labels.tolist():
            holding = table.samples[table.labels == label]
            chosen.append(holding[np.linspace(0, len(holding) - 1, min(share, len(holding))).round().astype(np.int64)])
        part = Subset(dataset, np.unique(np.concatenate(chosen)))
        reader = BatchReader(part, Resize(), self.preprocessing, strict=self.strict)
        return (reader[key] for key in EvaluationBatches(part, 8))

    def overfit_one_batch(self) -> None:
        """Train and validate on the first samples with objects, one batch of them, without augmentation: a first look
        at whether a model and its settings can learn."""
        dataset = self._dataset("train")
        indices = np.unique(dataset.columns.samples()[~dataset.columns.ignore])[: self.batch_size]
        if not len(indices):
            raise DataError(f"data.train: {dataset!r} has no object in any of its {len(dataset)} images")
        self.augmentation = None
        self.schedule = Schedule(seed=self.seed)
        self.datasets["train"] = self.datasets["val"] = Subset(dataset, indices)
        self._rates = None  # each once

    def train_dataloader(self) -> Loader:
        if getattr(self.trainer, "overfit_batches", 0):  # Lightning would put a sampler of its own in place of ours
            raise DataError("trainer.overfit_batches does not work with this data; use --overfit_one_batch")
        augmentation, dataset = Resize() if self.augmentation is None else self.augmentation, self._dataset("train")
        options: dict[str, Any] = {"seed": self.seed, "training": True, "strict": self.strict}
        options["schedule"] = self._schedule_of_run(augmentation)
        if isinstance(dataset, Shards):
            stream = ShardReader(dataset, augmentation, self.preprocessing, **options)
            batches = ShardBatches(stream, self.batch_size, position=self._position, **self._devices())
            return StreamLoader(batches, num_workers=self.num_workers)
        cached = self._with_cache(dataset, augmentation)
        reader = BatchReader(cached, augmentation, self.preprocessing, rates=self._rates, **options)
        return Loader(reader, self._train_batches(), num_workers=self.num_workers)

    def val_dataloader(self) -> Loader | list[Loader]:
        if self.validate_on == "val" and "val" not in self.datasets:
            return []  # training without validation
        return self._evaluation_loader(self.validate_on)

    def test_dataloader(self) -> Loader:
        return self._evaluation_loader("test")

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the epochs: epoch, batches seen in it, batches of an epoch on a device, and in all; and
        the devices and workers that read them."""
        if (counts := self._counts()) is None:
            return {}
        epoch, seen = self._progress.place(*counts)
        return {"epoch": epoch, "batch": seen, "batches": counts[1], "total": counts[0], "readers": self._readers()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._progress = Progress(resumed=state_dict, total=state_dict.get("total", 0))
        before, now = state_dict.get("readers", self._readers()), self._readers()
        if isinstance(self.datasets.get("train"), Shards) and state_dict.get("batch") and before != now:
            text = f"resumed within an epoch of shards with {now[0]} devices and {now[1]} workers, where it had "
            text += f"{before[0]} and {before[1]}: its rest may have images that were seen, and lack others"
            warnings.warn(text, DataWarning, stacklevel=2)

    def _evaluation_loader(self, name: str) -> Loader:
        dataset = self._dataset(name)
        reader = BatchReader(dataset, Resize(), self.preprocessing, strict=self.strict)
        batches = EvaluationBatches(dataset, self.batch_size, **self._devices())
        return Loader(reader, batches, num_workers=self.num_workers)

    def _train_batches(self) -> TrainBatches:
        options = {"seed": self.seed, **self._devices()}
        dataset = self._dataset("train")
        return TrainBatches(dataset, self.batch_size, rates=self._rates, position=self._position, **options)

    def _dataset(self, name: str) -> DetectionDataset:
        if name not in self.datasets:
            raise DataError(f"data.{name} is not given; it has {', '.join(self.datasets)}")
        return self.datasets[name]

    @cached_property
    def _rates(self) -> Shares | None:
        """Times that an epoch has each training sample; None for each once."""
        dataset = self._dataset("train")
        if self.sampling is None and dataset.sources is None:
            return None
        return (self.sampling or Sampling()).rates(dataset)

    def _with_cache(self, dataset: DetectionDataset, augmentation: Transform) -> DetectionDataset:
        if self.cache != "memory":
            return dataset
        if self._cached is None or self._cached.dataset is not dataset:  # kept from loader to loader
            inputs = [replace(self.preprocessing, size=size) for size in self.schedule.sizes] or [self.preprocessing]
            self._cached = Cached(dataset, self.cache_gib, transform=augmentation, inputs=inputs)
            if self.trainer is None or self.trainer.is_global_zero:
                self._cached.warn_if_small()
        return self._cached

    def _schedule_of_run(self, augmentation: Transform) -> Schedule:
        """Return the schedule with the length of the run; without a trainer all epochs are as the first."""
        schedule = replace(self.schedule, close=augmentation.close)
        if self.trainer is None or not schedule.needs_length:
            return schedule
        length = run_length(self.trainer, self._batches_of_epoch(self.trainer))
        if length is None:
            raise DataError(
                "data: augmentation.close and size_schedule 'rising' need the length of the run: set "
                "trainer.max_epochs or trainer.max_steps; without them, set close to 0 and size_schedule to random"
            )
        return replace(schedule, total_epochs=length)

    def _readers(self) -> list[int]:
        """Return the numbers of devices and of workers that read for each."""
        return [self._devices().get("devices", 1), max(1, self.num_workers)]

    def _devices(self) -> dict[str, int]:
        trainer = self.trainer
        return {} if trainer is None else {"devices": trainer.world_size, "rank": trainer.global_rank}

    def _batches_of_epoch(self, trainer: pl.Trainer) -> int:
        """Return the training batches of an epoch on each device, as the trainer limits them."""
        dataset, limit = self._dataset("train"), trainer.limit_train_batches
        if isinstance(dataset, Shards):
            batches = batches_of_epoch(dataset, self.batch_size, trainer.world_size)
        else:
            batches = len(self._train_batches())
        return min(batches, limit) if isinstance(limit, int) else int(batches * limit)

    def _counts(self) -> tuple[int, int] | None:
        """Return the batches that were trained on in all, and those of an epoch; None where nothing is trained."""
        if self.trainer is None or "train" not in self.datasets:
            return None
        total: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total
        batches = self._batches_of_epoch(self.trainer)
        return (int(total.processed), batches) if batches else None

    def _position(self) -> tuple[int, int] | None:
        """Return where `TrainBatches` begins: (epoch, batches to pass over)."""
        counts = self._counts()
        if counts is None or self.trainer is None:
            return None
        return self._progress.begin(*counts, restarting=self.trainer.fit_loop.restarting)
