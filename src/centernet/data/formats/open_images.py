"""Open Images (Kuznetsova et al., IJCV 2020, arXiv:1811.00982; https://storage.googleapis.com/openimages/web/index.html)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ...annotations.open_images import COLUMNS, FLAGS, add_images, header_of, read_descriptions, read_open_images
from ...annotations.problems import DataError, Reports, check_option, opening
from ...annotations.text import iterate_lines
from ...images import IMAGE_SUFFIXES, walk_files
from .layout import Folder, files_near, find_image_folder
from .listed import Listed

_SUFFIXES = (".jpg", ".jpeg", ".png")
_LISTS = ("*class-descriptions-boxable*.csv", "*class*description*.csv", "classes.csv")
_END = "-annotations-bbox.csv"
_ALL_IMAGES = ("-images-with-rotation.csv", "-images-boxable-with-rotation.csv")
"""Lists of all images whose boxes were looked for."""
_TRIED = 5000  # rows by whose images their folder is known


class OpenImages(Listed):
    """Boxes of Open Images, as it publishes them and as datumaro and FiftyOne write and download them.

    Images are looked for by their ids, with the suffix .jpg, .jpeg or .png, in a folder or in those inside. How many
    boxes are of images that are not there is said once. Images without boxes are examples of background if
    ``validation-images-with-rotation.csv`` or ``train-images-boxable-with-rotation.csv`` beside the file lists them.

    Args:
        annotations: the CSV file of boxes, such as ``validation-annotations-bbox.csv``.
        images: the folder of the images; None looks for one named as the split, ``images`` or ``data`` nearby.
        classes: the file with the names of the labels; None takes ``class-descriptions-boxable.csv`` or the like from
            nearby.
        ignore: flags (``IsGroupOf``, ``IsDepiction``, ``IsOccluded``, ``IsTruncated``, ``IsInside``) of boxes that are
            to be ignored.
        class_names: None takes all that occur, in the order of the file with their names.
        strict: the first problem is an error.
    """

    not_read = "flags other than IsGroupOf, image labels, masks, relations and the hierarchy of classes"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        classes: str | os.PathLike[str] | None = None,
        ignore: Sequence[str] = ("IsGroupOf",),
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path, report = Path(annotations), Reports(strict=strict)
        right = not isinstance(ignore, str) and set(ignore) <= set(FLAGS)
        check_option("ignore", right, f"names of {', '.join(FLAGS)}", ignore)
        if not header_of(path):
            raise DataError(f"{path}: expected a header with the columns {', '.join(COLUMNS)}")
        file = Path(classes) if classes is not None else _descriptions(path)
        names = {} if file is None else read_descriptions(file)
        root = _image_folder(path, None if images is None else Path(images))
        find = _finder(root, _first_ids(path))
        listed = read_open_images(path, report, find=find, names=names, ignore=ignore)
        for mark in _ALL_IMAGES:
            for all_images in sorted(path.parent.glob(f"*{_split_of(path)}{mark}")):
                add_images(all_images, listed, report, find=find)
        if class_names is None and listed.class_names:
            occurring = set(listed.class_names)
            known = [name for name in names.values() if name in occurring]
            class_names = [*known, *sorted(occurring.difference(known))]
        super().__init__(listed, path, root, class_names, report)


def _finder(root: Path, ids: Iterable[str]) -> Callable[[str], str | None]:
    """Return what finds the file of an image: in the folder, or in those inside if none of the first is in itself."""
    folder = Folder(root)
    if any(_find(folder, image_id) for image_id in ids):
        return partial(_find, folder)
    files = [path for path in walk_files(root) if path.suffix.lower() in _SUFFIXES]
    return {path.stem: path.relative_to(root).as_posix() for path in reversed(files)}.get


def _find(folder: Folder, image_id: str) -> str | None:
    return next(filter(None, (folder.find(f"{image_id}{suffix}") for suffix in _SUFFIXES)), None)


def _first_ids(path: Path) -> list[str]:
    """Return the images of the first rows."""
    place = header_of(path).index("ImageID")
    with opening(path):
        rows = [line.split(",") for line in islice(iterate_lines(path), 1, _TRIED)]
    return list(dict.fromkeys(row[place] for row in rows if len(row) > place))


def _near(path: Path) -> Iterator[Path]:
    """The folders near a file in which its companions may be."""
    for folder in (path.parent, path.parent.parent):
        yield folder
        yield from (folder / name for name in ("metadata", "annotations", "labels"))


def _descriptions(path: Path) -> Path | None:
    files = (file for pattern in _LISTS for folder in _near(path) for file in sorted(folder.glob(pattern)))
    return next(files, None)


def _image_folder(path: Path, given: Path | None) -> Path:
    """Return the folder that has images of a file: of the first rows, or else any."""
    split = _split_of(path)
    inside = (f"images/{split}", f"{split}/data", split, "images", "data", "")
    roots = (path.parent, path.parent.parent) if given is None else (given,)
    folders = [folder for root in roots for name in inside if (folder := root / name).is_dir()]
    ids = _first_ids(path)
    for folder in folders:
        if any(map(partial(_find, Folder(folder)), ids)):
            return folder
    for folder in folders:
        if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in Folder(folder).listing()):
            return folder
    return find_image_folder(path, given, [f"{image_id}.jpg" for image_id in islice(ids, 20)])


def _split_of(path: Path) -> str:
    """Return the name of the split that a file is of, as its folders have it."""
    if path.parent.name == "labels":  # of FiftyOne: validation/labels/detections.csv
        return path.parent.parent.name
    name = path.stem.lower().removeprefix("oidv6-").removeprefix("oidv7-").partition("-annotations-")[0]
    return next((split for split in ("train", "validation", "test") if split in name.split("-")), name)


def find_open_images(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the arguments of `OpenImages` for each file of boxes, or why there is none."""
    files = [path] if path.suffix.lower() == ".csv" and path.is_file() else []
    if path.is_dir():
        files = files_near(path, ["*.csv", "labels/*.csv"])
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        empty = file.name.endswith(_END) and not file.stat().st_size  # which is an error when it is opened
        if empty or header_of(file):
            name = _split_of(file)
            found[name if name not in found else file.stem] = {"annotations": file}
    return found or ""
