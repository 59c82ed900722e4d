"""The Kalman filter of box trackers, for all tracks at once.

Transition, observation and all noise, which grows with the box, treat the coordinates apart: so the 8×8 covariance is
four blocks of 2×2. Only those are kept and computed here, with the numbers of the full matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHI2_95 = 9.4877  # the .95 quantile of the chi-square distribution with four degrees of freedom

LEAST_SIZE = 1e-3  # pixels: a box without height is known no better than this


class _Noise:
    """A kind of noise, as standard deviations: a share of the box's size, and a number for an aspect ratio."""

    def __init__(self, share: float, aspect: float) -> None:
        self.share = share
        self.by_height = np.array([share, share, 0, share])
        self.aspect = np.array([0, 0, aspect, 0])


_POSITION = _Noise(1 / 20, 1e-2)
_VELOCITY = _Noise(1 / 160, 1e-5)
_MEASURED = _Noise(1 / 20, 1e-1)


@dataclass(frozen=True)
class KalmanFilter:
    """Motion at constant velocity, with N tracks as rows of arrays.

    A state is a `mean` N×2×4 (row 0 the coordinates, row 1 their velocities a frame) and a `covariance` N×3×4: for each
    coordinate the variance of its position, its covariance of position and velocity, and the variance of its velocity.
    Coordinates are centre x, centre y, shape and height; the shape is the aspect ratio w / h (`form` "xyah": DeepSORT,
    Wojke et al. 2017, arXiv:1703.07402, and FairMOT) or the width ("xywh": BoT-SORT, Aharon et al. 2022,
    arXiv:2206.14651). All float64.
    """

    form: Literal["xyah", "xywh"] = "xyah"

    def measurements(self, boxes: Array) -> Array:
        """Convert boxes N×4 ``x1 y1 x2 y2`` to measurements N×4."""
        low, high = boxes[:, :2], boxes[:, 2:]
        measured = np.concatenate([(low + high) / 2, high - low], axis=1)
        if self.form == "xyah":
            measured[:, 3] = np.maximum(measured[:, 3], LEAST_SIZE)  # else the width would be lost with the height
            measured[:, 2] /= measured[:, 3]
        return measured

    def boxes(self, mean: Array) -> Array:
        """Convert means N×2×4 to boxes N×4 ``x1 y1 x2 y2``; a size that motion has carried below zero is zero."""
        centre, half = mean[:, 0, :2], self.sizes(mean) / 2
        return np.concatenate([centre - half, centre + half], axis=1)

    def sizes(self, mean: Array) -> Array:
        """Return the widths and heights N×2 of means N×2×4, at least 0."""
        sizes = np.maximum(mean[:, 0, 2:], 0)
        if self.form == "xyah":
            sizes[:, 0] *= sizes[:, 1]
        return sizes

    def initiate(self, measured: Array) -> tuple[Array, Array]:
        """Return the state of tracks that begin, at rest, with the measurements N×4."""
        mean = np.zeros((len(measured), 2, 4))
        mean[:, 0] = measured
        covariance = np.zeros((len(measured), 3, 4))
        covariance[:, 0] = self._variances(measured, _POSITION, 2)
        covariance[:, 2] = self._variances(measured, _VELOCITY, 10)
        return mean, covariance

    def predict(self, mean: Array, covariance: Array, frames: float | Array = 1.0) -> tuple[Array, Array]:
        """Return the state so many frames later: a number for all tracks, or N×1."""
        position, (var, cov, var_velocity) = mean[:, 0], covariance.swapaxes(0, 1)
        predicted, spread = mean.copy(), covariance.copy()
        predicted[:, 0] += frames * mean[:, 1]
        spread[:, 0] = var + 2 * frames * cov + frames**2 * var_velocity + frames * self._variances(position, _POSITION)
        spread[:, 1] += frames * var_velocity
        spread[:, 2] += frames * self._variances(position, _VELOCITY)
        return predicted, spread

    def project(self, mean: Array, covariance: Array) -> tuple[Array, Array]:
        """Return the mean N×4 and the variance N×4 of the expected measurements, their noise included."""
        return mean[:, 0], covariance[:, 0] + self._variances(mean[:, 0], _MEASURED)

    def update(self, mean: Array, covariance: Array, measured: Array) -> tuple[Array, Array]:
        """Return the state after the measurements N×4, one for each track."""
        expected, variance = self.project(mean, covariance)
        gain = covariance[:, :2] / variance[:, None]  # N×2×4: of position and of velocity
        updated = mean + gain * (measured - expected)[:, None]
        spread = covariance.copy()
        spread[:, :2] -= gain * covariance[:, :1]
        spread[:, 2] -= gain[:, 1] * covariance[:, 1]
        return updated, spread

    def gating_distance(self, mean: Array, covariance: Array, measured: Array) -> Array:
        """Return the squared Mahalanobis distances N×M of measurements M×4 from the expected ones of N tracks."""
        expected, variance = self.project(mean, covariance)
        distance = np.zeros((len(mean), len(measured)))
        for i in range(4):
            distance += (expected[:, i, None] - measured[:, i]) ** 2 / variance[:, i, None]
        return distance

    def warp(self, mean: Array, covariance: Array, matrix: Array) -> tuple[Array, Array]:
        """Return the state after the camera has moved, by a 2×3 matrix from pixels of the old view to the new one's.

        It holds a shift, a turn and a zoom. A turn moves centres and velocities, not the boxes' shape nor, as they are
        about the same along both axes, variances.
        """
        zoom = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        scale = np.array([1, 1, 1 if self.form == "xyah" else zoom, zoom])
        warped = mean * scale
        warped[:, :, :2] = mean[:, :, :2] @ matrix[:, :2].T
        warped[:, 0, :2] += matrix[:, 2]
        scale[:2] = zoom
        return warped, np.asarray(covariance * scale**2)

    def _variances(self, position: Array, noise: _Noise, times: float = 1) -> Array:
        """Return variances N×4: squares of a share of the box's size and, for an aspect ratio, of a number."""
        if self.form == "xyah":
            deviations = np.maximum(position[:, 3:], LEAST_SIZE) * (times * noise.by_height) + noise.aspect
        else:
            deviations = np.maximum(position[:, [2, 3, 2, 3]], LEAST_SIZE) * (times * noise.share)
        return np.asarray(deviations * deviations)
