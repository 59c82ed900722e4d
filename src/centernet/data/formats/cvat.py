"""CVAT for images and CVAT for video, XML 1.1 (https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...annotations.cvat import CvatFile, find_subsets, read_cvat
from ...annotations.problems import DataError, Reports, check_option, with_nearest
from ...files import open_file
from ...images import IMAGE_SUFFIXES, ImageError, list_images, natural_order
from .layout import Folder, find_image_folder
from .listed import Listed, choose_files
from .sequences import spans

_HEAD = 1 << 16


class CVAT(Listed):
    """A task, job or project that CVAT exported as XML: images, or a video whose tracks have identities.

    Args:
        annotations: the XML file.
        images: the folder of the images or frames; None looks for ``images`` and others beside the file.
        subset: of a project: the name of one, None takes all.
        class_names: None takes the labels that the file lists, in their order.
        frame_rate: of videos, in frames per second; the file doesn't say it.
        strict: the first problem is an error.
    """

    not_read = "the outlines of polygons, ellipses and masks, attributes, tags, occlusion and the order of the layers"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        subset: str | None = None,
        class_names: Sequence[str] | None = None,
        frame_rate: float = 30.0,
        strict: bool = False,
    ) -> None:
        path = Path(annotations)
        check_option("frame_rate", frame_rate > 0, "a number above 0", frame_rate)
        file = read_cvat(path, report := Reports(strict=strict), subset=subset, frame_rate=frame_rate)
        if subset is not None and not file.listed.names:
            known = find_subsets(path)
            hint = f"the subsets there are {', '.join(known)}" if known else "there is none; leave out `subset`"
            raise DataError(f"{path}: no subset {with_nearest([subset], known)}; {hint}")
        folder = _find_images(path, images, file, report)
        super().__init__(file.listed, path, folder, class_names, report)


def _find_images(path: Path, images: str | os.PathLike[str] | None, file: CvatFile, report: Reports) -> Path:
    """Give the images the names of their files; return the folder."""
    names, subsets = file.listed.names, file.subsets
    if not names:
        raise DataError(f"{path}: no image and no track in it; export the task again, with its annotations")
    stills = [place for place, frame in enumerate(file.frames) if frame < 0]
    tried = [name for place in range(min(20, len(names))) for name in _names(names[place], subsets[place])]
    try:
        root = find_image_folder(path, images, tried)
    except DataError:
        if stills or images is not None:
            raise
        root = next((f for f in (path.parent / "images", path.parent) if f.is_dir() and _images(f)), path.parent)
    folder = Folder(root)
    named = [_names(names[place], subsets[place]) for place in stills]
    for place, found in zip(stills, choose_files(root, named, [path] * len(stills), report), strict=True):
        names[place] = names[place] if found is None else found
    for number, video in enumerate(file.listed.videos):
        places = range(video.start, video.stop)
        files = [_found(folder, names[place], subsets[place]) for place in places]
        if not any(files):
            task = file.tasks[number]
            text = f"{path}: the frames of {task.source or video.name} are not in {root}"
            files = [*_in_order(root, subsets[video.start], len(places), text)]
        without = [file.frames[place] for place, name in zip(places, files, strict=True) if name is None]
        if without:
            text = f"the frames {spans(without)} of {video.name} have no image in {root}; they are left out"
            report(path, "missing-image", text)
        names[video.start : video.stop] = [name or "" for name in files]
    return root


def _names(name: str, subset: str) -> list[str]:
    """The names that a file may have: in the folder of its subset or not, and with a suffix where none is stated."""
    names = list(dict.fromkeys((name, name.removeprefix(f"{subset}/"))))
    if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        return names
    return [f"{name}{suffix}" for name in names for suffix in IMAGE_SUFFIXES]


def _found(folder: Folder, name: str, subset: str) -> str | None:
    return next(filter(None, map(folder.find, _names(name, subset))), None)


def _images(folder: Path) -> list[str]:
    try:
        return sorted(path.relative_to(folder).as_posix() for path in list_images(folder, recursive=True))
    except ImageError:
        return []


def _in_order(root: Path, subset: str, count: int, text: str) -> list[str]:
    """The images of a video whose file doesn't name them, as many as there are frames, in CVAT's order: by name."""
    files = _images(root / subset) if subset and (root / subset).is_dir() else _images(root)
    prefix = f"{subset}/" if subset and (root / subset).is_dir() else ""
    natural = sorted(files, key=natural_order)
    if len(files) == count and natural == files:
        return [f"{prefix}{name}" for name in files]
    have = f"there are {len(files)} images for {count} frames" if len(files) != count else "their numbers have no zeros"
    hint = f"expected frame_000000.png ..., named by the frame, as CVAT saves them with the annotations; {have}"
    raise DataError(f"{text}: {hint}. Export with images, or extract the frames of the video and name them so")


def find_cvat(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the splits of a file, or of a folder that has such files: the subsets of a project, else the files."""
    listed = [path] if path.is_file() else sorted(path.glob("*.xml"))
    files = [file for file in listed if _is_cvat(file)] if any(map(_is_cvat, listed[:5])) else []
    splits: dict[str, dict[str, Any]] = {}
    for file in files:
        subsets = find_subsets(file) if b"<project>" in _head(file) else []
        if len(subsets) < 2:
            splits[file.stem] = {"annotations": file}
        for subset in subsets if len(subsets) > 1 else ():
            splits[subset if len(files) == 1 else f"{file.stem}_{subset}"] = {"annotations": file, "subset": subset}
    return splits or ""


def _head(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _is_cvat(path: Path) -> bool:
    """True if a file begins as CVAT's XML does."""
    found = re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<\?.*?\?>|<!--.*?-->|\s)*<annotations[\s>/]", _head(path), re.DOTALL)
    return path.suffix.lower() == ".xml" and found is not None
