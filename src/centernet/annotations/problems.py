"""Defects of annotation files: each is a `Problem` that names its file, and with `strict` an error."""

from __future__ import annotations

import difflib
import os
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..files import read_file


class DataWarning(UserWarning):
    """Something in a data set was left out or put right; the message names it."""


class DataError(ValueError):
    """A data set that cannot be used; the message names the file, what is wrong and what to do."""


@contextmanager
def opening(path: Path, option: str = "") -> Iterator[None]:
    """Make a file that cannot be opened a DataError, with the option that names it; note one that was read."""
    try:
        yield
    except OSError as error:
        hint = f"; check `{option}`" if option else ""
        raise DataError(f"{path}: cannot be opened ({error.strerror}){hint}") from error
    note_read(path)


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file of annotations, and note that it was read."""
    data = read_file(path)
    note_read(path)
    return data


class FilesRead:
    """The files that were read, whatever the paths and links by which they were reached: 8 bytes for each."""

    def __init__(self) -> None:
        self._keys = array("q")
        self._sorted = np.zeros(0, np.int64)

    def add(self, path: str | os.PathLike[str]) -> None:
        """Add a file; one that cannot be found is passed over."""
        key = _identity(path)
        if key is not None:
            self._keys.append(key)

    def update(self, other: FilesRead) -> None:
        """Add the files of another."""
        self._keys.extend(other._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, path: str | os.PathLike[str]) -> bool:
        if len(self._sorted) != len(self._keys):
            self._sorted = np.sort(np.array(self._keys, dtype=np.int64))
        key = _identity(path)
        if key is None or not len(self):
            return False
        return bool(self._sorted[min(int(np.searchsorted(self._sorted, key)), len(self) - 1)] == key)


def _identity(path: str | os.PathLike[str]) -> int | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return hash((status.st_dev, status.st_ino))


_files_read: ContextVar[FilesRead | None] = ContextVar("files_read", default=None)


@contextmanager
def noting_files(files: FilesRead) -> Iterator[None]:
    """Add to `files` each file that is read within: those of `read_bytes`, `opening`, `text_lines`, `read_lists`."""
    token = _files_read.set(files)
    try:
        yield
    finally:
        _files_read.reset(token)


def note_read(path: str | os.PathLike[str]) -> None:
    """Note a file as read, where somebody wants to know."""
    files = _files_read.get()
    if files is not None:
        files.add(path)


NOTE_KINDS = ("left-out-class", "assumed", "not-used")
"""Kinds of problems that are no defects."""


@dataclass(frozen=True)
class Problem:
    """One defect of a data set, and what was done about it.

    Attributes:
        kind: a short word for counting: ``missing-image``, ``missing-annotation``, ``unreadable-image``,
            ``unreadable-annotation``, ``size``, ``inverted-box``, ``empty-box``, ``outside-box``, ``bad-box``,
            ``bad-row``, ``unknown-class``, ``left-out-class``, ``left-out-shape``, ``unknown-image``, ``unknown-key``,
            ``image-id``, ``image-name``, ``not-annotated``, ``one-of-several``, ``not-used``, ``empty-annotation``,
            ``unknown-value``, ``all-ignored``, ``normalised-boxes``, ``pixel-numbering``, ``box-of-outline``,
            ``id-as-text``, ``duplicate`` or ``assumed`` (no defect: how something was read that the files do not say).
        message: what is wrong, where in the file, and what became of it.
    """

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Problems(list[Problem]):
    """A list of problems that holds each of them once. Data sets made of one another share it."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        super().__init__(dict.fromkeys(problems))
        self._known = set(self)

    def add(self, problem: Problem) -> bool:
        """Append a problem unless it is in the list. Returns True if it is new."""
        if problem in self._known:
            return False
        self._known.add(problem)
        self.append(problem)
        return True


