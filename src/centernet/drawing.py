"""Drawings of boxes and labels that can be read on any image.

Outlines have a dark halo, widths and letters grow with the image, labels look for a place where they hide no other.
"""

from __future__ import annotations

import colorsys
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import cv2
import numpy as np
from PIL import Image, ImageDraw

from centernet.fonts import font_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]

DARK: Colour = (18, 18, 24)
LIGHT: Colour = (255, 255, 255)
HUES = (0.0, 0.07, 0.15, 0.36, 0.5, 0.61, 0.75, 0.86, 1.0)  # red, orange, yellow, green, cyan, …: evenly seen steps
LETTERS = 8, 11, 120
"""Least size of letters, that of images of some 220 pixels and more, and the greatest, in pixels."""
HARM = 0.25, 1.2
"""Shares of objects and other labels that a label may hide together: it says less beyond the first, and is left out
beyond the second.
"""
SIDES: dict[int, Colour] = {-1: (255, 159, 28), 1: (64, 156, 255)}
"""Colours of joints and limbs of the first and the second side of a skeleton: of a person, left and right."""
JOINT = 0.1
"""The score below which a keypoint is a guess that is not drawn."""
SOLID = (8, 2)
"""Shape of a column of corners of boxes in space."""
EDGES = (
    *((i, (i + 1) % 4) for i in range(4)),
    *((4 + i, 4 + (i + 1) % 4) for i in range(4)),
    *((i, i + 4) for i in range(4)),
)
"""Corners of a box in space that an edge joins: those of the bottom, of the top, and upright."""
CROSS = (0, 5), (1, 4)
"""Corners that the cross on its front joins."""
Label: TypeAlias = Literal["name", "score", "id", "none"]
LABELS: tuple[Label, ...] = ("id", "name", "score")


class Drawable(Protocol):
    """Fields of `centernet.Detections` that drawing uses."""

    @property
    def bboxes(self) -> NDArray[np.float32]: ...
    @property
    def track_ids(self) -> NDArray[np.int64] | None: ...
    @property
    def columns(self) -> Sequence[Any]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


def draw(
    image: NDArray[np.uint8],
    detections: Drawable,
    *,
    labels: Sequence[Label] = LABELS,
    line_width: int | None = None,
    font: str | os.PathLike[str] | None = None,
    with_scores: bool = True,
) -> NDArray[np.uint8]:
    """Draw the boxes, class names and scores of detections on a copy of their image.

    Better objects are drawn over worse ones. The colour is the class's, or the identity's where there are track ids.
    In a crowd, labels that would hide others or their objects say less: without scores, the identity or the name alone,
    or nothing.
    Of further columns, boxes are drawn as thin frames, points as dots, and single values stand behind the score. Points
    with a skeleton are joined by its limbs, orange on the left side and blue on the right one; keypoints below a score
    of .1 are left out. Eight points without a score are the corners of a box in space, which is drawn in the place of
    the box: those of its bottom around, from the front right, then those of its top; its front has a cross. Of the
    single values the first is said then.

    Args:
        image: uint8 H×W×3 RGB, not changed; another type or shape is a ValueError.
        detections: boxes in the pixels of `image`.
        labels: what stands at the boxes: some of `name`, `score` and `id` (the identity of a tracked object), or
            `none`; default: all three.
        line_width: of outlines, in pixels; default: grows with the image.
        font: file of a font for the labels (.ttf, .otf, .ttc); default: Pillow's own. Letters that it lacks are taken
            from one of the system's.
        with_scores: False leaves the scores out, as for true boxes.

    Returns:
        uint8 H×W×3 RGB.

    Raises:
        ValueError: another kind of image, a label that is none of these, or a file that is no font.
    """
    if unknown := [label for label in labels if label not in get_args(Label)]:
        raise ValueError(f"labels: expected some of {', '.join(get_args(Label))}, got {unknown[0]!r}")
    file = None if font is None else os.fspath(font)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an image uint8 H×W×3, got {image.dtype} {'×'.join(map(str, image.shape))}")
    if not len(detections):
        return image.copy()
    height, width = image.shape[:2]
    scale = math.sqrt(height * width)
    line = line_width or max(1, round(scale / 320))
    halo = max(1, round(line / 2))

    canvas = np.array(image, order="C")
    objects = sorted(detections, key=lambda one: one.score)
    colours = [class_colour(one.label if one.track_id is None else one.track_id) for one in objects]
    named = {kind: [c.name for c in detections.columns if c.kind == kind] for kind in ("boxes", "points")}
    skeletons = {c.name: c.skeleton for c in detections.columns if getattr(c, "skeleton", None) is not None}
    solids = [c.name for c in detections.columns if c.kind == "points" and c.shape == SOLID]
    named["points"] = [name for name in named["points"] if name not in (*skeletons, *solids)]
    values = [column.name for column in detections.columns if column.kind == "value" and not column.shape]
    values = values[:1] if solids else values  # the box itself shows how it is turned
    for one, colour in zip(objects, colours, strict=True):
        for box in (box for name in named["boxes"] for box in one.data[name].reshape(-1, 4) if np.isfinite(box).all()):
            _outline(canvas, box, colour, 1, halo)
        for corners in (one.data[name] for name in solids):
            _solid(canvas, corners, colour, line, halo)
        if not solids:
            _outline(canvas, one.bbox, colour, line, halo)
        for x, y in (point for name in named["points"] for point in one.data[name][..., :2].reshape(-1, 2).tolist()):
            if 0 <= x <= width and 0 <= y <= height:
                for radius, ink in ((round(1.5 * line), DARK), (round(1.5 * line) - halo, colour)):
                    cv2.circle(canvas, (int(x), int(y)), radius, ink, -1)
        for name, skeleton in skeletons.items():
            _pose(canvas, one.data[name], skeleton, colour, line)

    shown = set() if "none" in labels else {*labels} - ({"score"} if not with_scores else set())
    wanted = [(one.bbox, _texts(one, shown, values), colour) for one, colour in zip(objects, colours, strict=True)]
    for (x1, y1, x2, y2), text, colour, letters in _labels(wanted, detections.bboxes, (width, height), line, file):
        room = canvas[y1:y2, x1:x2]
        room[:] = _chip((x2 - x1, y2 - y1), text, colour, letters, file)[: room.shape[0], : room.shape[1]]
    return canvas


