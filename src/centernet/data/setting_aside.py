"""Setting a part of a data set aside, to validate on it: whole videos and whole groups of near-duplicates."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..images import ImageError
from ..whole import write_text
from .columns import LabelTable
from .combining import image_names
from .dataset import DetectionDataset
from .near_duplicates import FINGERPRINT, fingerprint, group_alike
from .sample import Bools, Ints, Pixels

MOST_IMAGES = 20_000
"""Images up to which near-duplicates are looked for; each is decoded once for it."""
_SIDE = 64  # pixels of the shorter side that an image is decoded to, at least


class Parts(NamedTuple):
    """The indices of two parts of a data set, ascending, and a sentence on how they were drawn."""

    train: Ints
    val: Ints
    how: str


def set_aside(dataset: DetectionDataset, fraction: float = 0.2, *, seed: int = 0) -> Parts:
    """Draw a part of a data set to validate on; the same for the same data, fraction and seed.

    Images of one video and images that are nearly the same come into one part. Each class has about the fraction of its
    images in the part, and keeps at least one image to train on. Where all images are one such group its last ones are
    set aside; a single image is in both parts.
    """
    count = len(dataset)
    if count == 1:
        both = np.zeros(1, dtype=np.int64)
        return Parts(both, both, "there is one image: it is trained and validated on, which says nothing of others")
    groups, found = _groups(dataset)
    number = int(groups.max()) + 1
    if number == 1:
        start = count - max(1, round(fraction * count))
        indices = np.arange(count)
        text = f"all images are {'of one video' if dataset.sequences else 'nearly the same'}"
        return Parts(indices[:start], indices[start:], f"{text}: the last {count - start} of {count} are set aside")
    aside = _draw(dataset.columns.label_table().with_objects(), groups, fraction, np.random.default_rng([seed, count]))
    chosen = aside[groups]
    text = f"{int(chosen.sum())} of {count} images are set aside, drawn at random with each class in its share"
    return Parts(np.flatnonzero(~chosen), np.flatnonzero(chosen), f"{text}{found}")


def write_lists(dataset: DetectionDataset, parts: Parts, folder: Path) -> tuple[Path, Path]:
    """Write train.txt and val.txt, lists of images for `ChosenImages`, into a folder. Returns their paths."""
    names = image_names(dataset)
    paths = folder / "train.txt", folder / "val.txt"
    for path, indices in zip(paths, (parts.train, parts.val), strict=True):
        text = "".join(f"{names[index]}\n" for index in indices.tolist())
        write_text(path, text, errors="surrogateescape")
    return paths


def _groups(dataset: DetectionDataset) -> tuple[Ints, str]:
    """The group of each image, from 0 on, and words on what they are."""
    groups = np.arange(len(dataset))
    for place, video in enumerate(dataset.sequences):
        groups[video.start : video.stop] = len(dataset) + place
    still = np.flatnonzero(groups < len(dataset))
    words = f"; whole videos, of {len(dataset.sequences)}" if dataset.sequences else ""
    if len(still) > MOST_IMAGES:
        words += f"; near-duplicates were not looked for among so many (more than {MOST_IMAGES:,})"
    elif len(still):
        alike = group_alike(_fingerprints(dataset, still))
        groups[still] = still[alike]
        several = int((np.bincount(alike) > 1).sum())
        words += f"; {several} groups of near-duplicates stay together" if several else ""
    _, numbers = np.unique(groups, return_inverse=True)
    return numbers.reshape(-1), words


def _fingerprints(dataset: DetectionDataset, indices: Ints) -> Pixels:
    """The fingerprints of some images; those that cannot be read are like nothing."""
    prints = np.zeros((len(indices), FINGERPRINT), np.uint8)
    for place, index in enumerate(indices.tolist()):
        try:
            image = dataset.image(index)
            pixels, _ = image.read(min(1.0, _SIDE / max(1, min(image.size_hw))))
        except ImageError:
            continue
        prints[place] = fingerprint(pixels)
    return prints


def _draw(table: LabelTable, groups: Ints, fraction: float, rng: np.random.Generator) -> Bools:
    """Choose groups, one after the other, as long as each brings the part nearer to its share of images and classes."""
    number, classes = int(groups.max()) + 1, int(table.labels.max(initial=0)) + 2
    without = np.setdiff1d(np.arange(len(groups)), table.samples)  # as if that were the last class
    samples = np.concatenate([table.samples, without])
    labels = np.concatenate([table.labels, np.full(len(without), classes - 1)])
    pairs, images = np.unique(groups[samples] * classes + labels, return_counts=True)
    group_of, label_of = pairs // classes, pairs % classes
    starts = np.searchsorted(group_of, np.arange(number + 1))
    totals = np.bincount(label_of, weights=images, minlength=classes)
    rarest = np.full(number, np.inf)
    np.minimum.at(rarest, group_of, totals[label_of])
    order = rng.permutation(number)
    order = order[np.argsort(rarest[order], kind="stable")]
    aside, have = np.zeros(number, dtype=np.bool_), np.zeros(classes)
    for group in order.tolist():
        rows = slice(starts[group], starts[group + 1])
        own = label_of[rows]
        total, before, after = totals[own], have[own], have[own] + images[rows]
        gain = (((before - fraction * total) ** 2 - (after - fraction * total) ** 2) / total**2).sum()
        if gain > 0 and (after < total).all():  # else a class would be without an image to train on
            aside[group], have[own] = True, after
    if not aside.any():
        sizes = np.bincount(groups, minlength=number)
        aside[order[np.argmin(sizes[order])]] = True
    return aside
