"""Finding files of annotations that no reader took, so that not understood is never taken for nothing wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ..annotations.content import EMPTY, PACKED, Content, Role, judge
from ..annotations.problems import FilesRead
from ..images import IMAGE_SUFFIXES, walk_folders

MOST_FILES = 1_000_000
"""Files of a folder that are looked at."""
_JUDGED = 200  # of one folder and suffix; the others are taken to be like them
_EXAMPLES = 3


@dataclass
class Group:
    """Unread files of one kind in one folder."""

    folder: str  # relative to the folder that was searched, "" for itself
    role: Role
    what: str
    names: list[str] = field(default_factory=list)  # of the first
    count: int = 0

    def __str__(self) -> str:
        names = [f"{self.folder}/{name}".lstrip("/") for name in self.names[:_EXAMPLES]]
        more = self.count - len(names)
        text = f"{', '.join(names)}{f' and {more:,} more there' if more > 0 else ''} ({self.what})"
        return text.replace("/(", " (")


@dataclass
class Unread:
    """The files of a folder that were not read, but for images and empty files, by what they hold.

    `companions` are those that a format is known to have beside its annotations and that say nothing about boxes that
    are asked for; `others` are lists, prose and the like.
    """

    annotations: list[Group] = field(default_factory=list)  # files that state boxes or cannot be parsed, empty folders
    companions: list[Group] = field(default_factory=list)
    others: list[Group] = field(default_factory=list)
    cut_short: bool = False  # there are more than `MOST_FILES`

    @property
    def suspicious(self) -> list[Group]:
        """The annotations, and what may have been or hold some: empty files and archives."""
        return [group for group in (*self.annotations, *self.others) if _is_suspicious(group)]

    def notes(self) -> list[str]:
        """Return lines on files that need not be read."""
        lines = []
        if self.companions:
            lines.append(f"not read, as boxes do not need it: {_joined(self.companions)}")
        if self.others:
            lines.append(f"no annotations by their content: {_joined(self.others)}")
        if self.cut_short:
            lines.append(f"only the first {MOST_FILES:,} files were looked at")
        return lines


def _is_suspicious(group: Group) -> bool:
    return group.role in ("boxes", "broken") or group.what in (EMPTY, PACKED)


def find_unread(
    folder: Path, read: FilesRead, companions: Sequence[str] = (), lists: Sequence[str] = (), *, most: int = 10_000
) -> Unread:
    """Judge the files of a folder that were not read.

    Args:
        folder: it and all folders in it are searched; links are followed.
        read: the files that were read.
        companions: patterns, in lower case, of files and empty folders that a format has beside its annotations: of
            names, or with a slash of paths that begin with one: ``*/det/*.txt``.
        lists: patterns of lists that its annotations cannot do without, those of class names.
        most: groups of suspicious files after which no further folder is searched.
    """
    groups: dict[tuple[str, str, str], Group] = {}
    unread, seen = Unread(), 0
    for current, names, inner in walk_folders(folder):
        inside = current.relative_to(folder).as_posix().removeprefix(".")
        empty = not names and not inner and inside and current not in read and not any(current.iterdir())
        if empty and not _fits(current.relative_to(folder), companions):
            _add(groups, *inside.rpartition("/")[::2], Content("broken", "an empty folder"))
        alike: dict[str, Group] = {}  # by suffix, once so many were judged
        for name in names if seen < MOST_FILES else ():
            seen += 1
            path, suffix = current / name, Path(name).suffix.lower()
            if suffix in IMAGE_SUFFIXES or path in read:
                continue
            if suffix in alike:
                alike[suffix].count += 1
                continue
            content = judge(path)
            if content.role == "boxes" and _fits(path.relative_to(folder), companions):
                content = content._replace(role="settings")
            elif content.what in ("a list", EMPTY) and _fits(path.relative_to(folder), lists):
                content = Content("broken", f"{content.what}, perhaps of class names")
            group = _add(groups, inside, name, content)
            if content.role == "boxes" and group.count >= _JUDGED:
                alike[suffix] = group
        if sum(map(_is_suspicious, groups.values())) >= most:
            break
    unread.cut_short = seen >= MOST_FILES
    for group in groups.values():
        if group.role in ("boxes", "broken"):
            unread.annotations.append(group)
        else:
            (unread.others if group.role == "other" else unread.companions).append(group)
    return unread


def _fits(path: Path, patterns: Sequence[str]) -> bool:
    whole, name = f"/{path.as_posix()}".lower(), path.name.lower()
    return any(fnmatchcase(whole if "/" in pattern else name, pattern) for pattern in patterns)


def _add(groups: dict[tuple[str, str, str], Group], folder: str, name: str, content: Content) -> Group:
    group = groups.setdefault((folder, *content), Group(folder, *content))
    group.names += [name] if group.count < _EXAMPLES else []
    group.count += 1
    return group


def explain_unread(path: Path, title: str, unread: Unread, refusals: Mapping[str, str]) -> str:
    """Return the message of the error over files that look like annotations and were not read."""
    text = f"{path}: read as {title}, but what looks like annotations was left over: {_joined(unread.annotations)}."
    if refusals:
        text += " " + nearest_formats(refusals)
    return (
        f"{text} Put it right or move it away, choose what is read by --format or --splits, or say by --format that "
        f"{title} is right without it"
    )


def nearest_formats(refusals: Mapping[str, str]) -> str:
    """Say which formats came nearest, by title, and why each said no."""
    return "Formats that came near: " + "; ".join(f"{title} ({reason})" for title, reason in refusals.items()) + "."


def _joined(groups: Sequence[Group], most: int = 6) -> str:
    more = len(groups) - most
    return "; ".join(map(str, groups[:most])) + (f"; and {more} more folders or kinds" if more > 0 else "")
