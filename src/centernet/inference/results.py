"""The one way from the arrays that a network gives to `Detections` in an image's own pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.detections import Column, Detections
from centernet.images import Preprocessing


def to_detections(
    arrays: Mapping[str, NDArray[Any]],
    columns: Sequence[Column],
    preprocessing: Preprocessing,
    size_hw: tuple[int, int],
    *,
    class_names: Sequence[str] = (),
    offset: tuple[int, int] = (0, 0),
) -> Detections:
    """Return the objects of one image, or of one view of it: rows of score 0 were suppressed, or never found.

    Boxes are moved to the image's pixels and cut at the edges of the view; points and further boxes are moved.

    Args:
        arrays: of one image: `bboxes` K×4 in input pixels, `labels` K, `scores` K, and the columns K×….
        columns: describe what there is beside these; what they leave out is of the kind `vector`.
        preprocessing: that made the input.
        size_hw: (height, width) of the image or view.
        class_names: by label.
        offset: x and y of the view in the image.

    Raises:
        ValueError: arrays that are no detections.
    """
    found = arrays["scores"] > 0
    if not found.all():
        arrays = {name: values[found] for name, values in arrays.items()}
    described = {column.name: column for column in columns}
    for name in arrays.keys() - described.keys() - {"bboxes", "labels", "scores"}:
        described[name] = Column(name, "vector", arrays[name].shape[1:])

    def moved(boxes: NDArray[Any], *, clip: bool) -> NDArray[Any]:
        boxes = preprocessing.to_original(boxes, size_hw, clip=clip)
        return boxes + np.array(offset * 2, boxes.dtype) if any(offset) else boxes

    data = {name: arrays[name] for name in described}
    for name, column in described.items():
        if column.kind in ("points", "boxes"):
            width = 2 if column.kind == "points" else 4
            places = np.concatenate([data[name][..., :width]] * (4 // width), axis=-1)
            data[name] = np.concatenate([moved(places, clip=False)[..., :width], data[name][..., width:]], axis=-1)
    boxes, columns = moved(arrays["bboxes"], clip=True), tuple(described.values())
    return Detections(boxes, arrays["labels"], arrays["scores"], class_names=class_names, columns=columns, data=data)
