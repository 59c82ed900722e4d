"""The motion of the camera between two frames, from the background between the objects."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_LONGER_SIDE = 640  # pixels of the image in which points are followed
_MAX_POINTS = 600
_MIN_POINTS = 12  # of which a motion is taken


class CameraMotion:
    """Follows corners of the background from frame to frame by sparse optical flow (Lucas-Kanade).

    What the two frames have in common is taken for a shift, a turn and a zoom, by RANSAC; corners within detections
    are left out, as those move by themselves.
    """

    def __init__(self) -> None:
        self._grey: NDArray[np.uint8] | None = None
        self._points: NDArray[np.float32] = np.zeros((0, 1, 2), np.float32)

    def update(self, image: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the 2×3 matrix that maps pixels of the frame before to pixels of this one, H×W×3 uint8 RGB.

        There is no motion for the first frame, one of another size, and where too little of the background was found
        again. `boxes` are the detections N×4 ``x1 y1 x2 y2``.
        """
        scale = min(1.0, _LONGER_SIDE / max(image.shape[:2]))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix = np.eye(2, 3)
        before, points = self._grey, self._points
        if before is not None and before.shape == grey.shape and len(points) >= _MIN_POINTS:
            found, status, _ = cv2.calcOpticalFlowPyrLK(before, grey, points, np.empty_like(points))
            kept = status[:, 0] == 1
            if kept.sum() >= _MIN_POINTS:
                motion, agree = cv2.estimateAffinePartial2D(points[kept], found[kept], ransacReprojThreshold=2.0)
                if agree.sum() >= _MIN_POINTS:  # where no motion was found, none agree
                    matrix = np.array(motion, np.float64)
                    matrix[:, 2] /= scale
        corners: Any = cv2.goodFeaturesToTrack(grey, _MAX_POINTS, 0.01, 8)  # None: it found none
        corners = np.zeros((0, 1, 2), np.float32) if corners is None else np.asarray(corners, np.float32)
        low, high = boxes[:, :2] * scale, boxes[:, 2:] * scale
        moving = ((corners >= low) & (corners <= high)).all(axis=2).any(axis=1)  # corners P×1×2, boxes N×2
        self._grey, self._points = np.asarray(grey, np.uint8), corners[~moving]
        return matrix
