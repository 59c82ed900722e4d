"""Class names that mean the same in different data sets: Pascal VOC's aeroplane is COCO's airplane."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SYNONYMS: Sequence[Sequence[str]] = (
    ("airplane", "aeroplane"),
    ("motorcycle", "motorbike"),
    ("couch", "sofa"),
    ("tv", "tv monitor", "television"),
    ("dining table", "diningtable"),
    ("potted plant", "pottedplant"),
    ("cell phone", "mobile phone"),
    ("donut", "doughnut"),
    ("hair drier", "hair dryer"),
)
"""Names of one class each, COCO's first. Capitals, spaces, hyphens and underscores make no difference."""


def class_key(name: str) -> str:
    """Return what names of one class have in common: equal for ``aeroplane`` and ``Airplane``."""
    plain = _plain(name)
    return _KEYS.get(plain, plain)


def joined_names(lists: Iterable[Iterable[str]]) -> list[str]:
    """Return the names of all lists, each class once, as it is written where it comes first."""
    names: dict[str, str] = {}
    for name in (name for names in lists for name in names):
        names.setdefault(class_key(name), name)
    return list(names.values())


def places_of(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the place of each name among those `known`, -1 where it is not there; the very same name comes first."""
    by_key = {class_key(name): place for place, name in reversed(list(enumerate(known)))}
    by_name = {name: place for place, name in enumerate(known)}
    return [by_name.get(name, by_key.get(class_key(name), -1)) for name in names]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


_KEYS = {_plain(name): _plain(names[0]) for names in SYNONYMS for name in names}
