"""Sampling: an image's rate is how often an epoch of training has it on average, and an epoch rounds it by chance.

That is a systematic sample (Madow, 1949, Annals of Mathematical Statistics 20), a function of (seed, epoch): all epochs
have the same length, and none misses an image with a rate of 1 or more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..annotations.problems import DataError, check_option
from .columns import LabelTable
from .dataset import DetectionDataset
from .sample import Bools, Ints, Shares


class Sampling:
    """Every image alike, but for what the options below and the data set say.

    The steps, in this order: the factors of the class (here all 1); where the data set is mixed from sources with
    weights (see `Concatenated`), each source gets its share of the epoch, and the images of a source keep their
    factors among them; then images without objects get theirs; then the length of the epoch. Children change
    `factors`.

    Args:
        empty: share of an epoch, from 0 to below 1, of images without any object (regions to ignore count for
            nothing); those with objects are seen as often as without this option. None leaves them as they are.
        samples: how many an epoch has; None takes the sum of the rates, rounded up.

    Raises:
        DataError: an option out of its range.
    """

    def __init__(self, *, empty: float | None = None, samples: int | None = None) -> None:
        right = empty is None or 0 <= empty < 1
        check_option("data.sampling.empty", right, "a share from 0 to below 1, or null", empty)
        check_option("data.sampling.samples", samples is None or samples >= 1, "at least 1, or null", samples)
        self.empty, self.samples = empty, samples

    def factors(self, table: LabelTable, count: int) -> Shares:
        """Return how often each of `count` images is to be seen, as far as its classes decide: float64, at least 0.

        The table says which classes have an object in which image; rows of ignored boxes alone are left out.
        """
        return np.ones(count)

    def rates(self, dataset: DetectionDataset) -> Shares:
        """Return how often each image of a data set is seen in an epoch, on average: float64 N.

        Raises:
            DataError: the data set lacks what an option asks for.
        """
        count, table = len(dataset), dataset.columns.label_table().with_objects()
        rates = self.factors(table, count)
        if dataset.sources is not None:
            numbers, shares = dataset.sources
            totals = np.bincount(numbers, rates, minlength=len(shares))
            shares = np.where(totals > 0, shares, 0)
            rates = rates * (rates.sum() * shares / max(shares.sum(), 1e-300) / np.maximum(totals, 1e-300))[numbers]
        if self.empty is not None:  # those with objects keep their rates
            empty = _without_objects(table, count)
            some, none = float(rates[~empty].sum()), float(rates[empty].sum())
            if some == 0 or (none == 0 and self.empty > 0):
                raise DataError(
                    f"data.sampling.empty: a share of {self.empty:g} of images without objects was asked for, but "
                    f"among those of {dataset!r} none is {'with' if some == 0 else 'without'} objects; set it to null, "
                    "or add such images (ImageFolder reads images without annotations)"
                )
            rates = np.where(empty, rates * (self.empty / (1 - self.empty) * some / max(none, 1e-300)), rates)
        total = float(rates.sum())
        if total == 0:
            raise DataError(
                f"data.sampling: {dataset!r} has no image left to train on; check the weights of its sources "
                "and data.sampling.empty"
            )
        return rates if self.samples is None else rates * (self.samples / total)


class RepeatFactors(Sampling):
    """Images with rare classes several times (repeat factor sampling; Gupta et al., 2019, "LVIS", arXiv 1908.03195).

    A class that a share f of the images has is given the factor max(1, √(threshold / f)), an image the largest
    factor of its classes. So no image is seen less often than without, and those of the rarest classes most.

    Args:
        threshold: classes in a smaller share of the images, in (0, 1], are repeated. LVIS takes 0.001, for 1,203
            classes; with 20 classes it is rather 0.05.
        **options: of Sampling.
    """

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__(**options)
        expected = "a share of the images above 0 and up to 1"
        check_option("data.sampling.threshold", 0 < threshold <= 1, expected, threshold)
        self.threshold = threshold

    def factors(self, table: LabelTable, count: int) -> Shares:
        frequency = np.bincount(table.labels) / count
        repeat = np.sqrt(np.maximum(self.threshold / np.maximum(frequency, 1 / count), 1))
        factors = np.ones(count)
        np.maximum.at(factors, table.samples, repeat[table.labels])
        return factors


class ClassAware(Sampling):
    """Every class alike (class-aware sampling; Shen et al., 2016, "Relay Backpropagation", arXiv 1512.05830).

    As if each sample were drawn by first drawing a class, then one of its images. A class of a few images is seen
    so often that a network may learn them by heart; `RepeatFactors` goes half the way. Images without objects keep
    their share of the epoch.
    """

    def factors(self, table: LabelTable, count: int) -> Shares:
        images = np.bincount(table.labels)
        chance = np.bincount(table.samples, 1 / images[table.labels], minlength=count)
        empty = _without_objects(table, count)
        scale = (~empty).sum() / max(np.count_nonzero(images), 1)
        return np.where(empty, 1.0, chance * scale)


def _without_objects(table: LabelTable, count: int) -> Bools:
    empty: Bools = np.bincount(table.samples, minlength=count) == 0
    return empty


def epoch_length(rates: Shares) -> int:
    """Return the samples of an epoch: the sum of the rates, rounded up."""
    return math.ceil(float(rates.sum()) * (1 - 1e-9))  # a sum of N and a rounding error is N


def draw_epoch(rates: Shares, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw the samples of an epoch by the rates of its images, in random order.

    Returns:
        int64 L, `epoch_length` indices of images; int64 L, how many times each of these images was drawn before
        (augmentation differs by it).
    """
    length = epoch_length(rates)
    images = rng.permutation(len(rates))  # so that no two are tied to one another by their places
    edges = rates[images].cumsum()
    edges *= length / edges[-1]
    edges[-1] = length  # not a rounding error below
    stops = np.floor(edges + rng.random()).clip(max=length).astype(np.int64)
    starts = np.concatenate([[0], stops[:-1]])
    counts = stops - starts
    times = np.arange(length) - np.repeat(starts, counts)
    order = rng.permutation(length)
    return np.repeat(images, counts)[order], times[order]


def describe_rates(dataset: DetectionDataset, rates: Shares) -> str:
    """Describe what an epoch consists of, beside what the data set holds, and the five classes that gain most."""
    table = dataset.columns.label_table().with_objects()
    count = len(dataset.class_names)
    images = np.bincount(table.labels, minlength=count)
    seen = np.bincount(table.labels, rates[table.samples], minlength=count)
    gain = seen / np.maximum(images, 1)
    classes = [
        f"{dataset.class_names[label]} {images[label]} → {seen[label]:.0f}"
        for label in np.argsort(-gain, kind="stable")[:5]
        if gain[label] > 1.005 * rates.mean()
    ]
    empty = _without_objects(table, len(rates))
    classes.append(f"without objects {np.count_nonzero(empty)} → {rates[empty].sum():.0f}")
    lines = [f"an epoch has {epoch_length(rates)} samples of {np.count_nonzero(rates)} images"]
    lines.append(f"  images → samples: {', '.join(classes)}")
    if dataset.sources is not None:
        numbers, shares = dataset.sources
        drawn = np.bincount(numbers, rates, minlength=len(shares)).round().astype(int).tolist()
        known = np.bincount(numbers, minlength=len(shares)).tolist()
        parts = (f"{place}: {a} → {b}" for place, (a, b) in enumerate(zip(known, drawn, strict=True)))
        lines.append(f"  by source: {', '.join(parts)}")
    return "\n".join(lines)
