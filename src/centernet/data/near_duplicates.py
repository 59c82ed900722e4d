"""Images that are nearly the same: copies, resized or recompressed ones, and neighbouring frames of a video.

Difference hashes are compared all with all; what is near is confirmed by the correlation of gray thumbnails, as plain
images (sky, fog) have near hashes without being alike.
"""

from __future__ import annotations

import cv2
import numpy as np

from .dataset import DetectionDataset
from .sample import Bools, Floats, Ints, Pixels

MAX_DISTANCE = 10
"""Bits of 64. Recompressed, resized or brighter copies differ by fewer; of unrelated photographs one pair in 30,000."""
MIN_CORRELATION = 0.95
"""Of the thumbnails. No unlike pair of four million pairs of VOC's photographs that are near by their hashes has it."""
_BITS = 8 * 8
_SIDE = 16  # of a thumbnail
FINGERPRINT = _BITS + _SIDE**2
THUMBNAIL = slice(_BITS, None)
"""Part of a fingerprint: 16×16 gray values."""
_BLOCK = 1 << 22  # distances at a time
_PAIRS = 1 << 16  # thumbnails at a time, of 1 KiB each
_DENSE = 16  # from one pair in so many on, all are multiplied


def fingerprint(image: Pixels) -> Pixels:
    """Return the fingerprint of an image (uint8 H×W×3 RGB): uint8 320.

    64 entries say which of 8×8 areas are darker (1) than their right neighbours; then a 16×16 gray thumbnail follows.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    areas, thumbnail = (cv2.resize(gray, size, interpolation=cv2.INTER_AREA) for size in ((9, 8), (_SIDE, _SIDE)))
    return np.concatenate([areas[:, :-1] < areas[:, 1:], thumbnail], axis=None, dtype=np.uint8, casting="unsafe")


def same_files(first: DetectionDataset, second: DetectionDataset) -> list[int]:
    """Return the samples of `second` whose files are in `first` too."""
    known = {str(first.path(index).absolute()) for index in range(len(first))}
    return [index for index in range(len(second)) if str(second.path(index).absolute()) in known]


def nearest_pairs(first: Pixels, second: Pixels) -> list[tuple[int, int, float]]:
    """Find for each fingerprint of `second` (uint8 N×320) the most alike of its near-duplicates in `first`.

    Images of one gray level all over are like nothing.

    Returns:
        Places in the first and the second, and the correlation of their thumbnails in 0..1; most alike first.
    """
    (places, signs, scaled), (other_places, other_signs, other_scaled) = map(_vectors, (first, second))
    pairs: list[tuple[int, int, float]] = []
    step = max(1, _BLOCK // max(1, len(places)))
    for start in range(0, len(other_places), step):
        agreement = other_signs[start : start + step] @ signs.T  # equal bits less unequal ones
        others, ones = np.nonzero(agreement >= _BITS - 2 * MAX_DISTANCE)
        alike = _correlations(other_scaled[start : start + step], scaled, others, ones)
        others += start
        order = np.lexsort((-alike, others))
        best = order[np.unique(others[order], return_index=True)[1]]  # the first of each
        best = best[alike[best] >= MIN_CORRELATION]
        found = places[ones[best]], other_places[others[best]], alike[best].clip(max=1)
        pairs += zip(*(column.tolist() for column in found), strict=True)
    return sorted(pairs, key=lambda pair: (-round(pair[2], 3), pair[1]))


def have_contrast(fingerprints: Pixels) -> Bools:
    """Tell which images are not of one gray level all over: bool N."""
    return np.asarray(np.ptp(fingerprints[:, _BITS:], axis=1) > 0)


def group_alike(fingerprints: Pixels) -> Ints:
    """Return the group of each of N images, the index of one in it: near-duplicates, and theirs, are in one."""
    groups = np.arange(len(fingerprints))
    places, signs, scaled = _vectors(fingerprints)
    step = max(1, _BLOCK // max(1, len(places)))
    for start in range(0, len(places), step):
        rows, columns = np.nonzero(signs[start : start + step] @ signs.T >= _BITS - 2 * MAX_DISTANCE)
        later = rows + start < columns
        rows, columns = rows[later], columns[later]
        alike = _correlations(scaled[start : start + step], scaled, rows, columns) >= MIN_CORRELATION
        _join(groups, places[rows[alike] + start], places[columns[alike]])
    return groups


def _join(groups: Ints, ones: Ints, others: Ints) -> None:
    """Make one group, in place, of those of each pair: a group's name is the least index in it."""
    while len(ones):
        first, second = groups[ones], groups[others]
        apart = first != second
        ones, others = ones[apart], others[apart]
        least = np.minimum(first, second)[apart]
        np.minimum.at(groups, np.maximum(first, second)[apart], least)
        while not np.array_equal(groups, shorter := groups[groups]):
            groups[:] = shorter


def _correlations(block: Floats, scaled: Floats, rows: Ints, columns: Ints) -> Floats:
    """Return the correlations of pairs: of a row of `block` and one of `scaled`."""
    if len(rows) * _DENSE > len(block) * len(scaled):  # of a still camera nearly all
        return np.asarray((block @ scaled.T)[rows, columns])
    found = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        np.einsum("ij,ij->i", block[rows[part]], scaled[columns[part]], out=found[part])
    return found


def _vectors(fingerprints: Pixels) -> tuple[Ints, Floats, Floats]:
    """Return which images have contrast, their bits as ±1, and their thumbnails: a product is a correlation."""
    values = fingerprints[:, _BITS:].astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1)
    places = np.flatnonzero(length > _SIDE)  # 1 gray level
    return places, fingerprints[places, :_BITS].astype(np.float32) * 2 - 1, values[places] / length[places, None]
