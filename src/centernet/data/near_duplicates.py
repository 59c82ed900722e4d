"""Images that are nearly the same: copies, resized or recompressed ones, and neighbouring frames of a video.

An image's fingerprint is a 64-bit difference hash (is each of 8×8 areas darker than its right neighbour?) and its
16×16 gray thumbnail. Hashes are compared by their Hamming distance, all with all; what is near is confirmed by the
correlation of the thumbnails, as plain images (sky, fog) have near hashes without being alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from .dataset import DetectionDataset
from .sample import Floats, Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DISTANCE = 10
"""Bits of 64. Recompressed, resized or brighter copies differ by fewer; of unrelated photographs one pair in 30,000."""
MIN_CORRELATION = 0.95
"""Of the thumbnails. No unlike pair of four million pairs of VOC's photographs that are near by their hashes has it."""
THUMBNAIL = 16
_BLOCK = 1 << 22  # distances at a time


class Fingerprints(NamedTuple):
    """Fingerprints of N images: hashes (uint64 N) and gray thumbnails, row after row (uint8 N×256)."""

    hashes: NDArray[np.uint64]
    thumbnails: Pixels


def fingerprint(image: Pixels) -> tuple[int, Pixels]:
    """Return the hash of an image (uint8 H×W×3 RGB), and its thumbnail: uint8 256."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    areas = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
    darker = areas[:, :-1] < areas[:, 1:]
    thumbnail = cv2.resize(gray, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(darker).tobytes(), "big"), thumbnail.reshape(-1).astype(np.uint8, copy=False)


def same_files(first: DetectionDataset, second: DetectionDataset) -> list[int]:
    """Return the samples of `second` whose files are in `first` too."""
    known = {str(first.path(index).absolute()) for index in range(len(first))}
    return [index for index in range(len(second)) if str(second.path(index).absolute()) in known]


def nearest_pairs(first: Fingerprints, second: Fingerprints) -> list[tuple[int, int, float]]:
    """Find for each image of `second` the most alike of its near-duplicates in `first`.

    Images of one gray level all over are like nothing.

    Returns:
        Places in the first and the second, and the correlation of their thumbnails in 0..1; most alike first.
    """
    places = [np.flatnonzero(np.ptp(one.thumbnails, axis=1)) for one in (first, second)]
    hashes = [one.hashes[at] for one, at in zip((first, second), places, strict=True)]
    whitened = [_whiten(one.thumbnails[at]) for one, at in zip((first, second), places, strict=True)]
    pairs = []
    step = max(1, _BLOCK // max(1, len(hashes[0])))
    for start in range(0, len(hashes[1]), step):
        distances = _count_bits(hashes[1][start : start + step, None] ^ hashes[0][None])
        rows, columns = np.nonzero(distances <= MAX_DISTANCE)
        rows += start
        alike = (whitened[1][rows] * whitened[0][columns]).sum(axis=1)
        order = np.lexsort((-alike, rows))
        rows, best = np.unique(rows[order], return_index=True)  # the first of each row
        pairs += [
            (int(places[0][columns[i]]), int(places[1][row]), min(1.0, float(alike[i])))
            for row, i in zip(rows, order[best], strict=True)
            if alike[i] >= MIN_CORRELATION
        ]
    return sorted(pairs, key=lambda pair: (-round(pair[2], 3), pair[1]))


def _whiten(thumbnails: Pixels) -> Floats:
    """Scale to mean 0 and length 1, so that a product is a correlation; 0 where there is no contrast."""
    values = thumbnails.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(length > THUMBNAIL, values / np.maximum(length, 1e-6), 0).astype(np.float32)  # 1 gray level


def _count_bits_of_words(words: NDArray[np.uint64]) -> NDArray[Any]:
    """Count the bits that are set in each word (NumPy below 2 has no such function)."""
    of_number = np.array([number.bit_count() for number in range(256)], np.uint8)
    counts: NDArray[np.uint8] = of_number[words[..., None].view(np.uint8)].sum(axis=-1, dtype=np.uint8)
    return counts


_count_bits: Callable[[NDArray[np.uint64]], NDArray[Any]] = getattr(np, "bitwise_count", _count_bits_of_words)
