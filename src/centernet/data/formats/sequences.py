"""What the readers of videos share: frames by number, and identities that no two videos share."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np

from ...images import IMAGE_SUFFIXES
from ..sample import DataError
from .reading import Folder, Reports, Rows, with_nearest


class Identities:
    """Numbers the tracks of all sequences from 0 on, without gaps.

    While the files are read each track gets a provisional number. In the end only those count that have a box to train
    on: a classifier over identities then has no class without an example.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], int] = {}

    def number(self, sequence: str, track: int) -> int:
        """The provisional number of a track; -1 where the file gives it a negative one, which means none."""
        return -1 if track < 0 else self._numbers.setdefault((sequence, track), len(self._numbers))

    def finish(self, rows: Rows) -> None:
        """Put the final numbers in the place of the provisional ones; -1 for tracks of ignored boxes alone."""
        ids = np.array(rows.ids, dtype=np.int64)
        trained = np.unique(ids[(ids >= 0) & (np.array(rows.ignore) == 0)])
        final = np.full(len(self._numbers) + 1, -1, dtype=np.int64)  # its last place is that of -1
        final[trained] = np.arange(len(trained))
        rows.ids = array("q", final[ids].tolist())


def numbered_pictures(folder: Folder, subfolder: str, report: Reports) -> dict[int, str]:
    """Names of the pictures of a folder that are named by the number of their frame, in the order of the frames.

    Other pictures, and further ones of the same frame, are reported.
    """
    pictures: dict[int, str] = {}
    for name in sorted(set(folder.listing(subfolder).values())):
        path = PurePosixPath(name)
        if path.suffix.lower() not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        if not (path.stem.isascii() and path.stem.isdecimal()):
            text = "the name of the picture is not the number of a frame; it is left out"
            report(folder.root / subfolder / name, "missing-annotation", text)
        elif int(path.stem) in pictures:
            text = f"another picture of frame {int(path.stem)}, besides {pictures[int(path.stem)]}; it is left out"
            report(folder.root / subfolder / name, "duplicate", text)
        else:
            pictures[int(path.stem)] = name
    return dict(sorted(pictures.items()))


def choose_sequences(found: Sequence[str], wanted: Sequence[str] | None, root: Path) -> list[str]:
    """The sequences that names or patterns such as ``MOT17-*-FRCNN`` ask for, in the order of `found`.

    Raises:
        DataError: a name or pattern fits none.
    """
    if wanted is None:
        return list(found)
    if isinstance(wanted, str):
        raise DataError(f"sequences: expected a list of names or patterns, got the string {wanted!r}")
    missing = [name for name in wanted if not any(fnmatchcase(other, name) for other in found)]
    if missing or not wanted:
        raise DataError(
            f"{root}: sequences has {with_nearest(missing, found) or 'nothing'}, "
            f"but the sequences there are {', '.join(found)}"
        )
    return [name for name in found if any(fnmatchcase(name, pattern) for pattern in wanted)]


def spans(numbers: Collection[int], *, most: int = 4) -> str:
    """Whole numbers as text, in the manner of ``0-9, 11, 13-20``; the first `most` spans of them."""
    parts: list[list[int]] = []
    for value in sorted(numbers):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in parts[:most]]
    return ", ".join([*texts, "..."] if len(parts) > most else texts)
