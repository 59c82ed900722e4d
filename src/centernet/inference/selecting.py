"""The images that most need a person: uncertain ones, unlike each other, with all classes among them.

Doubt is what active learning calls the uncertainty of a detector's scores, here 1 at the threshold of the class, 0 at
the scores 0 and 1. Images are taken one after the other (greedily, as in k-centre selection: Sener and Savarese 2018,
arXiv:1708.00489): each time the one whose doubt, weighted by class, times its distance to the nearest taken is largest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from scipy.sparse import csr_matrix

from centernet.data.near_duplicates import THUMBNAIL, fingerprint
from centernet.data.sample import Annotation, Floats, Ints, Shares
from centernet.inference.sources import Frame

HELD = 10
"""Candidates that are held for each image that is wanted: those of the most doubt."""
LEAST_HELD = 1000


class Seen(NamedTuple):
    """Findings in an image: its annotation, labels and scores of all that models found, uncertain or not.

    `stated` are the labels of the objects that a person has drawn, None in an image that nobody has labelled.
    """

    frame: Frame
    annotation: Annotation
    labels: Ints
    scores: Floats
    stated: Ints | None


class Chosen(NamedTuple):
    """An image that was chosen: its doubt, its distance to the nearest taken before, and its most doubtful classes."""

    location: str
    annotation: Annotation
    doubt: float
    novelty: float
    classes: Sequence[int]


@dataclass(eq=False)
class _Candidate:
    location: str
    annotation: Annotation
    thumbnail: Any  # uint8 256: 16×16 gray
    labels: Ints  # classes of which something was found; the last stands for "nothing"
    doubts: Shares  # of each
    objects: Shares  # of each: how many are expected, the sum of the scores

    @property
    def order(self) -> tuple[int, str]:
        """An order that has nothing to do with names and places."""
        return crc32(self.location.encode("utf-8", "surrogateescape")), self.location


class Selection:
    """Candidates while images are looked at: at most 2 × max(`HELD` × number, `LEAST_HELD`) are held.

    Args:
        number: of the images to choose.
        thresholds: L, the score of each class at which doubt is largest.
        discard: called with the annotation of each candidate that is no longer one.
    """

    def __init__(self, number: int, thresholds: Shares, discard: Callable[[Annotation], None]) -> None:
        self.number, self._discard = number, discard
        self._thresholds = thresholds.clip(1e-6, 1 - 1e-6)
        self._most = max(HELD * number, LEAST_HELD)
        self._held, self._known = list[_Candidate](), list[_Candidate]()
        self._seen = np.zeros(len(thresholds) + 1)  # objects expected in all images, by class
        self._labelled = np.zeros(len(thresholds) + 1)  # objects in those that a person has labelled
        self.candidates = 0

    def add(self, seen: Seen) -> None:
        """Take an image as a candidate, or as one that is labelled already; an ImageError where it cannot be read."""
        thumbnail = fingerprint(seen.frame.image)[THUMBNAIL]
        labels, doubts, objects = self._judge(seen)
        candidate = _Candidate(seen.frame.location, seen.annotation, thumbnail, labels, doubts, objects)
        if seen.stated is not None:
            self._labelled[:-1] += np.bincount(seen.stated[seen.stated >= 0], minlength=len(self._thresholds))
            self._known.append(candidate)
            if len(self._known) >= 2 * self._most:
                self._known = sorted(self._known, key=lambda one: one.order)[: self._most]
            return
        self.candidates += 1
        self._seen[labels] += objects
        self._held.append(candidate)
        if len(self._held) >= 2 * self._most:
            self._prune()

    def choose(self) -> list[Chosen]:
        """Return the images that most need a person, the first most of all."""
        held = sorted(self._held, key=lambda one: one.order)
        doubts, objects = (self._table(held, name) for name in ("doubts", "objects"))
        places = _thumbnails(held)
        lengths = np.einsum("ij,ij->i", places, places)
        nearest = self._from_known(places, lengths)
        taken, had = np.zeros(len(held), np.bool_), self._labelled.copy()
        chosen = []
        for _ in range(min(self.number, len(held))):
            gain = (doubts @ (1 / (1 + had))) * nearest
            best = int(np.argmax(np.where(taken, -1.0, gain)))
            one, taken[best] = held[best], True
            worst = one.labels[np.argsort(-one.doubts / (1 + had[one.labels]), kind="stable")]
            novelty = float(nearest[best])
            chosen.append(Chosen(one.location, one.annotation, float(one.doubts.sum()), novelty, worst[:3].tolist()))
            had += objects[best].toarray()[0]
            nearest = np.minimum(nearest, _distances(places, lengths, places[best : best + 1])[:, 0])
        for candidate, is_taken in zip(held, taken.tolist(), strict=True):
            if not is_taken:
                self._discard(candidate.annotation)
        return chosen

    def _judge(self, seen: Seen) -> tuple[Ints, Shares, Shares]:
        """Return the classes of which something was found, with doubt and expected number of each.

        Where nothing reaches its threshold there is a part of one object more, of the last class, that may be missed:
        the whole where nothing was found.
        """
        threshold, scores = self._thresholds[seen.labels], seen.scores.astype(np.float64)
        doubt = np.where(scores < threshold, scores / threshold, (1 - scores) / (1 - threshold)) ** 2
        missed = 1 - (scores / threshold).max(initial=0.0).clip(0, 1)
        labels, places = np.unique(np.append(seen.labels, len(self._thresholds)), return_inverse=True)
        sums = [np.bincount(places, np.append(values, missed)).astype(np.float64) for values in (doubt, scores)]
        return labels.astype(np.int64), sums[0], sums[1]

    def _prune(self) -> None:
        """Keep the candidates of the most doubt, each class weighted by how rare it is in all that was seen."""
        held = sorted(self._held, key=lambda one: one.order)
        worth = self._table(held, "doubts") @ (1 / (1 + self._seen))
        kept = np.zeros(len(held), np.bool_)
        kept[np.argsort(-worth, kind="stable")[: self._most]] = True
        for candidate, is_kept in zip(held, kept.tolist(), strict=True):
            if not is_kept:
                self._discard(candidate.annotation)
        self._held = [candidate for candidate, is_kept in zip(held, kept.tolist(), strict=True) if is_kept]

    def _table(self, held: Sequence[_Candidate], name: str) -> Any:
        """Return values of candidates by class: a sparse matrix N×(L+1)."""
        values = np.concatenate([np.zeros(0), *(getattr(one, name) for one in held)])
        labels = np.concatenate([np.zeros(0, np.int64), *(one.labels for one in held)])
        starts = np.cumsum([0, *(len(one.labels) for one in held)])
        return csr_matrix((values, labels, starts), shape=(len(held), len(self._thresholds) + 1))

    def _from_known(self, places: Floats, lengths: Floats) -> Floats:
        """Return the distance of each candidate to the nearest image that is labelled; 1 where there is none."""
        known = _thumbnails(sorted(self._known, key=lambda one: one.order)[: self._most])
        nearest: Floats = np.ones(len(places), np.float32)
        for start in range(0, len(known), 1000):
            block = _distances(places, lengths, known[start : start + 1000])
            nearest = np.minimum(nearest, block.min(axis=1))
        return nearest


def _thumbnails(candidates: Sequence[_Candidate]) -> Floats:
    """Return thumbnails whose distance is the root mean square difference of gray values, 0..1."""
    if not candidates:
        return np.zeros((0, 256), np.float32)
    thumbnails: Floats = np.stack([one.thumbnail for one in candidates]).astype(np.float32) / np.float32(255 * 16)
    return thumbnails


def _distances(places: Floats, lengths: Floats, others: Floats) -> Floats:
    """Return the distances N×M of N thumbnails to M others."""
    squares = lengths[:, None] + np.einsum("ij,ij->i", others, others) - 2 * (places @ others.T)
    distances: Floats = np.sqrt(squares.clip(0))
    return distances
