"""The one-euro filter: points of tracks without their trembling, and without much delay where they move.

Source: Casiez, Roussel and Vogel 2012, https://gery.casiez.net/1euro/.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FASTER = 4.0
"""Hz by which the cut-off rises with a speed of one side of the object's box a second."""
SPEED_CUTOFF = 1.0
"""Hz, of the filter over speeds."""
MEMORY = 1.0
"""Seconds without the object after which its points begin anew."""


class OneEuro:
    """Smooths points of objects with identities, frame by frame.

    Args:
        cutoff: Hz, for points that stand still: less is smoother.
    """

    def __init__(self, cutoff: float) -> None:
        self.cutoff = cutoff
        self._ids, self._times = np.zeros(0, np.int64), np.zeros(0)
        self._places = self._speeds = np.zeros((0, 0, 2))  # objects × points × x y

    def __call__(
        self, ids: NDArray[np.int64], points: NDArray[np.float32], boxes: NDArray[np.float32], time: float
    ) -> NDArray[np.float32]:
        """Return points N×…×D of the next frame, of which x and y are smoothed.

        Args:
            ids: N identities, each once.
            points: the last axis begins with x and y, in pixels.
            boxes: N×4 of the objects.
            time: of the frame, in seconds.
        """
        if not points.size:
            return points
        here = points[..., :2].reshape(len(points), -1, 2).astype(np.float64)
        places, speeds, times = here.copy(), np.zeros_like(here), np.full(len(ids), time)
        _, mine, before = np.intersect1d(ids, self._ids, return_indices=True)
        passed = time - self._times[before]
        fresh = (passed > 0) & (passed <= MEMORY)
        mine, before, passed = mine[fresh], before[fresh], passed[fresh][:, None, None]
        sides = np.maximum((boxes[mine, 2:] - boxes[mine, :2]).max(axis=1), 1.0)[:, None, None]
        if len(mine):
            share = _share(SPEED_CUTOFF, passed)
            raw = (here[mine] - self._places[before]) / passed
            speeds[mine] = share * raw + (1 - share) * self._speeds[before]
            fast = np.linalg.norm(speeds[mine], axis=2, keepdims=True) / sides
            share = _share(self.cutoff + FASTER * fast, passed)
            places[mine] = share * here[mine] + (1 - share) * self._places[before]
        kept = ~np.isin(self._ids, ids) & (time - self._times <= MEMORY) & (time >= self._times)
        if self._places.shape[1] != here.shape[1]:
            kept[:] = False
            self._places = self._speeds = np.zeros((len(kept), here.shape[1], 2))
        self._ids = np.concatenate([ids, self._ids[kept]])
        self._times = np.concatenate([times, self._times[kept]])
        self._places = np.concatenate([places, self._places[kept]])
        self._speeds = np.concatenate([speeds, self._speeds[kept]])
        result = points.copy()
        result[..., :2] = places.reshape(*points.shape[:-1], 2)
        return result


def _share(cutoff: NDArray[np.float64] | float, passed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of the new value in a low pass of this cut-off, after so many seconds."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * passed)))
