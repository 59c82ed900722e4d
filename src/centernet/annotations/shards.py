"""Shards as WebDataset has them: tars with an image and a JSON file for each sample, and an index of the tars.

The JSON is that of Segment Anything's SA-1B: ``{"image": {image_id, width, height, file_name}, "annotations": [...]}``
with COCO's annotations. The index is that of WebDataset's wids, with COCO's list of categories
in it, where ``instance_count`` and ``image_count`` are LVIS's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..documents import DocumentError, read_json_text
from .coco import collect_coco, whole_number
from .problems import DataError, Reports

INDEX = "index.json"
"""Name of the index, in the folder of the tars."""

KIND = "wids-shard-index-v1"
LARGEST_JSON = 64 << 20
"""Bytes that the JSON of a sample may have."""

Category = Mapping[str, Any]


@dataclass(frozen=True)
class Shard:
    """A tar: its name, how many samples it has, and how many bytes, where that is known."""

    name: str
    samples: int
    size: int | None = None


@dataclass(frozen=True)
class ShardIndex:
    """The tars of a data set, in their order, and what is known of all that is in them.

    Attributes:
        shards: at least one.
        categories: COCO's entries by name, in the order of their ids; perhaps with ``instance_count`` (objects),
            ``ignore_count`` (boxes to ignore) and ``image_count`` (images with either).
        most_objects: objects of the densest image; None where that is not known.
    """

    shards: tuple[Shard, ...]
    categories: Mapping[str, Category]
    most_objects: int | None = None

    def to_json(self) -> str:
        """Return the text of the index."""
        shards = [{"url": shard.name, "nsamples": shard.samples, "filesize": shard.size} for shard in self.shards]
        content = {"__kind__": KIND, "wids_version": 1, "shardlist": shards}
        return json.dumps({**content, "categories": [*self.categories.values()], "max_instances": self.most_objects})


def parse_index(data: bytes, path: str) -> ShardIndex:
    """Read an index; `path` begins the message of a DataError over what is wrong with it."""
    try:
        content = read_json_text(data)
    except DocumentError as error:
        raise DataError(f"{path}: not valid JSON ({error}); copy it again, or write it anew") from error
    if not isinstance(content, dict) or content.get("__kind__") != KIND:
        raise DataError(f'{path}: expected an index of shards, an object with "__kind__": "{KIND}"; {_HOW}')
    shards = content.get("shardlist")
    if not isinstance(shards, list) or not shards:
        raise DataError(f"{path}: shardlist is {shards!r:.100}, expected a list of tars; {_HOW}")
    found = tuple(_shard(entry, f"{path}: shardlist[{place}]") for place, entry in enumerate(shards))
    if len({shard.name for shard in found}) < len(found):
        raise DataError(f"{path}: shardlist has a tar twice; name each once")
    listed = content.get("categories")
    if not isinstance(listed, list):
        text = 'expected COCO\'s list, as [{"id": 1, "name": "cat"}]'
        raise DataError(f"{path}: categories is {listed!r:.100}, {text}; add it with the classes of the annotations")
    lists = {"images": [], "annotations": [], "categories": listed}
    ids = collect_coco(_entries(lists), Path(path), Reports(strict=True)).categories
    by_id = {whole_number(entry["id"]): entry for entry in listed}
    most = content.get("max_instances")
    return ShardIndex(found, {name: by_id[number] for name, number in ids.items()}, most if _is_count(most) else None)


_HOW = "`centernet convert-data --to shards` writes one"


def _shard(entry: Any, where: str) -> Shard:
    if not isinstance(entry, dict) or not isinstance(name := entry.get("url"), str):
        raise DataError(f"{where} is {entry!r:.100}, expected an object with url and nsamples")
    if leads_out(name) or "/" in name or not name.lower().endswith(".tar"):
        raise DataError(f"{where}: url is {name!r:.100}, expected the name of a tar (.tar) beside the index")
    if not _is_count(samples := entry.get("nsamples")) or not samples:
        raise DataError(f"{where}: nsamples is {samples!r:.100}, expected the number of samples in {name}")
    size = entry.get("filesize")
    return Shard(name, samples, size if _is_count(size) else None)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def leads_out(name: str) -> bool:
    """Return True for the name of a file that would lie outside the folder that it is in."""
    return "\\" in name or ":" in name or PurePosixPath(name).is_absolute() or ".." in name.split("/")


def key_of(name: str) -> tuple[str, str]:
    """Return the key of a file in a tar and its suffix in lower case, by WebDataset's rule: ``a/b.left.jpg`` is the
    file ``left.jpg`` of the sample ``a/b``."""
    folder, slash, last = name.removeprefix("./").rpartition("/")
    key, _, suffix = last.partition(".")
    return f"{folder}{slash}{key}", suffix.lower()


def parse_sample(data: bytes, where: str) -> tuple[dict[str, Any], list[Any]]:
    """Read the JSON of a sample: what it says of the image, with `width` and `height`, and its annotations.

    Raises:
        DataError: it is of another kind; `where` begins the message.
    """
    expected = 'expected {"image": {"width": …, "height": …}, "annotations": [COCO\'s]}'
    try:
        content = read_json_text(data)
    except DocumentError as error:
        raise DataError(f"{where}: not valid JSON ({error}); {expected}. {_ANEW}") from error
    image, annotations = (content.get(key) if isinstance(content, dict) else None for key in ("image", "annotations"))
    if not isinstance(image, dict) or not isinstance(annotations, list):
        keys = f"an object with {', '.join(content) or 'nothing'}" if isinstance(content, dict) else repr(content)[:60]
        raise DataError(f"{where}: {expected}, got {keys}. {_ANEW}")
    size = [image.get(key) for key in ("height", "width")]
    if not all(type(side) is int and 0 < side < 2**31 for side in size):
        raise DataError(f"{where}: image has the height {size[0]!r:.40} and the width {size[1]!r:.40}, {expected}")
    return image, annotations


_ANEW = "Write the shard anew"


def sample_entries(
    image: Mapping[str, Any], annotations: Sequence[Any], name: str, categories: Mapping[str, Category]
) -> Iterator[tuple[str, int | None, Any]]:
    """Iterate over COCO's lists of one sample, for `collect_coco`: the image has the id 0, and of the categories are
    there those that it has (there may be thousands)."""
    used = {whole_number(entry.get("category_id")) for entry in annotations if isinstance(entry, dict)}
    own = [entry for entry in categories.values() if whole_number(entry["id"]) in used]
    one = {"id": 0, "file_name": name, "height": image["height"], "width": image["width"]}
    boxes = [{**entry, "image_id": 0} if isinstance(entry, dict) else entry for entry in annotations]
    lists = {"images": [one], "annotations": boxes, "categories": own or [next(iter(categories.values()))]}
    return _entries(lists)


def _entries(lists: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, int | None, Any]]:
    for key, entries in lists.items():
        yield key, None, []
        yield from ((key, place, entry) for place, entry in enumerate(entries))


def shard_name(split: str, number: int) -> str:
    """Return the name of a tar."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', split)}-{number:06d}.tar"
