"""Finding the files of a data set in YOLO's format: what names its classes, its folders and lists of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...annotations.content import judge
from ...annotations.problems import DataError
from ...annotations.text import filled_lines
from ...annotations.yolo import label_paths
from ...annotations.yolo_files import DataFile, ends, inside_path, is_names_file, read_yaml
from ...images import IMAGE_SUFFIXES, walk_folders, walk_images

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LOOKED_AT = 8  # text files of a folder, and folders of one, that are judged
_DEEP = 2  # parts that an absolute path has at most which is as good as the whole disk, such as /home
_UPWARDS = 4  # folders around that of a file that paths may be relative to


def find_yolo(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the splits of a folder or file by the arguments of `YOLO`, or why there are none: see `Format`."""
    reason = ""
    for file in [path] if path.is_file() else _data_files(path):
        try:
            if file.suffix.lower() in (".yaml", ".yml"):
                content = read_yaml(file)
                if not isinstance(content, dict) or {"names", "nc"}.isdisjoint(content):
                    continue
            elif is_names_file(file):
                if found := _of_names(file, None if path.is_file() else path):
                    return found
                continue
            data = DataFile.read(file)
        except DataError as error:
            reason = reason or " ".join(str(error).removeprefix(f"{file}: ").split())
            reason = reason if reason.startswith(file.name) else f"{file.name}: {reason}"
            continue
        splits = list(data.splits)
        if "test" in splits and is_absent(data, "test") and any(not is_absent(data, split) for split in splits):
            splits.remove("test")  # named by exports that have none; the reader says so
        if splits:
            return {split: {"data": file, "split": split} for split in splits}
        reason = reason or f"{file.name} names classes, but no images: add the line train: FOLDER"
    if not reason and path.is_dir() and (labels := _label_file(path)) is not None:
        reason = f"{labels.relative_to(path).as_posix()} has rows as YOLO's, but no file names their classes: "
        reason += "data.yaml, obj.data, or classes.txt with one name a line"
    return reason


def _data_files(folder: Path) -> Iterator[Path]:
    """The files of a folder that may be those of its data set, by their names; lists of names last."""
    if not folder.is_dir():
        return
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    yield from (folder / name for name in names if name == "data.yaml")
    yield from (folder / name for name in names if name.endswith((".yaml", ".yml")) and name != "data.yaml")
    yield from (folder / name for name in names if name.lower().endswith(".data"))
    lists = [folder / name for name in names if is_names_file(folder / name)]
    for inner in ("labels", "images", *(part for split in _SPLITS for part in (split, f"{split}/labels"))):
        if (folder / inner).is_dir():
            lists += sorted(file for file in (folder / inner).iterdir() if is_names_file(file) and file.is_file())
    yield from lists


def data_file_in(folder: Path) -> tuple[Path, Path | None]:
    """Return the file of a folder that names classes and splits, and the folder of its images where it is a bare list.

    Raises:
        DataError: there is none.
    """
    found = find_yolo(folder)
    if isinstance(found, str) or not found:
        if (folder / "data.yaml").is_file():
            return folder / "data.yaml", None  # whose reader says what is wrong
        text = found or "no data.yaml, obj.data or classes.txt with label files in it"
        raise DataError(f"{folder}: {text}")
    arguments = next(iter(found.values()))
    return arguments["data"], arguments.get("root")


# Lists of names ------------------------------------------------------------------------------------------------------


def root_of_names(file: Path) -> Path:
    """Return the folder of a data set whose classes a bare list names."""
    root = file.absolute().parent
    while root.name.lower() in ("labels", "images", *_SPLITS) and root != root.parent:
        root = root.parent
    return root


def _of_names(file: Path, folder: Path | None) -> dict[str, dict[str, Any]]:
    root = root_of_names(file) if folder is None else folder
    if _label_file(root) is None or any(_holds_data_file(inner) for inner in root.iterdir() if inner.is_dir()):
        return {}
    given = {} if root.absolute() == root_of_names(file) else {"root": root}
    own = {split: path for split in splits_by_layout(root) if (path := _own_names(root, split)) is not None}
    return {split: {"data": own.get(split, file), "split": split, **given} for split in splits_by_layout(root)}


def _own_names(root: Path, split: str) -> Path | None:
    """The list of names in the folder of a split, as Roboflow's Darknet export has one in each."""
    folders = [root / name for name, role in _SPLITS.items() if role == split and (root / name).is_dir()]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if is_names_file(file)]
    return next(iter(files), None)