def _labels(
    wanted: Sequence[tuple[NDArray[np.float32], Sequence[str], Colour]],
    boxes: NDArray[np.float32],
    limits: tuple[int, int],
    line: int,
    file: str | None,
) -> list[tuple[Rectangle, str, Colour, int]]:
    """Return the places of labels, what they say, their colours and the size of their letters, in the order of drawing.

    The best object, which is the last, chooses its place first.

    Args:
        wanted: the box of each object, what its label may say, and its colour.
        boxes: of all objects.
        limits: width and height of the image.
        line: width of outlines.
        file: of the font.
    """
    scale = math.sqrt(limits[0] * limits[1])
    large = int(min(max(LETTERS[0], min(LETTERS[1], scale / 20), scale / 38), LETTERS[2]))
    small = max(min(9, large), round(0.72 * large))
    labels: list[tuple[Rectangle, str, Colour, int]] = []
    for box, texts, colour in reversed(wanted):
        best, least = None, HARM[1]
        for text, letters in [*((text, large) for text in texts[:1]), *((text, small) for text in texts)]:
            size = _chip_size(text, letters, file)
            if letters != small and size[0] > 1.6 * (box[2] - box[0]):
                continue  # small objects have small labels
            place, harm = _place(box, size, limits, line, [other for other, *_ in labels], boxes)
            if harm < least:
                best, least = (place, text, colour, letters), harm
            if harm <= HARM[0]:
                break
        labels += [] if best is None else [best]
    return labels[::-1]


def _texts(one: Any, shown: set[Label], values: Sequence[str]) -> list[str]:
    """Return what the label of an object may say: all, or less where there is no room for it."""
    name = [one.name] if "name" in shown else []
    identity = [f"#{one.track_id}"] if "id" in shown and one.track_id is not None else []
    scores = [f"{one.score:.2f}", *(f"{value} {one.data[value]:.3g}" for value in values)] if "score" in shown else []
    texts = (identity + name + scores, identity + name, identity or name)
    return list(dict.fromkeys(" ".join(parts) for parts in texts if parts))


class Trails:
    """Draws the ways that objects with identities came as lines behind them that fade.

    Args:
        length: frames that a trail reaches back.
    """

    def __init__(self, length: int = 30) -> None:
        if length < 1:
            raise ValueError(f"length: expected at least 1 frame, got {length}")
        self._frames: deque[dict[int, tuple[float, float]]] = deque(maxlen=length)

    def draw(self, image: NDArray[np.uint8], detections: Drawable) -> NDArray[np.uint8]:
        """Draw the trails of the next frame's objects on a copy; return the frame itself if nothing has an identity.

        Arguments are those of `draw`.
        """
        ids = [] if detections.track_ids is None else detections.track_ids.tolist()
        centres = (detections.bboxes[:, :2] + detections.bboxes[:, 2:]) / 2
        here = dict(zip(ids, map(tuple, centres.tolist()), strict=False))
        self._frames.append(here)
        if not here or len(self._frames) < 2:
            return image
        canvas = image.copy()
        width = max(1, round(math.sqrt(image.shape[0] * image.shape[1]) / 320))
        for number, (before, after) in enumerate(pairwise(self._frames), start=1):  # the newest is the strongest
            thickness = max(1, round(width * (0.5 + number / (len(self._frames) - 1))))
            for identity in before.keys() & after.keys() & here.keys():
                begin, end = (tuple(round(v * 16) for v in frame[identity]) for frame in (before, after))
                cv2.line(canvas, begin, end, class_colour(identity), thickness, cv2.LINE_AA, 4)
        return np.asarray(cv2.addWeighted(canvas, 0.75, image, 0.25, 0), dtype=np.uint8)


