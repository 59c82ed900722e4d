"""Boxes in space seen from above."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from centernet.boxes3d import corners
from centernet.detections import Detections
from centernet.drawing import DARK, LIGHT, Colour, class_colour
from centernet.fonts import font_for

GROUND: Colour = (40, 42, 48)
RING: Colour = (92, 96, 106)
STEP = 10
"""Metres between rings."""
FARTHEST = 100
"""Metres that a view reaches at most where nobody says how far."""


def birds_eye(
    detections: Detections,
    *,
    truth: Detections | None = None,
    reach: float | None = None,
    size_hw: tuple[int, int] = (640, 640),
) -> NDArray[np.uint8]:
    """Draw boxes in space from above: the camera is in the middle of the lower edge and looks up.

    Rings are ten metres apart. The colour is the class's, or the identity's where there are track ids; the end that an
    object turns forward has a line from its middle.

    Args:
        detections: with the columns of `centernet.boxes3d.in_space`; a ValueError where they are missing.
        truth: others, outlined in white beneath.
        reach: metres from the camera to the upper edge; None: so far that the farthest box is seen, 100 at most.
        size_hw: of the drawing, in pixels.

    Returns:
        uint8 H×W×3 RGB.
    """
    everything = [one for one in (truth, detections) if one is not None]
    for one in everything:
        if missing := [name for name in ("location", "dimensions", "rotation_y") if name not in one.data]:
            raise ValueError(
                f"the detections have no column {', '.join(missing)}: centernet.boxes3d.in_space adds them"
            )
    if reach is None:
        away = np.concatenate([one.data["location"][:, 2] for one in everything])
        farthest = float(away[np.isfinite(away)].max(initial=STEP))
        reach = min(STEP * (math.floor(farthest / STEP) + 1), FARTHEST)
    height, width = size_hw
    scale = height / reach
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    camera = np.array([width / 2, height])

    def places(metres: NDArray[Any]) -> NDArray[np.int32]:
        """Points …×3 in camera metres → …×2 sixteenths of a pixel."""
        pixels = camera + metres[..., [0, 2]] * [scale, -scale]
        return np.asarray((pixels.clip(-9999, 9999) * 16).round(), np.int32)

    center, rings = (round(camera[0]), round(camera[1])), range(STEP, int(math.hypot(reach, width / scale)) + 1, STEP)
    for metres in rings:
        cv2.circle(canvas, center, round(metres * scale), RING, 1, cv2.LINE_AA)
    _write_distances(canvas, [(f"{metres} m", height - metres * scale) for metres in rings if metres < reach])
    line = max(1, round(height / 400))
    for one in everything:
        grounds = corners(one.data["location"], one.data["dimensions"], one.data["rotation_y"])[:, :4]
        order = np.argsort(one.scores, kind="stable")
        keys = one.labels if one.track_ids is None else one.track_ids
        for row in (int(i) for i in order if np.isfinite(grounds[i]).all()):
            ground, colour = grounds[row], LIGHT if one is truth else class_colour(int(keys[row]))
            outline = places(ground)
            middle, front = places(ground.mean(axis=0)), places(ground[:2].mean(axis=0))
            if one is not truth:
                filled = canvas.copy()
                cv2.fillConvexPoly(filled, outline, colour, cv2.LINE_AA, 4)
                canvas = np.asarray(cv2.addWeighted(filled, 0.35, canvas, 0.65, 0), np.uint8)
            cv2.polylines(canvas, [outline], True, colour, line, cv2.LINE_AA, 4)
            cv2.line(canvas, middle.tolist(), front.tolist(), colour, line, cv2.LINE_AA, 4)
    cv2.drawMarker(
        canvas, (center[0], height - 2 * line), LIGHT, cv2.MARKER_TRIANGLE_UP, 6 * line + 6, line, cv2.LINE_AA
    )
    return canvas


def _write_distances(canvas: NDArray[np.uint8], texts: list[tuple[str, float]]) -> None:
    """Write what rings are away from the camera beside its axis."""
    size = max(9, canvas.shape[0] // 48)
    drawn = Image.fromarray(canvas)
    pen = ImageDraw.Draw(drawn)
    for text, y in texts:
        font, text = font_for(text, size, None)
        pen.text(
            (canvas.shape[1] / 2 + 3, y), text, fill=LIGHT, font=font, anchor="lm", stroke_width=1, stroke_fill=DARK
        )
    canvas[:] = np.asarray(drawn)