class Reports:
    """Collects the problems that a reader finds; with `strict` the first is an error."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.found: list[Problem] = []

    def __call__(self, path: str | Path, kind: str, message: str) -> None:
        problem = Problem(str(path), kind, message)
        if self.strict:
            raise DataError(f"{problem} (an error because of strict=True)")
        self.found.append(problem)

    def note(self, path: str | Path, kind: str, message: str) -> None:
        """Say what the files hold and nobody uses, or how something was read that they do not say: no defect, `strict`
        or not."""
        self.found.append(Problem(str(path), kind, message))

    def left_out(self, path: str | Path, counts: Mapping[str, int]) -> None:
        """Say which classes somebody chose to leave out, and how many boxes that were: no defect, `strict` or not."""
        if counts:
            most = sorted(counts.items(), key=lambda item: -item[1])[:10]
            names = ", ".join(f"{name!r} {count}" for name, count in most)
            more = f" and {len(counts) - len(most)} classes with fewer" if len(counts) > len(most) else ""
            text = f"{sum(counts.values())} boxes of classes that are not in class_names are left out: {names}{more}"
            self.note(path, "left-out-class", text)

    def left_out_shapes(self, path: str | Path, counts: Mapping[str, int]) -> None:
        """Report how many shapes of which kinds have no box, if any."""
        if counts:
            kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items())
            self(path, "left-out-shape", f"{sum(counts.values())} shapes that have no box are left out: {kinds}")


class UnknownKeys:
    """Finds misspelt keys: those that no format has, in entries that lack the known key which they resemble.

    Whoever adds keys of their own is left alone: only a near miss of a key that an entry lacks is a problem, since what
    it says (that a box is to be ignored, say) would be lost.
    """

    def __init__(self, known: Collection[str]) -> None:
        self._known = frozenset(known)
        self._found: dict[str, tuple[int, str, str]] = {}

    def look(self, keys: Iterable[str], where: str) -> None:
        """Count the misspelt keys of an entry; `where` names it should it be the first."""
        for key, meant in _misspelt(frozenset(keys), self._known).items():
            count, first, _ = self._found.get(key, (0, where, meant))
            self._found[key] = count + 1, first, meant

    def report(self, path: Path, report: Reports) -> None:
        """Report each misspelt key once."""
        for key, (count, first, meant) in self._found.items():
            text = f"{first}: unknown key {key!r} (did you mean {meant!r}?), in {count} entries; not used"
            report(path, "unknown-key", text)


@lru_cache(maxsize=1024)
def _misspelt(keys: frozenset[str], known: frozenset[str]) -> dict[str, str]:
    """Return what each misspelt key of an entry may mean."""
    plain = {_plain(key): key for key in sorted(known)}
    nearest = {key: _nearest(_plain(key), plain, 0.75) for key in sorted(keys - known)}
    return {key: meant for key, meant in nearest.items() if meant and meant not in keys}


def _plain(key: str) -> str:
    return key.replace("_", "").lower()


def _nearest(name: str, known: Mapping[str, str], cutoff: float = 0.6) -> str | None:
    """The value whose key is most like a name."""
    return next((known[key] for key in difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def check_option(name: str, right: bool, expected: str, value: object) -> None:
    """Raise a DataError that names an option, unless its value is right."""
    if not right:
        raise DataError(f"{name}: expected {expected}, got {value}")


def check_class_names(class_names: Iterable[str]) -> tuple[str, ...]:
    """Return the names as a tuple; raise a DataError for a string, an empty name, or one that is there twice."""
    if isinstance(class_names, str):
        raise DataError(f"class_names: expected a list of names, got the string {class_names!r}")
    names: tuple[str, ...] = tuple(class_names)
    wrong: list[object] = [name for name in names if not str(name).strip()]
    if wrong:
        raise DataError(f"class_names: expected names, got {wrong[0]!r} among {list(names)}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"class_names: {', '.join(twice)} more than once in {', '.join(names)}")
    return names


def choose_class_names(given: Iterable[str] | None, known: Iterable[str], source: str, what: str) -> tuple[str, ...]:
    """Return the names that were given, or all; raise a DataError for none, or one that is not among the known."""
    known = tuple(known)
    names = known if given is None else check_class_names(given)
    among = frozenset(known)
    unknown = [name for name in names if name not in among]
    if unknown or not names:
        text = with_nearest(unknown, known) or "nothing"
        raise DataError(f"{source}class_names has {text}, but the {what} are {', '.join(known)}")
    return names


def choose_sequences(found: Sequence[str], wanted: Sequence[str] | None, root: Path) -> list[str]:
    """Return the sequences that names or patterns such as ``MOT17-*-FRCNN`` ask for, in the order of `found`."""
    if wanted is None:
        return list(found)
    if isinstance(wanted, str):
        raise DataError(f"sequences: expected a list of names or patterns, got the string {wanted!r}")
    fitting = {pattern: [name for name in found if fnmatchcase(name, pattern)] for pattern in wanted}
    missing = [pattern for pattern, names in fitting.items() if not names]
    if missing or not wanted:
        text = with_nearest(missing, found) or "nothing"
        raise DataError(f"{root}: sequences has {text}, but the sequences there are {', '.join(found)}")
    chosen = frozenset(name for names in fitting.values() for name in names)
    return [name for name in found if name in chosen]


def with_nearest(names: Iterable[str], known: Sequence[str]) -> str:
    """Return the names as text, the first ten with the known name that each may have been meant to be."""
    lower, each = {name.lower(): name for name in known}, list(dict.fromkeys(names))
    meant = {name: _nearest(name.lower(), lower) for name in each[:10]}  # to find one takes a look at all
    return ", ".join(f"{n!r} (did you mean {meant[n]!r}?)" if meant.get(n) else repr(n) for n in each)


def describe_problems(problems: Sequence[Problem], examples: int) -> list[str]:
    """Return lines that name the first problems and count them all by kind; none if there are none."""
    if not problems:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(problem.kind for problem in problems).items())
    noun = "note" if all(problem.kind in NOTE_KINDS for problem in problems) else "problem"
    lines = [f"{len(problems)} {noun}{'s' if len(problems) > 1 else ''} ({kinds})"]
    lines += [f"  {problem}" for problem in problems[:examples]]
    if len(problems) > examples:
        lines.append(f"  ... and {len(problems) - examples} more: see the data set's `problems`")
    return lines