@lru_cache(maxsize=1024)
def class_colour(index: int) -> Colour:
    """Return the RGB colour of a class or identity: always the same, bright, and far from that of its neighbours."""
    # Steps of the golden ratio never come back to where they were, and fill the circle evenly.
    hue = float(np.interp((0.42 + index * 0.61803399) % 1, np.linspace(0, 1, len(HUES)), HUES))
    lightness = (0.58, 0.72, 0.48)[index // 6 % 3]
    while True:
        red, green, blue = (round(v * 255) for v in colorsys.hls_to_rgb(hue, lightness, 0.95))
        if _luminance((red, green, blue)) >= 0.22:
            return red, green, blue
        lightness += 0.03  # blues and purples look dark


def html_colours(count: int) -> list[str]:
    """Return the colours of as many classes, 1 to 64, as `#rrggbb`; pages go round in them."""
    return ["#{:02x}{:02x}{:02x}".format(*class_colour(index)) for index in range(min(max(count, 1), 64))]


def contact_sheet(images: Sequence[NDArray[np.uint8]], *, columns: int = 4, tile_width: int = 320) -> NDArray[np.uint8]:
    """Arrange images of any sizes side by side, left to right and down, on dark gray.

    Args:
        images: uint8 H×W×3 RGB, at least one. Each is fitted into a tile of the middle aspect of all.
        columns: tiles in a row; fewer where there are fewer images.
        tile_width: in pixels.

    Returns:
        uint8 H×W×3 RGB.
    """
    if not images:
        raise ValueError("contact_sheet: expected at least one image, got none")
    aspect = float(np.median([image.shape[0] / image.shape[1] for image in images]))
    tile_height = max(1, round(tile_width * min(max(aspect, 0.3), 2.0)))
    columns = min(columns, len(images))
    rows, gap = math.ceil(len(images) / columns), max(2, tile_width // 50)
    size = rows * (tile_height + gap) + gap, columns * (tile_width + gap) + gap
    sheet = np.full((*size, 3), 40, dtype=np.uint8)
    for i, image in enumerate(images):
        y, x = gap + i // columns * (tile_height + gap), gap + i % columns * (tile_width + gap)
        scale = min(tile_height / image.shape[0], tile_width / image.shape[1])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        y, x = y + (tile_height - height) // 2, x + (tile_width - width) // 2
        sheet[y : y + height, x : x + width] = cv2.resize(image, (width, height), interpolation=way)
    return sheet


def _outline(canvas: NDArray[np.uint8], box: NDArray[np.float32], colour: Colour, line: int, halo: int) -> None:
    """Draw a frame centred on the edges of the box, between two thin dark ones."""
    near = box.clip(-9999, 99999).tolist()
    for width, ink in ((line + 2 * halo, DARK), (line, colour)):
        x1, y1 = (round(v - width / 2) for v in near[:2])
        x2, y2 = (round(v + width / 2) - 1 for v in near[2:])  # OpenCV's corners belong to the rectangle
        x2, y2, more = max(x1, x2), max(y1, y2), width - 1
        for corner, other in (
            ((x1, y1), (x2, min(y1 + more, y2))),
            ((x1, max(y2 - more, y1)), (x2, y2)),
            ((x1, y1), (min(x1 + more, x2), y2)),
            ((max(x2 - more, x1), y1), (x2, y2)),
        ):
            cv2.rectangle(canvas, corner, other, ink, -1)


def _pose(canvas: NDArray[np.uint8], points: NDArray[np.float32], skeleton: Any, colour: Colour, line: int) -> None:
    """Draw the limbs and joints of an object, K×3: each with a dark halo, all halos first."""
    height = max(1.0, float(np.ptp(points[points[:, 2] >= JOINT, 1]))) if (points[:, 2] >= JOINT).any() else 1.0
    width = max(1, min(line, round(height / 40)))  # of far ones, limbs would hide the person
    places = [tuple(round(float(v) * 16) for v in point) for point in points[:, :2].clip(-9999, 99999)]
    seen = (points[:, 2] >= JOINT) & np.isfinite(points[:, :2]).all(axis=1)
    inks = {0: colour, **SIDES}
    limbs = [(a, b) for a, b in skeleton.edges if seen[a] and seen[b]]
    joints = np.flatnonzero(seen).tolist()
    for dark in (True, False):
        for a, b in limbs:
            sides = skeleton.sides[a] + skeleton.sides[b]
            ink = DARK if dark else inks[max(-1, min(1, sides))]
            cv2.line(canvas, places[a], places[b], ink, width + 2 * dark, cv2.LINE_AA, 4)
        for joint in joints:
            ink = DARK if dark else inks[skeleton.sides[joint]]
            cv2.circle(canvas, places[joint], round(16 * (1.2 * width + dark)), ink, -1, cv2.LINE_AA, 4)


def _solid(canvas: NDArray[np.uint8], corners: NDArray[np.float32], colour: Colour, line: int, halo: int) -> None:
    """Draw the edges of a box in space, those on its front last, over dark ones; edges with a corner of NaN are not."""
    joined = [(a, b) for a, b in (*CROSS, *EDGES) if np.isfinite(corners[[a, b]]).all()]
    ends = [(np.clip(corners[[a, b]], -9999, 99999) * 16).round().astype(int).tolist() for a, b in joined]
    thin = max(1, line // 2)
    for more, ink in ((2 * halo, DARK), (0, colour)):
        for pair, (begin, end) in zip(joined, ends, strict=True):
            width = (thin if pair in CROSS else line) + more
            cv2.line(canvas, begin, end, ink, width, cv2.LINE_AA, 4)


def _place(
    box: NDArray[np.float32],
    size: tuple[int, int],
    limits: tuple[int, int],
    line: int,
    labels: Sequence[Rectangle],
    boxes: NDArray[np.float32],
) -> tuple[Rectangle, float]:
    """Return a label's place: the one of some at its box that hides least of the other labels, its object and others;
    and the share of these that it hides.

    Args:
        box: that it belongs to.
        size: width and height of the label.
        limits: width and height of the image.
        line: width of outlines.
        labels: that have their places.
        boxes: of all objects.
    """
    width, height = size
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    half = line // 2
    candidates = np.array([
        (x1 - half, y1 - height - half),  # on the upper edge
        (x2 + half - width, y1 - height - half),
        (x1 - half, y2 + half),  # under the lower edge
        (x2 + half - width, y2 + half),
        (x2 + half, y1 - half),  # beside it
        (x1 - half - width, y1 - half),
        (x1 + half, y1 + half),  # inside
        (x1 + half, y2 - half - height),
        (x1 + half, y1 + half + height),
    ])  # fmt: skip
    low = candidates.clip(0, np.maximum(np.subtract(limits, size), 0))
    away = abs(low - candidates) @ np.array([1 / (4 * width), 1 / height])  # from its box
    inside = _common(low, size, box[None])[:, 0] / (width * height)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).clip(1)
    harm = 5 * _common(low, size, np.array(labels).reshape(-1, 4)).sum(axis=1) / (width * height)
    harm += (_common(low, size, boxes) / areas).sum(axis=1)
    best = int((away + inside + harm).argmin())
    left, top = low[best].tolist()
    return (left, top, left + width, top + height), float(harm[best])


def _common(corners: NDArray[np.int64], size: tuple[int, int], boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the area that each of K rectangles of one size, given by their upper left corners, shares with each of N
    boxes: K×N.
    """
    shared = np.minimum((corners + size)[:, None], boxes[:, 2:]) - np.maximum(corners[:, None], boxes[:, :2])
    return np.asarray(shared.clip(0).prod(axis=2))


@lru_cache(maxsize=256)
def _chip(size: tuple[int, int], text: str, colour: Colour, font_size: int, file: str | None) -> NDArray[np.uint8]:
    """Return the image of a label, drawn by Pillow alone: the whole image would have to be copied there and back."""
    chip = Image.new("RGB", size, colour)
    pen = ImageDraw.Draw(chip)
    pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=DARK, width=1)
    ink = DARK if _luminance(colour) > 0.18 else LIGHT
    font, text = font_for(text, font_size, file)
    pen.text((_padding(font_size), size[1] / 2), text, fill=ink, font=font, anchor="lm")
    return np.asarray(chip)


@lru_cache(maxsize=4096)
def _chip_size(text: str, font_size: int, file: str | None) -> tuple[int, int]:
    """Return width and height of a label: the height is the same for all texts."""
    font, text = font_for(text, font_size, file)
    return math.ceil(font.getlength(text)) + 2 * _padding(font_size), round(font_size * 1.35) + 2


def _padding(font_size: int) -> int:
    return max(3, round(font_size * 0.35))


def _luminance(colour: Colour) -> float:
    """Return the relative luminance 0..1 (WCAG 2, linear sRGB)."""
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
