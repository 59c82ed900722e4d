"""The state of all tracks of a tracker: columns of arrays, one row for each track."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_ROWS = 64


class TrackStates:
    """Columns of as many rows as tracks were ever alive at once, rounded up; a row whose track has ended is used again.

    Attributes:
        id: int64, from 1.
        label: int64, class of the last detection.
        score: float64, that of the result.
        start, last: int64, frames of the first and the last detection.
        hits: int64, detections in a row.
        confirmed: bool, shown since it had enough hits.
        expired: bool, was lost for too long.
        mean, covariance: float64 R×2×4 and R×3×4, see `KalmanFilter`.
        then_mean, then_covariance: the same as they were after the last detection.
        embedding: float64 R×D, smoothed, of length 1; zeros where there was none yet.
    """

    def __init__(self) -> None:
        self.id = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self.label = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self.score = np.zeros(_FIRST_ROWS)
        self.start = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self.last = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self.hits = np.zeros(_FIRST_ROWS, dtype=np.int64)
        self.confirmed = np.zeros(_FIRST_ROWS, dtype=bool)
        self.expired = np.zeros(_FIRST_ROWS, dtype=bool)
        self.mean = np.zeros((_FIRST_ROWS, 2, 4))
        self.covariance = np.zeros((_FIRST_ROWS, 3, 4))
        self.then_mean = np.zeros((_FIRST_ROWS, 2, 4))
        self.then_covariance = np.zeros((_FIRST_ROWS, 3, 4))
        self.embedding = np.zeros((_FIRST_ROWS, 0))

    def allocate(self, count: int, *alive: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return rows for new tracks, rising, that are none of `alive`; they still hold the values of ended tracks."""
        used = np.zeros(len(self.id), dtype=bool)
        for rows in alive:
            used[rows] = True
        short = count - int((~used).sum())
        if short > 0:
            more = max(len(used), short)
            for name, column in vars(self).items():
                setattr(self, name, np.concatenate([column, np.zeros((more, *column.shape[1:]), column.dtype)]))
            used = np.concatenate([used, np.zeros(more, dtype=bool)])
        free: NDArray[np.int64] = np.flatnonzero(~used)[:count]
        return free