def _holds_data_file(folder: Path) -> bool:
    return (folder / "data.yaml").is_file() or any(folder.glob("*.data"))


def splits_by_layout(root: Path) -> dict[str, Sequence[str]]:
    """Return folders and lists of images by split, where no file says them: by their names, or all images as one."""
    splits: dict[str, Sequence[str]] = {}
    for name, split in _SPLITS.items():
        if split not in splits and _is_list(root / f"{name}.txt"):
            splits[split] = [f"{name}.txt"]
    for name, split in () if splits else _SPLITS.items():
        for place in (f"images/{name}", f"{name}/images", name):
            labels = root / Path(label_paths(f"{place}/x.jpg")[0]).parent
            if split not in splits and ((root / place).is_dir() or labels.is_dir()):
                splits[split] = [place]
    if splits:
        return splits
    whole = next((name for name in ("images", "Images") if (root / name).is_dir()), "")
    return {"train": [whole or ("." if any(walk_images(root)) or not (root / "labels").is_dir() else "images")]}


def _is_list(file: Path) -> bool:
    """Return True if a file lists images."""
    try:
        first = next(iter(filled_lines(file).values()), "")
    except OSError:
        return False
    return first.lower().endswith(IMAGE_SUFFIXES)


def _label_file(root: Path) -> Path | None:
    """A file with rows as YOLO's where labels may be: in the folder, in ``labels``, or in those of splits."""
    for current, names, inner in walk_folders(root, depth=2):
        texts = [current / name for name in names if name.lower().endswith(".txt")]
        texts = [path for path in texts if not is_names_file(path)]
        for path in texts[:_LOOKED_AT]:
            if judge(path).what == "rows as YOLO's":
                return path
        if len(inner) > 50 and current == root:  # no data set of this kind has so many
            return None
    return None


# Paths ---------------------------------------------------------------------------------------------------------------


def locate(file: DataFile, entries: Sequence[str], given: Path | None) -> tuple[Path, list[Path]]:
    """Return the folder of the data, and where its entries for a split are.

    The folder is the one given. Else it is ``path``, as it is or relative to the file's folder, the current one, those
    around them and ``datasets`` in these; or, of entries and lists that are absolute, that of the images; or the file's
    folder. Only where no entry of any split is there are the folders around it tried.

    Raises:
        DataError: an entry is in none of them.
    """
    here = file.path.parent
    roots = [given] if given is not None else [*_stated_roots(file), *_absolute_roots(entries), here]
    every = [entry for some in file.splits.values() for entry in some if not Path(entry).is_absolute()]
    if given is None and not any(_resolve(entry, root) for entry in every for root in roots):
        roots += _around(here)
    for rule in (_exact, _resolve):
        for root in roots:
            found = [rule(entry, root) or (rule(entry, here) if _is_text(entry) else None) for entry in entries]
            if all(found):
                places = [place for place in found if place is not None]
                _check_apart(file, root, entries, places)
                root = root if given is not None else _root_of_lists(root, places)
                return (root, places) if given is not None else _above_images(root, places)
    missing = next((entry for entry in entries if not any(_resolve(entry, root) for root in roots)), entries[0])
    text = "leads out of the data set" if inside_path(missing) is None else f"is not in {roots[0]}"
    raise DataError(f"{file.path}: {missing!r} {text}; {_HINT}")


_HINT = "give the folder that it is meant to be in as `root` (--root)"


def is_absent(file: DataFile, split: str, given: Path | None = None) -> bool:
    """Return True if nothing is where a split is said to be, as in exports without test data."""
    try:
        locate(file, file.splits[split], given)
    except DataError:
        return True
    return False


def _stated_roots(file: DataFile) -> list[Path]:
    """The folders that ``path`` may mean."""
    text = os.path.expanduser(file.root.strip().replace("\\", "/"))
    here = file.path.parent
    if not text:
        return []
    folders = [here / text]
    if not Path(text).is_absolute():
        folders += [base / text for base in _around(here)]
        folders += [base / "datasets" / text for base in (here, *_around(here))]
        folders.append(here / (inside_path(text) or ""))
    return [Path(os.path.normpath(folder)) for folder in folders if folder.is_dir()]


