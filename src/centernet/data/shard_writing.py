"""Writing a data set as shards, a sample at a time; see `centernet.annotations.shards`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations.coco import CocoEntries
from ..annotations.shards import INDEX, Shard, ShardIndex, shard_name
from ..column import Column
from ..images import IMAGE_SUFFIXES
from ..whole import write_text
from .columns import Columns

_BLOCK = 10240  # bytes, of which a tar has a whole number


def write_shards(
    folder: Path,
    split: str,
    columns: Columns,
    images: Iterable[tuple[int, str, Callable[[], bytes]]],
    class_names: Sequence[str],
    *,
    megabytes: int,
    category_ids: Sequence[int] | None = None,
    fields: Sequence[Column] = (),
) -> Path:
    """Write a split to tars and their index in a new folder, and return the index.

    Args:
        folder: made here.
        split: begins the names of the tars.
        columns: boxes of all images, of known classes.
        images: index in the columns, name of the file, and its bytes once they are asked for, one at a time; in the
            order in which they are written.
        class_names: of the labels.
        megabytes: a tar ends before a sample that would make it larger, of 10⁶ bytes each.
        category_ids: of the classes; None counts from 1.
        fields: of the data set, of which the keypoints are written.
    """
    folder.mkdir(parents=True)
    entries = CocoEntries(class_names, category_ids=category_ids, fields=fields)
    shards: list[Shard] = []
    archive: Any = None
    number, samples, boxes = 0, 0, 1
    try:
        for number, (index, name, read) in enumerate(images):
            truth, content = columns.annotation(index), read()
            key, suffix = f"{number:09d}", Path(name).suffix.lower()
            suffix = suffix if suffix in IMAGE_SUFFIXES else ".jpg"
            info = {"image_id": truth.image_id, "file_name": name, "height": truth.height, "width": truth.width}
            text = json.dumps({"image": info, "annotations": entries.annotations(truth, boxes)}).encode()
            boxes += len(truth)
            if archive is not None and archive.offset + len(content) + len(text) > 10**6 * megabytes - 2 * _BLOCK:
                shards.append(_ended(archive, samples))
                archive = None
            if archive is None:
                archive, samples = tarfile.TarFile.open(folder / shard_name(split, len(shards)), "w"), 0
            for member_name, data in ((key + suffix, content), (f"{key}.json", text)):
                member = tarfile.TarInfo(member_name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
                archive.members.clear()  # tarfile keeps them all
            samples += 1
        if archive is not None:
            shards.append(_ended(archive, samples))
    finally:
        if archive is not None:
            archive.close()
    counts = _counts(columns, len(class_names))
    categories = {entry["name"]: entry | counts[label] for label, entry in enumerate(entries.categories())}
    index_of = ShardIndex(tuple(shards), categories, int(columns.objects().max(initial=0)))
    return write_text(folder / INDEX, index_of.to_json())


def _ended(archive: Any, samples: int) -> Shard:
    archive.close()
    path = Path(archive.name)
    return Shard(path.name, samples, path.stat().st_size)


def _counts(columns: Columns, classes: int) -> list[dict[str, int]]:
    """Return objects, boxes to ignore and images with either of each class, by the names that the index has."""
    table = columns.label_table()
    counts = [
        np.bincount(table.labels, numbers, minlength=classes).astype(int).tolist()
        for numbers in (table.objects, table.ignored, np.ones(len(table.labels)))
    ]
    names = ("instance_count", "ignore_count", "image_count")
    return [dict(zip(names, row, strict=True)) for row in zip(*counts, strict=True)]
