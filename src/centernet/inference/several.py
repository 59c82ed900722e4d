"""Several sources: files, folders of videos, sequences. Each is a stretch of time, with a name for its results."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path

from centernet.images import ImageError, natural_order, walk_files
from centernet.inference.moving import is_video
from centernet.inference.sources import Source, SourceError, SourceLike, open_source

FRAMES = "img1"
"""Name of the folder of frames in a sequence of MOTChallenge."""


def open_sources(
    given: Sequence[SourceLike], *, sequences: bool = False, recursive: bool = False, every: int = 1
) -> dict[str, Source]:
    """Open sources as stretches of time, by names that differ: each may be tracked, and written about, alone.

    Each video is one, and so are the images of a folder or a pattern, and image files that follow one another. A folder
    gives its images and its videos; one that has neither, but sequences with a seqinfo.ini, gives those.

    Args:
        given: what `open_source` takes, each.
        sequences: of each folder, the folders inside are the sequences.
        recursive: the subfolders of folders too.
        every: read one frame of so many.

    Raises:
        SourceError, ImageError: as `open_source` does; a camera or a stream that is not alone, as it has no end.
    """
    opened: list[Source] = []
    for item in given:
        is_folder = isinstance(item, (str, os.PathLike)) and Path(item).is_dir()
        opened += _open_folder(Path(item), sequences, recursive) if is_folder else [open_source(item)]  # type: ignore[arg-type]
    if len(opened) > 1 and any(source.live for source in opened):
        raise SourceError("a camera or a stream has no end: give it alone, without further sources")
    stretches: list[Source] = []
    for single, group in groupby(opened, lambda source: source.kind == "image"):
        images = list(group)
        if single and len(images) > 1:
            images = [Source("list", [item for image in images for item in image.items])]
        stretches += [part for source in images for part in source.parts]
    names = _distinct([_names(source) for source in stretches])
    return {name: replace(source, every=every) for name, source in zip(names, stretches, strict=True)}


def _open_folder(folder: Path, sequences: bool, recursive: bool) -> list[Source]:
    inner = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: natural_order(path.name))
    inner = [path for path in inner if not path.name.startswith(".")]
    if sequences:
        found = [source for path in inner if (source := _open_sequence(path)) is not None]
        if not found:
            text = "none of its folders has images; without --sequences its own images or videos are read"
            raise SourceError(f"{folder}: {text}")
        return found
    problem = None
    try:
        images = [open_source(folder, recursive=recursive)]
        if images[0].folder != folder:  # the frames of a sequence
            return images
    except ImageError as error:
        images, problem = [], error
    known = set(images[0].items) if images else set()
    files = walk_files(folder) if recursive else walk_files(folder, depth=0)
    videos = [path for path in files if path not in known and is_video(path)]
    if images or videos:
        return images + [open_source(path) for path in sorted(videos, key=natural_order)]
    described = [source for path in inner if (path / "seqinfo.ini").is_file() and (source := _open_sequence(path))]
    if not described:
        number = sum(_open_sequence(path) is not None for path in inner)
        hint = f". {number} of its folders have images: --sequences reads each of them" if number else ""
        raise ImageError(f"{problem}{hint}") from problem
    return described


def _open_sequence(folder: Path) -> Source | None:
    """Open a folder of frames, or one with a folder of frames as MOTChallenge's; None where there are no images."""
    for path in (folder, folder / FRAMES):
        try:
            return open_source(path)
        except ValueError:
            continue
    return None


def _names(source: Source) -> list[str]:
    """Return names for a stretch of time, the best first: the further ones are for others of the same name."""
    first = source.items[0]
    if not isinstance(first, (str, os.PathLike)) or source.live:
        return [f"camera_{first}" if isinstance(first, int) else "stream" if source.live else "images"]
    path = Path(first).absolute()
    if source.kind in ("video", "image"):
        return [path.stem, f"{path.parent.name}_{path.stem}", f"{path.parent.name}_{path.stem}_{path.suffix[1:]}"]
    folder = (source.folder or path.parent).resolve()
    if folder.name == FRAMES or (source.sequence is not None and not (folder / "seqinfo.ini").is_file()):
        folder = folder.parent
    return [folder.name or "images", f"{folder.parent.name}_{folder.name}"]


def _distinct(choices: Sequence[Sequence[str]]) -> list[str]:
    """Choose a name from each list, such that they differ also where upper case is lower case."""
    names = [each[0] for each in choices]
    for place in (1, 2):
        often = {name for name, number in Counter(map(str.casefold, names)).items() if number > 1}
        names = [
            each[min(place, len(each) - 1)] if name.casefold() in often else name
            for name, each in zip(names, choices, strict=True)
        ]
    used: set[str] = set()
    for i, name in enumerate(names):
        numbered = (f"{name}_{number}" for number in count(2))
        while names[i].casefold() in used:
            names[i] = next(numbered)
        used.add(names[i].casefold())
    return names
