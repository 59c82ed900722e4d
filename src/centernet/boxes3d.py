"""Boxes in space as KITTI has them, and the camera that sees them.

Camera coordinates are metres: x to the right, y down, z forward. A box is its ``location``, which is the centre of its
bottom face, its ``dimensions`` (height, width, length), and ``rotation_y``, its turn about the vertical: 0 where its
length lies along x and it faces right, growing from x towards -z. ``alpha`` is that turn as the image shows it, against
the ray to the object: objects of one alpha look alike wherever they are. ``projection`` is the camera matrix 3×4 from
camera coordinates to pixels, P2 of KITTI's left colour camera.

Sources: the development kit of Geiger et al., CVPR 2012 (https://www.cvlibs.net/datasets/kitti); how an image's point
and a depth become a place, and alpha a turn: the original CenterNet, https://arxiv.org/abs/1904.07850, appendix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centernet.column import Column
from centernet.detections import Detections

Floats = NDArray[np.float64]

MEASURED = ("depth", "dimensions", "alpha")
"""Columns that a box in space is made of."""
CENTER = "projected_center"
"""Column of the places in the image where the centres of boxes in space are seen, of models that learn them."""
IN_SPACE = Column("location", "value", (3,)), Column("rotation_y", "value"), Column("corners", "points", (8, 2))
"""Columns that `in_space` adds."""
FIELDS = (
    Column("location", "value", (3,)),
    Column("dimensions", "value", (3,)),
    Column("rotation_y", "value"),
    Column("alpha", "value"),
    Column("projection", "value", (3, 4)),
    Column("ruler", "points", (2, 2)),
)
"""Fields of a data set that knows boxes in space: those of `Boxes3D`, the camera matrix of the file's pixels, and where
the image shows the box's centre and what lies a metre to the right of it: these two points move with the image, so that
they tell its zoom, and whether it is mirrored. All are 0 where a box in space is not known."""
NEAR = 0.1
"""Metres before the camera from which on a corner has a place in the image."""


@dataclass(frozen=True, eq=False)
class Boxes3D:
    """N boxes in space.

    Attributes:
        location: N×3 float64, x y z of the centre of the bottom face in camera metres.
        dimensions: N×3 float64, height, width, length in metres.
        rotation_y: N float64, radians in -π .. π.
        alpha: N float64, radians in -π .. π.
    """

    location: Floats
    dimensions: Floats
    rotation_y: Floats
    alpha: Floats

    def __len__(self) -> int:
        return len(self.location)

    def __getitem__(self, rows: Any) -> Boxes3D:
        """Return some of the boxes, by a mask, a slice or indices."""
        return Boxes3D(self.location[rows], self.dimensions[rows], self.rotation_y[rows], self.alpha[rows])

    @property
    def corners(self) -> Floats:
        """N×8×3 float64, see `corners`."""
        return corners(self.location, self.dimensions, self.rotation_y)


def wrapped(angle: ArrayLike) -> Floats:
    """Return angles in radians, within -π .. π."""
    return np.asarray((np.asarray(angle, np.float64) + np.pi) % (2 * np.pi) - np.pi)


def project(points: ArrayLike, projection: ArrayLike) -> Floats:
    """Return where points …×3 in camera metres are seen: …×2 float64 pixels. Those behind the camera make no sense."""
    matrix = np.asarray(projection, np.float64)
    seen = np.asarray(points, np.float64) @ matrix[:, :3].T + matrix[:, 3]
    return np.asarray(seen[..., :2] / seen[..., 2:])


def unproject(points: ArrayLike, depth: ArrayLike, projection: ArrayLike) -> Floats:
    """Return the places that are seen at some pixels.

    Args:
        points: …×2, x y in pixels.
        depth: …, metres along the axis of the camera whose image it is: z + projection[2, 3].
        projection: 3×4, of a camera whose pixels are not skewed.

    Returns:
        …×3 float64, x y z in camera metres.
    """
    pixels, depths = np.asarray(points, np.float64), np.asarray(depth, np.float64)
    matrix = np.asarray(projection, np.float64)
    z = depths - matrix[2, 3]
    axes = [(pixels[..., i] * depths - matrix[i, 3] - matrix[i, 2] * z) / matrix[i, i] for i in (0, 1)]
    return np.stack([*axes, z], axis=-1)


def ray_angle(x: ArrayLike, projection: ArrayLike) -> Floats:
    """Return the angles between the camera's axis and the rays through pixels of these x, seen from above."""
    matrix = np.asarray(projection, np.float64)
    return np.asarray(np.arctan2(np.asarray(x, np.float64) - matrix[0, 2], matrix[0, 0]))


def rotation_of(alpha: ArrayLike, x: ArrayLike, projection: ArrayLike) -> Floats:
    """Return rotation_y of objects that look turned by `alpha` and are seen at x pixels."""
    return wrapped(np.asarray(alpha, np.float64) + ray_angle(x, projection))


def alpha_of(rotation_y: ArrayLike, x: ArrayLike, projection: ArrayLike) -> Floats:
    """Return alpha of objects that are turned by `rotation_y` and are seen at x pixels."""
    return wrapped(np.asarray(rotation_y, np.float64) - ray_angle(x, projection))