def _around(folder: Path) -> list[Path]:
    """The folders around one, and the current one, but not the whole disk, in which everything is."""
    around = [Path.cwd(), *folder.absolute().parents[:_UPWARDS]]
    return [path for path in around if path != Path(path.anchor)]


def _absolute_roots(entries: Sequence[str]) -> list[Path]:
    """The folder of entries that are absolute and hold images."""
    folders = [Path(os.path.normpath(entry)) for entry in entries if Path(entry).is_absolute()]
    bases = [_before_images(folder) for folder in folders if folder.is_dir() and len(folder.parts) > _DEEP]
    return [Path(os.path.commonpath(bases))] if bases and all(any(walk_images(folder)) for folder in folders) else []


def _root_of_lists(root: Path, places: Sequence[Path]) -> Path:
    """Return the folder of the images where lists name all of them by absolute paths elsewhere, else the root."""
    bases: list[Path] = []
    for file in places:
        lines = filled_lines(file).values() if file.is_file() else ()
        parents = {os.path.dirname(line) for line in lines}
        if not parents or not all(os.path.isabs(folder) and os.path.isdir(folder) for folder in parents):
            relative = file.is_file() and not file.absolute().is_relative_to(root.absolute())
            return file.parent if relative and len(places) == 1 else root
        bases += [_before_images(Path(os.path.normpath(folder))) for folder in parents]
    if not bases or all(base.is_relative_to(root.absolute()) for base in bases):
        return root
    common = Path(os.path.commonpath(bases))
    return common if len(common.parts) > _DEEP else root


def _before_images(folder: Path) -> Path:
    """The folder around the last ``images`` of a path; the folder itself without one."""
    places = [place for place, part in enumerate(folder.parts) if part in _IMAGES]
    return Path(*folder.parts[: places[-1]]) if places else folder


_IMAGES = ("images", "Images", "JPEGImages")


def _is_text(entry: str) -> bool:
    return entry.strip().lower().endswith(".txt")


def _exact(entry: str, root: Path) -> Path | None:
    """The place of an entry in a folder: as written, or without the ``../`` that it begins with."""
    path, inside = Path(os.path.normpath(entry.strip())), inside_path(entry)
    if path.is_absolute():
        is_list = _is_text(entry) and path.is_file()
        return path if path.exists() and (is_list or path.is_relative_to(root.absolute())) else None
    return root / inside if inside is not None and _is_there(inside, root) else None


def _is_there(inside: str, root: Path) -> bool:
    """Return True if a file or folder is there; for a folder of images that of its labels will do."""
    return (root / inside).exists() or (root / label_paths(f"{inside}/x.jpg")[0]).parent.is_dir()


def _resolve(entry: str, root: Path) -> Path | None:
    """The place of an entry in a folder: as written, or what is there of its last parts, but not of ``images`` alone
    where a split is named before it."""
    if (found := _exact(entry, root)) is not None:
        return found
    parts = entry.strip().replace("\\", "/").split("/")
    inner = next((place for place, part in enumerate(parts) if part not in ("", ".", "..")), 0)
    if ".." in parts[inner:]:
        return None
    named = {part for part in parts if part.lower() in _SPLITS}
    possible = [end for end in ends(entry) if not named or named & set(end.split("/"))]
    return next((root / end for end in possible if _is_there(end, root)), None)


def _check_apart(file: DataFile, root: Path, entries: Sequence[str], places: Sequence[Path]) -> None:
    """Raise a DataError where an entry is found by its end alone, and in the place of another split's or around it."""
    for entry, place in zip(entries, places, strict=True):
        if _exact(entry, root) is not None or not place.is_relative_to(root):
            continue
        for split, others in file.splits.items():
            for other in others:
                found = _resolve(other, root) if other != entry else None
                if found is not None and (found.is_relative_to(place) or place.is_relative_to(found)):
                    text = f"{entry!r} is not in {root}, and {place.relative_to(root)} there holds {other!r} of {split}"
                    raise DataError(f"{file.path}: {text}; {_HINT}")


def _above_images(root: Path, places: list[Path]) -> tuple[Path, list[Path]]:
    """Return a root above the last ``images`` of itself where the labels lie beside that folder."""
    above = _before_images(root.absolute())
    inner = [place.relative_to(root).parts for place in places if place.is_relative_to(root)]
    if above == root.absolute() or not (above / "labels").is_dir() or any({*_IMAGES} & set(parts) for parts in inner):
        return root, places
    return above, [place.absolute() for place in places]
