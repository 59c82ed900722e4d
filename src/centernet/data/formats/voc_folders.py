"""The folders of VOC's XML files and their images: two of any names, one for both, or those of the splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from ...annotations.problems import DataError, Reports
from ...annotations.voc import is_voc, read_voc
from ...images import IMAGE_SUFFIXES, walk_files, walk_folders, walk_images
from .layout import SPLIT_WORDS, root_hint

_SPLITS = frozenset().union(*SPLIT_WORDS.values())
_OF_ANNOTATIONS = ("ann", "label", "xml", "voc")  # how names of folders begin, in lower case
_OF_IMAGES = ("jpegimages", "image", "img", "data", "picture", "photo")
_DEPTH, _JUDGED, _SAMPLE = 2, 3, 20


def find_voc(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the splits of a folder as arguments of `VOC`, or why it has none; see `centernet.data.detect_format`."""
    if not path.is_dir():
        return ""
    usual = (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()
    if usual and (lists := _lists(path)):
        return {name: {"root": path, "split": name} for name in lists}
    groups: dict[str, list[Path]] = {}
    for folder in _xml_folders(path):
        parts = folder.relative_to(path).parts
        split = split_of(folder.relative_to(path))
        if not split and len(parts) == _DEPTH and not parts[0].lower().startswith(_OF_ANNOTATIONS):
            return ""  # the data set, or several, are inside
        groups.setdefault(split or "", []).append(folder)
    if not groups and usual:  # all images may be without objects
        return {"train": {"root": path, "split": None}}
    if not groups:
        there = [name for name in ("Annotations", "JPEGImages") if (path / name).is_dir()]
        return f"there is the folder {there[0]}, but no XML file of VOC" if there else ""
    alone = groups.pop("", [])
    if groups and alone:
        return "" if path not in alone else f"XML files beside the folders of splits, {', '.join(groups)}"
    if alone and (one := _one_folder(path, alone)) is not None:
        groups = {"train": [one]}
    elif alone:
        names = ", ".join(folder.relative_to(path).as_posix() for folder in alone[:6])
        return f"several folders hold XML files, {names}: give one with the folder of its images (--images) beside it"
    splits = {name: _arguments(path, Path(os.path.commonpath(folders))) for name, folders in groups.items()}
    if all("images" in arguments or usual for arguments in splits.values()) or not any(
        walk_images(path, depth=_DEPTH + 1)
    ):
        return splits
    return "there are XML files of VOC, and no image has the name of one or is its <filename>"


def split_of(folder: Path) -> str | None:
    """Return the last part of a path that is the name of a split."""
    return next((part for part in reversed(folder.parts) if part.lower() in _SPLITS), None)


def _lists(path: Path) -> list[str]:
    """The lists of splits in ImageSets/Main, but for those of single classes and one that holds another again."""
    names = sorted(file.stem for file in (path / "ImageSets" / "Main").glob("*.txt"))
    known = {*names, *_SPLITS, "trainval"}
    whole = [name for name in names if "_" not in name or name.rpartition("_")[2] not in known]  # aeroplane_train
    return [name for name in whole if not (name == "trainval" and "train" in whole)]


def _xml_folders(path: Path) -> Iterator[Path]:
    """The folders, this one and those in it, that hold XML files of VOC themselves."""
    for folder, names, _ in walk_folders(path, depth=_DEPTH):
        files = [name for name in names if name.lower().endswith(".xml")]
        if any(is_voc(folder / name) for name in files[:_JUDGED]):
            yield folder


def _one_folder(path: Path, folders: list[Path]) -> Path | None:
    """Return the one folder of annotations of several that hold XML files, or the folder around them."""
    if len(folders) == 1 or path in folders:
        return path if path in folders else folders[0]
    common = Path(os.path.commonpath(folders))
    if common != path or all(any(walk_images(folder, depth=0)) for folder in folders):
        return common
    named = [folder for folder in folders if folder.name.lower().startswith(_OF_ANNOTATIONS)]
    return named[0] if len(named) == 1 else None


def _arguments(path: Path, annotations: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = {"root": path, "split": None}
    images = _image_folder(path, annotations)
    if (annotations, images) != (path / "Annotations", path / "JPEGImages"):
        arguments |= {"annotations": annotations} | ({} if images is None else {"images": images})
    return arguments


def _image_folder(path: Path, annotations: Path) -> Path | None:
    """Return the folder inside `path` with images for most of the first XML files: by their own names or by <filename>.

    Of several the one that is most like the folder of the annotations: with its split in the path, or itself.
    """
    of_stem: dict[str, set[Path]] = {}
    for folder, names, _ in walk_folders(path):
        for name in names:
            stem, suffix = os.path.splitext(name.lower())
            if suffix in IMAGE_SUFFIXES:
                of_stem.setdefault(stem, set()).add(folder)
    files = list(islice((file for file in walk_files(annotations) if file.suffix.lower() == ".xml"), _SAMPLE))
    stems = [(file.relative_to(annotations).parent.parts, os.path.splitext(file.name)[0]) for file in files]
    bases = _bases(of_stem, stems)
    if not bases:
        parsed = [(inner, read_voc(file, Reports())) for (inner, _), file in zip(stems, files, strict=True)]
        bases = _bases(of_stem, [(inner, os.path.splitext(_base(voc.filename))[0]) for inner, voc in parsed if voc])
    own = set(annotations.parts)

    def rank(base: Path) -> tuple[int, bool, int, bool, str]:
        likeness = len(own & set(base.parts))
        return bases[base], base == annotations, likeness, base.name.lower().startswith(_OF_IMAGES), str(base)

    return max(bases, key=rank, default=None)


def _bases(of_stem: dict[str, set[Path]], stems: list[tuple[tuple[str, ...], str]]) -> Counter[Path]:
    """Count the folders that hold images of these names, in the same inner folders where they have them."""
    bases: Counter[Path] = Counter()
    for inner, stem in stems:
        for folder in of_stem.get(stem.lower(), ()):
            alike = inner and folder.parts[-len(inner) :] == inner
            bases[folder.parents[len(inner) - 1] if alike else folder] += 1
    return bases


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def open_folders(
    root: Path, split: str | None, annotations: str | os.PathLike[str] | None, images: str | os.PathLike[str] | None
) -> tuple[Path, Path, str | None]:
    """Return the folder of the XML files, that of the images, and the list of the samples (None: all files).

    Raises:
        DataError: one of them is not there, or there are several of which none was named.
    """
    files = None if annotations is None else Path(annotations)
    if files is None and (root / "Annotations").is_dir() and (split is None or (root / "ImageSets/Main").is_dir()):
        files = root / "Annotations"
    if files is None:
        found = find_voc(root) if root.is_dir() else ""
        named = found if isinstance(found, dict) else {}
        chosen = named.get(split or "") or (next(iter(named.values())) if len(named) == 1 and split is None else None)
        if chosen is None or chosen.get("split") is not None:
            raise DataError(_no_folders(root, split, found))
        files, split = Path(chosen.get("annotations", root / "Annotations")), None
        images = images if images is not None else chosen.get("images")
    if not files.is_dir():
        raise DataError(f"{files}: no such folder; `annotations` is the folder of the XML files")
    if images is None:
        usual = root / "JPEGImages"
        images = usual if usual.is_dir() else _image_folder(root, files)
    if images is None:
        raise DataError(f"{files}: no image in {root} has the name of an XML file there; give `images` (--images)")
    if not Path(images).is_dir():
        raise DataError(f"{images}: no such folder; `images` (--images) is the folder of the images")
    return files, Path(images), split


def _no_folders(root: Path, split: str | None, found: dict[str, Any] | str) -> str:
    if isinstance(found, dict) and found:
        lists = root / "ImageSets" / "Main"
        return f"{lists / str(split)}.txt: no such list, and no such folder; the splits are {', '.join(found)}"
    hint = root_hint(root, (path.parent for n in ("*", "*/*") for path in root.glob(f"{n}/Annotations")))
    text = "no such folder" if not root.is_dir() else "expected VOC's layout with Annotations and JPEGImages"
    return f"{root}: {text}; {found or hint}"


class ImagesByStem:
    """The images in a folder, by their paths in it without suffix."""

    def __init__(self, folder: Path) -> None:
        self.names: list[str] = []
        self._stems: dict[str, list[str]] = {}
        self._bases: dict[str, list[str]] = {}  # by name and by stem, in lower case, wherever they are
        for file in walk_images(folder):
            name = file.relative_to(folder).as_posix()
            self.names.append(name)
            self._stems.setdefault(os.path.splitext(name)[0], []).append(name)
            for key in (file.name.lower(), os.path.splitext(file.name)[0].lower()):
                self._bases.setdefault(key, []).append(name)
        self._lower = {stem.lower(): names for stem, names in reversed(self._stems.items())}

    def __contains__(self, stem: str) -> bool:
        return stem in self._stems or stem.lower() in self._lower

    def find(self, stem: str, filename: str = "") -> str | None:
        """Return the image of an XML file by its path there without suffix, or by the name that stands in it."""
        base = _base(filename).lower()
        same = self._stems.get(stem) or self._lower.get(stem.lower()) or []
        for name in same:
            if _base(name).lower() == base:
                return name
        if same:
            return same[0]
        keys = (_base(stem).lower(), base, os.path.splitext(base)[0])
        return next((names[0] for key in keys if len(names := self._bases.get(key, [])) == 1), None)
