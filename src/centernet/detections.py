"""The objects found in one image: the result type of every path through the package."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centernet.column import Column as Column, Dtype
from centernet.extras import require
from centernet.whole import write_bytes, write_text

NUM_DETECTIONS = 100
"""Detections an image where neither a model nor its user says how many."""

SCORE_THRESHOLD = 0.3
"""From which score on an object is shown where neither a model nor its user says it."""

OTHER = "other"
"""Stands for all classes that a mapping of class names to thresholds does not name."""


class Detection(NamedTuple):
    """One object of `Detections`; `name` is that of its class, or the label as text, `data` has the further columns."""

    bbox: NDArray[np.float32]
    label: int
    score: float
    name: str
    track_id: int | None
    data: dict[str, NDArray[Any]]


@dataclass(frozen=True, init=False, eq=False)
class Detections:
    """N objects found in one image.

    Anything that NumPy can turn into an array may be given; it is checked and converted here, once. Slicing, merging
    and comparing treat all columns alike; iterating gives one `Detection` an object. Embeddings N×D may be given in
    short: they are a column of the kind `vector` with this name. What `data` holds without a column is a `value`.

    Attributes:
        bboxes: N×4 float32 ``x1 y1 x2 y2`` in original pixels, ``x1 <= x2`` and ``y1 <= y2``.
        labels: N int64, places in `class_names`.
        scores: N float32.
        track_ids: N int64, or None.
        class_names: names by label; empty where none are known.
        columns: what the objects have beside these.
        data: name of each of `columns` → N×… array of its shape and type.

    Raises:
        ValueError: lengths that differ, a box that is inverted or not finite, a label without a name: with the row.
    """

    bboxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    columns: tuple[Column, ...]
    data: dict[str, NDArray[Any]]

    def __init__(
        self,
        bboxes: ArrayLike,
        labels: ArrayLike,
        scores: ArrayLike,
        embeddings: ArrayLike | None = None,
        track_ids: ArrayLike | None = None,
        class_names: Sequence[str] = (),
        columns: Sequence[Column] = (),
        data: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        def put(key: str, value: Any) -> None:
            object.__setattr__(self, key, value)

        put("class_names", tuple(class_names))
        put("bboxes", _array("bboxes", bboxes, "float32", (4,)))
        count = len(self.bboxes)
        put("labels", _array("labels", labels, "int64", (), count))
        put("scores", _array("scores", scores, "float32", (), count))
        put("track_ids", None if track_ids is None else _array("track_ids", track_ids, "int64", (), count))
        given: dict[str, Any] = dict(data or {})
        described = {column.name: column for column in columns}
        if embeddings is not None:
            given["embeddings"] = np.asarray(embeddings)
            if given["embeddings"].ndim != 2:
                raise ValueError(f"embeddings: expected the shape N×D, got {given['embeddings'].shape}")
            described["embeddings"] = Column("embeddings", "vector", given["embeddings"].shape[1:])
        dtypes: dict[str, Dtype] = {"b": "bool", "i": "int64", "u": "int64"}
        for name in given.keys() - described.keys():
            array = np.asarray(given[name])
            described[name] = Column(name, "value", array.shape[1:], dtypes.get(array.dtype.kind, "float32"))
        if missing := described.keys() - given.keys():
            raise ValueError(f"data: expected an array for each column, got none for {', '.join(sorted(missing))}")
        put("columns", tuple(described.values()))
        put("data", {c.name: _array(c.name, given[c.name], c.dtype, c.shape, count) for c in self.columns})

        names = len(self.class_names)
        unnamed = (self.labels < 0) | (self.labels >= names) if names else self.labels < 0
        for key, wrong, expected in (
            ("bboxes", ~np.isfinite(self.bboxes), "four finite numbers"),
            ("bboxes", self.bboxes[:, :2] > self.bboxes[:, 2:], "x1 y1 x2 y2 with x1 <= x2 and y1 <= y2"),
            ("scores", ~np.isfinite(self.scores), "a finite number"),
            ("labels", unnamed, f"0..{names - 1}, a place in class_names" if names else "0 or more"),
        ):
            if wrong.any():  # by entry, as the reduction to rows costs more than all else
                rows = np.unique(np.nonzero(wrong)[0])
                got = f"row {rows[0]} is {getattr(self, key)[rows[0]].tolist()} ({len(rows)} such rows)"
                raise ValueError(f"{key}: expected {expected}, {got}")

    @classmethod
    def empty(cls, class_names: Sequence[str] = ()) -> Detections:
        """Return no objects."""
        return cls([], [], [], class_names=class_names)

    @classmethod
    def merge(cls, parts: Sequence[Detections]) -> Detections:
        """Return the objects of several Detections of one image, which have the same class names and columns."""
        filled = [part for part in parts if len(part)] or list(parts[:1])
        if not filled:
            return cls.empty()
        first = filled[0]
        for other in filled[1:]:
            if other._form() != first._form():
                raise ValueError(f"merge: expected parts of one form, got {first._form()} and {other._form()}")
        return first._with({key: np.concatenate([part._arrays()[key] for part in filled]) for key in first._arrays()})

    @classmethod
    def from_coco(
        cls,
        rows: Sequence[Mapping[str, Any]],
        class_names: Sequence[str] = (),
        category_ids: Sequence[int] | Mapping[int, int] | None = None,
        columns: Sequence[Column] = (),
    ) -> Detections:
        """Return the objects in rows of a COCO result file, all of one image; rows of annotations get the score 1.

        Args:
            rows: with category_id, bbox (x y w h), and score and track_id where they have them.
            class_names: by label.
            category_ids: the category of each label, as for `to_coco`; without it category_id - 1.
            columns: further fields to take, as `to_coco` writes them; others stay behind.

        Raises:
            ValueError: rows of several images, or a category that no label has.
        """
        if len(images := dict.fromkeys(str(row.get("image_id")) for row in rows)) > 1:
            raise ValueError(f"rows: expected those of one image, got image_id {', '.join(list(images)[:5])}")
        numbers = dict(category_ids if isinstance(category_ids, Mapping) else enumerate(category_ids or ()))
        label_of = {category: label for label, category in numbers.items()}
        for place, row in enumerate(rows):
            if category_ids is not None and row["category_id"] not in label_of:
                known = ", ".join(map(str, label_of))
                raise ValueError(f"rows: row {place} has category_id {row['category_id']}, expected one of {known}")
        boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        categories = (row["category_id"] for row in rows)
        labels = [category - 1 if category_ids is None else label_of[category] for category in categories]
        ids = [row["track_id"] for row in rows if "track_id" in row]
        data = {c.name: np.array([row[c.name] for row in rows], c.dtype).reshape(-1, *c.shape) for c in columns}
        scores = [row.get("score", 1.0) for row in rows]
        ids_or_none = ids if ids and len(ids) == len(rows) else None
        return cls(boxes, labels, scores, None, ids_or_none, class_names, columns, data)

    @classmethod
    def from_supervision(cls, found: Any, class_names: Sequence[str] = ()) -> Detections:
        """Return what a `supervision.Detections` holds: boxes, classes, confidences (else 1), identities.

        Arrays of numbers in its `data` become columns; masks and texts stay behind.

        Args:
            found: the objects.
            class_names: by label; default: those that `data["class_name"]` tells, and the label as text for others.
        """
        count = len(found.xyxy)
        labels = np.zeros(count, np.int64) if found.class_id is None else np.asarray(found.class_id)
        scores = np.ones(count, np.float32) if found.confidence is None else found.confidence
        data = {name: np.asarray(values) for name, values in found.data.items()}
        told = dict(zip(labels.tolist(), map(str, data.pop("class_name", ())), strict=False))
        if told and not class_names:
            class_names = [told.get(label, str(label)) for label in range(max(told) + 1)]
        data = {name: values for name, values in data.items() if values.dtype.kind in "biuf"}
        embeddings = data.pop("embeddings") if data.get("embeddings", np.empty(0)).ndim == 2 else None
        return cls(found.xyxy, labels, scores, embeddings, found.tracker_id, class_names, data=data)

    @property
    def embeddings(self) -> NDArray[np.float32] | None:
        """The column of this name, N×D float32; None where there is none."""
        return self.data.get("embeddings")

    @property
    def keypoints(self) -> NDArray[np.float32] | None:
        """The column of this name, N×K×3 float32: x and y in original pixels, and the score of each keypoint; None
        where there is none. `columns` has their skeleton."""
        return self.data.get("keypoints")

    @property
    def names(self) -> list[str]:
        """The class name of each object; the label as text where there are no names."""
        return [self.class_names[label] if self.class_names else str(label) for label in self.labels.tolist()]

    def __len__(self) -> int:
        return len(self.bboxes)

    def __getitem__(self, index: int | slice | ArrayLike) -> Detections:
        """Return the objects at a place, in a slice, where a mask is true, or at some indices, always as Detections."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            index = index.astype(np.int64) if index.dtype.kind == "f" and not index.size else index  # an empty list
        rows = np.atleast_1d(np.arange(len(self))[index])
        return self._with({key: values[rows] for key, values in self._arrays().items()})

    def __iter__(self) -> Iterator[Detection]:
        """Iterate over the objects, one record each."""
        ids = [None] * len(self) if self.track_ids is None else self.track_ids.tolist()
        rows = zip(self.bboxes, self.labels.tolist(), self.scores.tolist(), self.names, ids, strict=True)
        for i, row in enumerate(rows):
            yield Detection(*row, {name: values[i] for name, values in self.data.items()})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        mine, theirs = self._arrays(), other._arrays()
        return self._form() == other._form() and all(
            np.array_equal(values, theirs[key], equal_nan=values.dtype.kind == "f") for key, values in mine.items()
        )

    def filter(
        self, *, score_threshold: float | Mapping[str, float] = 0.0, labels: Sequence[int] | None = None
    ) -> Detections:
        """Return the objects with at least this score, and of these labels where some are given.

        A threshold by class is a mapping of class names, with ``other`` for all that it does not name (else 0).
        """
        if isinstance(score_threshold, Mapping):
            rest = score_threshold.get(OTHER, 0.0)
            by_label = np.array([score_threshold.get(name, rest) for name in self.class_names] or [rest], np.float32)
            keep = self.scores >= by_label[self.labels if self.class_names else 0]
        else:
            keep = self.scores >= score_threshold
        return self[keep if labels is None else keep & np.isin(self.labels, np.asarray(labels, dtype=np.int64))]

    def to_coco(
        self, image_id: int, category_ids: Sequence[int] | Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """Return rows of a COCO result file: image_id, category_id, bbox (x y w h), score, and track_id where there is
        one; then the further columns but vectors: a number, or a flat list as COCO's keypoints are.

        Args:
            image_id: of the image.
            category_ids: the category of each label. Without it label + 1: COCO's categories begin at 1, and its tools
                read 0 as background.
        """
        boxes, labels = self.bboxes.astype(np.float64), self.labels.tolist()
        boxes[:, 2:] -= boxes[:, :2]
        columns: dict[str, list[Any]] = {
            "image_id": [image_id] * len(self),
            "category_id": [label + 1 if category_ids is None else int(category_ids[label]) for label in labels],
            "bbox": [[round(v, 3) for v in box] for box in boxes.tolist()],
            "score": [round(score, 6) for score in self.scores.tolist()],
            **({} if self.track_ids is None else {"track_id": self.track_ids.tolist()}),
            **{c.name: _plain(self.data[c.name]) for c in self.columns if c.kind != "vector"},
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_supervision(self) -> Any:
        """Return them as `supervision.Detections`: class names in ``data["class_name"]``, columns by their names."""
        supervision = require("supervision", "to_supervision()")
        return supervision.Detections(
            xyxy=self.bboxes,
            class_id=self.labels,
            confidence=self.scores,
            tracker_id=self.track_ids,
            data={"class_name": np.array(self.names, dtype=str), **self.data},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as lists and numbers that JSON takes, one list a column: `bboxes` (x1 y1 x2 y2), `labels`,
        `names`, `scores`, `track_ids` where there are some, further columns (None for what is no finite number), and
        `class_names`.
        """
        lists = {key: _nested(values) for key, values in self._arrays().items()}
        return {**lists, "names": self.names, "class_names": list(self.class_names)}

    def to_json(self, **options: Any) -> str:
        """Return `to_dict` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **{"ensure_ascii": False, **options})

    def plot(self, image: Any, **options: Any) -> NDArray[np.uint8]:
        """Return a copy of the image with the objects drawn on it, uint8 H×W×3 RGB.

        Args:
            image: that they were found in: uint8 H×W×3 RGB, or a Pillow image.
            options: those of `centernet.drawing.draw`: labels, line_width, font.
        """
        from centernet.drawing import draw

        return draw(_pixels(image), self, **options)

    def save(self, path: str | os.PathLike[str], image: Any = None, **options: Any) -> Path:
        """Write a file, of the kind that its suffix says: ``.json`` has `to_json`, those of images have `plot`.

        Args:
            path: of the file; its folder is made if missing.
            image: as for `plot`; needed for an image.
            options: those of `plot`.

        Returns:
            The path.

        Raises:
            ValueError: a suffix that Pillow does not know, or an image file without `image`.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            return write_text(path, self.to_json() + "\n", errors="backslashreplace")
        if image is None:
            raise ValueError(
                f"{path}: for a drawing give the image, too: save(path, image); or a path that ends in .json"
            )
        from PIL import Image

        kind = Image.registered_extensions().get(path.suffix.lower())
        if kind not in Image.SAVE:
            raise ValueError(f"{path}: Pillow writes no images of the suffix {path.suffix!r}; take .jpg or .png")
        drawn, buffer = Image.fromarray(self.plot(image, **options)), io.BytesIO()
        drawn.save(buffer, kind, quality=92)
        return write_bytes(path, buffer.getbuffer())

    def crop(self, image: Any) -> list[NDArray[Any]]:
        """Return the part of the image that each object takes, copied: whole pixels, in the order of the objects.

        Args:
            image: that they were found in: an array H×W or H×W×C, or a Pillow image.

        Returns:
            Arrays h×w or h×w×C, at least 1×1; without pixels for objects outside of the image.
        """
        pixels = np.asarray(image)
        first = np.floor(self.bboxes[:, :2]).astype(np.int64)
        beyond = np.maximum(np.ceil(self.bboxes[:, 2:]).astype(np.int64), first + 1)
        corners = np.concatenate([first, beyond], axis=1).clip(0).tolist()
        return [pixels[y1:y2, x1:x2].copy() for x1, y1, x2, y2 in corners]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything that has a row for each object."""
        own: dict[str, NDArray[Any]] = {"bboxes": self.bboxes, "labels": self.labels, "scores": self.scores}
        return own | ({} if self.track_ids is None else {"track_ids": self.track_ids}) | self.data

    def _with(self, arrays: Mapping[str, NDArray[Any]]) -> Detections:
        """Return Detections of the same form that hold other arrays."""
        own: dict[str, Any] = {key: values for key, values in arrays.items() if key not in self.data}
        return replace(self, **own, data={name: arrays[name] for name in self.data})

    def _form(self) -> tuple[Any, ...]:
        """Return what two Detections have in common that can be merged."""
        return self.class_names, frozenset(self.columns), self.track_ids is None


def _array(key: str, values: Any, dtype: Dtype, shape: tuple[int, ...], count: int | None = None) -> NDArray[Any]:
    """Return `values` as an array of `count` rows of this shape."""
    array = np.asarray(values)
    if dtype == "int64" and array.dtype.kind == "f" and array.size and not np.array_equal(array, np.floor(array)):
        raise ValueError(f"{key}: expected whole numbers, got {array.dtype} values such as {array.flat[0]}")
    if array.size == 0 and not count and array.ndim < 2:
        array = array.reshape(0, *shape)  # an empty list has no width
    if array.ndim == 0 or array.shape[1:] != shape:
        raise ValueError(f"{key}: expected the shape {'×'.join(['N', *map(str, shape)])}, got {array.shape}")
    if count is not None and len(array) != count:
        raise ValueError(f"{key}: expected {count} rows, as many as bboxes, got {len(array)}")
    return np.ascontiguousarray(array, dtype=dtype)


def _pixels(image: Any) -> NDArray[np.uint8]:
    """Return the pixels of an array or a Pillow image; drawing says what else is wrong with them."""
    if isinstance(image, (str, os.PathLike)):
        raise ValueError(f"expected an image, got the path {image}; centernet.images.read_image(path) reads it")
    return np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)


def _nested(values: NDArray[Any]) -> list[Any]:
    """Return an array as lists, with None for what is no finite number."""
    plain = values.astype(object)
    if values.dtype.kind == "f":
        plain[~np.isfinite(values)] = None
    return list(plain.tolist())


def _plain(values: NDArray[Any]) -> list[Any]:
    """Return a column for JSON: a number an object, or a flat list; None for what JSON has no number for."""
    if values.ndim > 1:
        return [_plain(row) for row in values.reshape(len(values), -1)]
    if values.dtype.kind != "f":
        return list(values.tolist())
    return [round(value, 4) if math.isfinite(value) else None for value in values.tolist()]