def corners(location: ArrayLike, dimensions: ArrayLike, rotation_y: ArrayLike) -> Floats:
    """Return the corners of boxes.

    Args:
        location: N×3, centre of the bottom face, camera metres.
        dimensions: N×3, height, width, length.
        rotation_y: N, radians.

    Returns:
        N×8×3 float64 camera metres: of the bottom front right, front left, rear left, rear right as the object itself
        has it, then those of the top. (`centernet.drawing` joins eight points so.)
    """
    height, width, length = np.asarray(dimensions, np.float64).reshape(-1, 3).T[..., None]
    along = length / 2 * [1, 1, -1, -1, 1, 1, -1, -1]
    across = width / 2 * [-1, 1, 1, -1, -1, 1, 1, -1]
    up = height * [0, 0, 0, 0, 1, 1, 1, 1]
    turn = np.asarray(rotation_y, np.float64).reshape(-1, 1)
    cosine, sine = np.cos(turn), np.sin(turn)
    shape = np.stack([along * cosine + across * sine, -up, across * cosine - along * sine], axis=-1)
    return np.asarray(np.asarray(location, np.float64).reshape(-1, 1, 3) + shape)


def locate(
    centers: ArrayLike, depth: ArrayLike, dimensions: ArrayLike, alpha: ArrayLike, projection: ArrayLike
) -> Boxes3D:
    """Return boxes in space by what an image shows of them.

    Args:
        centers: N×2, where their centres are seen, in pixels of the image that `projection` belongs to.
        depth: N, metres, as of `unproject`.
        dimensions: N×3, height, width, length in metres.
        alpha: N, radians.
        projection: 3×4.
    """
    pixels = np.asarray(centers, np.float64).reshape(-1, 2)
    sizes = np.asarray(dimensions, np.float64).reshape(-1, 3)
    location = unproject(pixels, depth, projection)
    location[:, 1] += sizes[:, 0] / 2
    turned = np.asarray(alpha, np.float64)
    return Boxes3D(location, sizes, rotation_of(turned, pixels[:, 0], projection), wrapped(turned))


def boxes_in_space(detections: Detections, projection: ArrayLike) -> Boxes3D:
    """Return the boxes in space of detections with the columns of a `Box3DHead`.

    The centre is where the column `projected_center` sees it, or the middle of the box in the image without it.

    Args:
        detections: in pixels of the image that the camera made.
        projection: 3×4, such as `centernet.annotations.kitti.read_calibration` reads.

    Raises:
        ValueError: a column is missing, or `projection` has another shape.
    """
    matrix = np.asarray(projection, np.float64)
    if matrix.shape != (3, 4):
        raise ValueError(f"projection: expected a camera matrix 3×4, got the shape {matrix.shape}")
    if missing := [name for name in MEASURED if name not in detections.data]:
        text = f"the detections have no column {', '.join(missing)}"
        raise ValueError(f"{text}: expected those of a model with a head for boxes in space (Box3DHead)")
    centers = detections.data.get(CENTER)
    if centers is None:
        centers = (detections.bboxes[:, :2] + detections.bboxes[:, 2:]) / 2
    depth, dimensions, alpha = (detections.data[name] for name in MEASURED)
    return locate(centers, depth, dimensions, alpha, matrix)


def in_space(detections: Detections, projection: ArrayLike) -> Detections:
    """Return detections with their boxes in space as further columns, which drawing and all writers carry.

    They are `location` N×3 and `rotation_y` N, as in `Boxes3D`, and `corners` N×8×2, where the image shows the corners
    (NaN for those that are not before the camera). Arguments and errors are those of `boxes_in_space`.
    """
    boxes = boxes_in_space(detections, projection)
    places = boxes.corners
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(places[..., 2:] < NEAR, np.nan, project(places, projection))
    data = {"location": boxes.location, "rotation_y": boxes.rotation_y, "corners": seen}
    added = {column.name: np.asarray(data[column.name], column.dtype) for column in IN_SPACE}
    return replace(detections, columns=(*detections.columns, *IN_SPACE), data=detections.data | added)


def known_in_space(boxes: Boxes3D, projections: ArrayLike) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of `FIELDS` of N boxes, which are seen by N cameras 3×4, in the file's own pixels.

    A box is not known that has a size which is not above 0, lies behind the camera, or has a number that is none.
    """
    matrices = np.asarray(projections, np.float64).reshape(-1, 3, 4)
    arrays = {"location": boxes.location, "dimensions": boxes.dimensions, "rotation_y": boxes.rotation_y}
    arrays |= {"alpha": boxes.alpha, "projection": matrices}
    center = boxes.location - boxes.dimensions[:, :1] / 2 * [0, 1, 0]
    ends = np.stack([center, center + np.array([1, 0, 0])], axis=1)  # N×2×3
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.einsum("nij,nkj->nki", matrices[:, :, :3], ends) + matrices[:, None, :, 3]
        arrays["ruler"] = seen[..., :2] / seen[..., 2:]
    finite = [np.isfinite(array.reshape(len(boxes), -1)).all(axis=1) for array in arrays.values()]
    known = np.logical_and.reduce([*finite, (boxes.dimensions > 0).all(axis=1), seen[:, 0, 2] > NEAR])
    result = {field.name: arrays[field.name].astype(np.float32) for field in FIELDS}
    for array in result.values():
        array[~known] = 0
    return result
