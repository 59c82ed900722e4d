"""LabelMe (https://github.com/wkentaro/labelme), and X-AnyLabeling's files of the same form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...annotations.labelme import LabelmeFiles, read_labelme
from ...annotations.problems import DataError, Reports
from ...files import open_file
from ...images import walk_files, walk_images
from .layout import Folder, find_image_folder
from .listed import Listed, choose_files


class LabelMe(Listed):
    """A folder of LabelMe's JSON files, one for each image. An image without a file is left out.

    Args:
        root: the folder; its subfolders are read too. Or one file.
        images: the folder of the images; None takes them from where the files say, or looks nearby.
        class_names: None takes the labels that occur, in alphabetical order.
        strict: the first problem is an error.
    """

    not_read = "the outlines of polygons and masks, flags, groups and descriptions"

    def __init__(
        self,
        root: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path = Path(root)
        folder, paths = (path.parent, [path]) if path.is_file() else (path, _json_files(path))
        if not paths:
            raise DataError(f"{path}: no JSON file here; `root` is the folder of LabelMe's files")
        files = read_labelme(folder, paths, report := Reports(strict=strict))
        if not files.names:
            first = f" The first problem: {report.found[0]}" if report.found else ""
            raise DataError(f"{path}: none of {len(paths)} JSON files has LabelMe's imagePath and shapes.{first}")
        images = _find_images(folder, images, files, report)
        if path.is_dir():
            _say_without_file(path, images, files, report)
        super().__init__(files.listed, path, images, class_names, report)


def _find_images(root: Path, images: str | os.PathLike[str] | None, files: LabelmeFiles, report: Reports) -> Path:
    """Give the images the names of their files; return the folder."""
    listed, folder = files.listed, Folder(root)
    first = [name for names in files.names[:20] for name in names]
    embedded = len(files.embedded) == len(files.names)  # the message below is a better one
    if images is not None or not (embedded or any(map(folder.find, first))):
        root = find_image_folder(root / "*.json", images, first)
    for place, name in enumerate(choose_files(root, files.names, listed.files, report)):
        if name is None and place in files.embedded:
            text = f"no such file as {listed.names[place]}, only a copy in the JSON (imageData), which is not read"
            report(listed.files[place], "missing-image", f"{text}; save it under that name. The sample is left out")
        listed.names[place] = name or ("" if name == "" or place in files.embedded else listed.names[place])
    return root


def _say_without_file(source: Path, images: Path, files: LabelmeFiles, report: Reports) -> None:
    there = (path.relative_to(images).as_posix() for path in walk_images(images))
    without = sorted(set(there) - set(files.listed.names))
    if without:
        text = f"{len(without)} images have no JSON file, such as {without[0]}; they are left out"
        report(source, "missing-annotation", f"{text} (an image of background needs a file without shapes)")


def find_labelme(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the splits of a folder with such files: its subfolders train, val ... where these have them, or all."""
    if path.is_file():
        keys = _keys(path)
        return {"train": {"root": path}} if keys == _KEYS else _reason(path, keys)
    found = {file: _keys(file) for file in _json_files(path, depth=1)[:_LOOKED_AT]}
    names = ("train", "training", "val", "valid", "validation", "test")
    folders = [folder for folder in sorted(path.iterdir()) if folder.name.lower() in names and folder.is_dir()]
    inside = [f for f in folders if any(_keys(file) == _KEYS for file in _json_files(f, depth=1)[:_LOOKED_AT])]
    if inside:
        return {folder.name: {"root": folder} for folder in inside}
    if _KEYS in found.values():
        return {"train": {"root": path}}
    return next(filter(None, (_reason(file, keys) for file, keys in found.items())), "")


_KEYS = {b"shapes", b"imagePath"}
_LOOKED_AT = 20  # files
_BLOCK, _BLOCKS = 1 << 20, 64


def _json_files(folder: Path, *, depth: int = 32) -> list[Path]:
    return [path for path in walk_files(folder, depth=depth) if path.suffix.lower() == ".json"]


def _keys(path: Path) -> set[bytes]:
    """Those of `_KEYS` that a JSON file has. It is scanned, not parsed: it may be large."""
    missing, rest = set(_KEYS) if path.suffix.lower() == ".json" else set(), b""
    if not missing:
        return set()
    try:
        with open_file(path) as file:
            for _ in range(_BLOCKS):
                if not missing or not (block := file.read(_BLOCK)):
                    break
                missing -= {key for key in missing if b'"%b"' % key in rest + block}
                rest = block[-16:]
    except OSError:
        return set()
    return _KEYS - missing


def _reason(path: Path, keys: set[bytes]) -> str:
    return f"{path.name} has shapes but no imagePath" if keys == {b"shapes"} else ""
