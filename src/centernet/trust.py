"""The one door for classes that a model file names: what is on the list is built, anything else is refused.

To import a module runs what is in it. So a checkpoint, a model folder, a repository of the Hub or the run that a
checkpoint records may name the parts of this package, optimisers of torch and transforms of torchvision and
albumentations; for others its user says that the file is trusted. Classes that the configuration or the program of the
same call names are the user's own.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from centernet.configuration import MOVED
from centernet.text import shown

logger = logging.getLogger(__name__)

Trust: TypeAlias = "bool | Collection[str]"
"""True: import whatever the file names. Else the class paths that it may name beside those on the list."""

PARTS = (
    "centernet.network.backbones",
    "centernet.network.necks",
    "centernet.network.heads",
    "centernet.network.weighting",
    "centernet.images",
    "centernet.calibration",
    "centernet.data",
)
"""Modules and folders of this package whose classes may be named."""

OTHERS = ("torch.optim", "torchvision.transforms.v2", "albumentations")
"""Modules of other packages whose own classes may be named."""

OWN = (
    ("centernet.network.backbones.backbone", "Backbone"),
    ("centernet.network.necks.neck", "Neck"),
    ("centernet.network.heads.head", "Head"),
)
"""Bases of parts. A class of them that the running program has imported already is the user's own."""


class UntrustedClassError(ValueError):
    """A model file names a class that is on no list. The message names the class and the way to allow it."""


class Door:
    """Names that a file may use.

    Args:
        source: names the file in messages.
        trust: see `Trust`.
    """

    def __init__(self, source: str, trust: Trust = False) -> None:
        self.source = source
        self.anything = trust is True
        self.named = frozenset() if isinstance(trust, bool) else frozenset(trust)
        self._told = set[str]()

    def check(self, path: str, key: str = "") -> None:
        """Raise an `UntrustedClassError` unless a class path may be imported.

        Args:
            path: of the class, or its name where its package is clear.
            key: of the configuration, for the message.
        """
        if "." not in path or is_listed(path) or path in self.named or _is_imported_part(path):
            return
        module = path.rpartition(".")[0]
        if self.anything:
            if path not in self._told:
                logger.info("%s: imports %s, as it names %s and is trusted", self.source, shown(module), shown(path))
            self._told.add(path)
            return
        where = f" ({shown(key)})" if key else ""
        raise UntrustedClassError(
            f"{self.source}: names the class {shown(path)}{where}, which is no part that a model file may name by "
            f"itself: to open it would import {shown(module)}, and so run what is in it. If you trust the file, "
            "allow it: --trust (trust=True in Python)"
        )

    def check_found(self, path: str, found: Any) -> None:
        """Raise an `UntrustedClassError` where a path on the list leads to no class of its package."""
        if self.anything or "." not in path or path in self.named or not is_listed(path):
            return
        home = str(getattr(found, "__module__", ""))
        if not isinstance(found, type) or home.partition(".")[0] != path.partition(".")[0]:
            raise UntrustedClassError(
                f"{self.source}: names {shown(path)}, which is no class of that package. If you trust the file, "
                "allow it: --trust (trust=True in Python)"
            )

    def check_all(self, value: Any, key: str = "") -> None:
        """Check every `class_path` in plain values, however deep."""
        if isinstance(value, Mapping):
            path = value.get("class_path")
            if path is not None and not isinstance(path, str):
                raise UntrustedClassError(f"{self.source}: {shown(key)}.class_path is no text")
            if path is not None:
                self.check(path, key)
            for name, item in value.items():
                self.check_all(item, f"{key}.{name}" if key else str(name))
        elif isinstance(value, (list, tuple)):
            for place, item in enumerate(value):
                self.check_all(item, f"{key}[{place}]")


_current: ContextVar[Door | None] = ContextVar("door", default=None)


def current_door() -> Door | None:
    """Return the door that classes are imported through; None where the user's own configuration names them."""
    return _current.get()


@contextmanager
def through(door: Door | None) -> Iterator[None]:
    """Have all classes that are imported by name, by jsonargparse and by `centernet.data`, go through a door."""
    if door is not None:
        _guard_jsonargparse()
    token = _current.set(door)
    try:
        yield
    finally:
        _current.reset(token)


def is_listed(path: str) -> bool:
    """Return True for the path of a class that any model file may name."""
    path = next((new + path.removeprefix(old) for old, new in MOVED.items() if path.startswith(old)), path)
    module, _, name = path.rpartition(".")
    if not name[:1].isupper() or any(part.startswith("_") for part in path.split(".")):
        return False
    return module in OTHERS or any(module == room or module.startswith(f"{room}.") for room in PARTS)


def texts_of(value: Any) -> set[str]:
    """Return all texts in plain values: what a configuration names, as `Trust`."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*map(texts_of, value.values()))
    return set().union(*map(texts_of, value)) if isinstance(value, (list, tuple)) else set()


def _is_imported_part(path: str) -> bool:
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    bases = [getattr(sys.modules.get(home), base, None) for home, base in OWN]
    return isinstance(found, type) and any(isinstance(base, type) and issubclass(found, base) for base in bases)


_guarding = threading.Lock()


def _guard_jsonargparse() -> None:
    """Let the function by which jsonargparse imports what a value names ask the current door, once a process.

    Its own lists of paths are settings of the process, and not of the file that is read.
    """
    try:
        import jsonargparse._util as util
    except ImportError:  # then nothing is built from a configuration
        return
    with _guarding:
        original = util.import_object
        if hasattr(original, "asks_the_door"):
            return

        def import_object(name: Any, *args: Any, **kwargs: Any) -> Any:
            door = current_door()
            of_a_value = kwargs.get("check_path", args[0] if args else True) and isinstance(name, str)
            if door is None or not of_a_value:
                return original(name, *args, **kwargs)
            door.check(name)
            found = original(name, *args, **kwargs)
            door.check_found(name, found)
            return found

        import_object.asks_the_door = True  # type: ignore[attr-defined]
        users = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] == "jsonargparse"]
        for module in users:
            if vars(module).get("import_object") is original:
                module.import_object = import_object  # type: ignore[attr-defined]
