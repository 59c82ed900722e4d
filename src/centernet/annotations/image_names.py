"""Finding the images and classes that another file speaks of, by the names and numbers that it gives them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from ..images import IMAGE_SUFFIXES
from .json_stream import read_lists
from .problems import DataError, opening

_Table: TypeAlias = dict[str, list[tuple[list[str], int]]]


class ImageNames:
    """The images of a data set, to be found by the names that another file gives them.

    A name that ends as those of images do is compared with the names of the files, any other with their stems. Folders
    only tell images of one name apart, as far as they agree, and so do capitals.

    Args:
        names: of the images, with or without folders.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._parts = [_parts(name) for name in names]
        self._tables: dict[tuple[bool, bool], _Table] = {}

    def find(self, name: str) -> int:
        """Return the place of an image; -1 where there is none, a DataError where there are several."""
        return self._best(name)[0]

    def find_all(self, names: Iterable[str]) -> dict[str, int]:
        """Return the place of each image, -1 where there is none.

        Raises:
            DataError: a name that may mean several images, or two names that mean the same.
        """
        found = {name: self._best(name) for name in names}
        named: dict[int, str] = {}
        for name, (place, shared) in found.items():
            other = named.setdefault(place, name)
            if place < 0 or other == name:
                continue
            if shared == found[other][1]:
                path = "/".join(self._parts[place])
                raise DataError(f"{other!r} and {name!r} both fit {path}; name them with their folders")
            if shared > found[other][1]:
                named[place] = name
        return {name: place if named.get(place) == name else -1 for name, (place, _) in found.items()}

    def _best(self, name: str) -> tuple[int, int]:
        """Return the place of an image, and how many of the last parts of its path are those of the name."""
        parts = _parts(name)
        base = parts[-1]
        is_file = PurePosixPath(base).suffix.lower() in IMAGE_SUFFIXES
        same = self._table(is_file, False).get(base) or self._table(is_file, True).get(base.lower())
        if not same:
            return -1, 0
        # In the order of their folders from the last on, those that share most of them with the name lie around it.
        folders = parts[-2::-1]
        at = bisect_left(same, (folders, -1))
        best = max(_in_common(folders, other) for other, _ in same[max(0, at - 1) : at + 1])
        around = [*range(at - 1, max(-1, at - 6), -1), *range(at, min(len(same), at + 5))]
        places = sorted(same[n][1] for n in around if _in_common(folders, same[n][0]) == best)
        if len(places) > 1:
            several = ["/".join(self._parts[place]) for place in places]
            text = f"the image {name!r} may be {' or '.join(several[:5])}"
            raise DataError(f"{text}; name it with its folder and its suffix")
        return places[0], best

    def _table(self, is_file: bool, folded: bool) -> _Table:
        """Return the images of each name or stem, as it is or in lower case: their folders from the last on."""
        if (table := self._tables.get((is_file, folded))) is None:
            table = self._tables[is_file, folded] = {}
            for place, parts in enumerate(self._parts):
                key = parts[-1] if is_file else _stem(parts[-1])
                table.setdefault(key.lower() if folded else key, []).append((parts[-2::-1], place))
            for same in table.values():
                same.sort()
        return table


class Endings:
    """Texts with slashes, to be found by their ends: ``a/b/c.jpg`` by ``b/c.jpg``."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = list(texts)
        self._by_end: dict[int, dict[str, list[int]]] = {}

    def find(self, end: str) -> list[int]:
        """Return the places of the texts that end with a slash and `end`, rising."""
        slashes = end.count("/") + 1
        if slashes not in self._by_end:
            places = self._by_end[slashes] = {}
            for place, text in enumerate(self._texts):
                _, *parts = text.rsplit("/", slashes)
                if len(parts) == slashes:
                    places.setdefault("/".join(parts), []).append(place)
        return self._by_end[slashes].get(end, [])


_SET = (1, True, "1")  # a flag


@dataclass(frozen=True)
class CocoIds:
    """The ids that a file of annotations in COCO's form gives to images and categories, by their names."""

    images: Mapping[str, Any]
    categories: Mapping[str, Any]  # in the order of the ids
    others: Mapping[Any, str] = field(default_factory=dict)  # further ids of images that have one: their names
    ignored: int = 0  # annotations that have `ignore` set, but not `iscrowd`, which alone pycocotools looks at

    @classmethod
    def read(cls, path: Path) -> CocoIds:
        """Read the file; one without images and categories that have names and ids is a DataError."""
        keys = {"images": "file_name", "categories": "name"}
        ids: dict[str, dict[str, Any]] = {key: {} for key in keys}
        others, ignored = dict[Any, str](), 0
        with opening(path):
            try:
                for key, place, entry in read_lists(path):
                    if key in keys and place is not None:
                        name = str(entry[keys[key]]).strip()
                        if ids[key].setdefault(name, entry["id"]) != entry["id"] and key == "images":
                            others[entry["id"]] = name
                    elif key == "annotations" and place is not None:
                        ignored += entry.get("ignore") in _SET and entry.get("iscrowd") not in _SET
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise DataError(f"{path}: not a file of annotations in COCO's form ({error!r:.100})") from error
        if not all(ids.values()):
            raise DataError(f"{path}: expected COCO's annotations, with the lists images, annotations and categories")
        in_order = sorted(ids["categories"].items(), key=lambda item: (isinstance(item[1], str), item[1]))
        return cls(ids["images"], dict(in_order), others, ignored)


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")] or [""]


def _stem(base: str) -> str:
    """Return a name without the suffix that images have; any other belongs to it."""
    path = PurePosixPath(base)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else base


def _in_common(one: list[str], other: list[str]) -> int:
    """Return how many parts are the same from the first on."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
