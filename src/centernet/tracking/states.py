"""The state of all tracks of a tracker: columns of arrays, one row for each track."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FIRST_ROWS = 64


class TrackStates:
    """Columns of as many rows as tracks were ever alive at once, rounded up; rows of ended tracks are used again."""

    def __init__(self) -> None:
        self.id = np.zeros(_FIRST_ROWS, dtype=np.int64)  # from 1
        self.label = np.zeros(_FIRST_ROWS, dtype=np.int64)  # of the last detection
        self.score = np.zeros(_FIRST_ROWS)  # of the result
        self.start = np.zeros(_FIRST_ROWS, dtype=np.int64)  # frame of the first detection
        self.last = np.zeros(_FIRST_ROWS, dtype=np.int64)  # and of the last one
        self.hits = np.zeros(_FIRST_ROWS, dtype=np.int64)  # detections in a row
        self.confirmed = np.zeros(_FIRST_ROWS, dtype=bool)  # shown since it had enough hits
        self.expired = np.zeros(_FIRST_ROWS, dtype=bool)  # lost for too long
        self.mean = np.zeros((_FIRST_ROWS, 2, 4))  # see KalmanFilter
        self.covariance = np.zeros((_FIRST_ROWS, 3, 4))
        self.then_mean = np.zeros((_FIRST_ROWS, 2, 4))  # after the last detection
        self.then_covariance = np.zeros((_FIRST_ROWS, 3, 4))
        self.embedding = np.zeros((_FIRST_ROWS, 0))  # R×D, smoothed, of length 1; zeros where there was none yet

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
        return np.flatnonzero(~used)[:count]
