"""The files of YOLO's format that say which classes and which images there are.

These are Ultralytics' ``data.yaml``, Darknet's ``obj.data`` (as CVAT writes it too) and bare lists of names, the
``classes.txt`` of Label Studio and labelImg.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..documents import read_json_text, read_yaml_text
from ..files import read_file
from ..skeleton import COCO_PERSON, Skeleton
from .keypoints import of_flip_order, skeleton_of
from .problems import DataError, Reports, check_class_names, opening, read_bytes
from .text import text_lines

NAMES_FILES = (
    "classes.txt",
    "predefined_classes.txt",
    "obj.names",
    "_darknet.labels",
    "labels.txt",
    "class_names.txt",
    "names.txt",
)
"""Lists of class names, in lower case, that tools put beside the label files; other ``.names`` files are some too."""
_KEYS: Mapping[str, Sequence[str]] = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


@dataclass(frozen=True)
class DataFile:
    """The contents of a file that names the classes, and perhaps the images; all is text: a class ``no`` stays one."""

    path: Path
    names: tuple[str, ...]
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)  # folders and lists of images, as written
    root: str = ""  # the folder that they are relative to, as written
    first: int = 0  # number of the first class: 1 where the file numbers them so itself
    keypoints: tuple[int, int] | None = None  # how many an object has, and numbers each
    skeleton: Skeleton | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> DataFile:
        """Read a file; raise a DataError where it cannot be one."""
        if path.suffix.lower() in (".yaml", ".yml"):
            return _of_yaml(path, read_yaml(path))
        if path.suffix.lower() == ".data":
            return _of_darknet(path)
        return cls(path, _listed_names(path))

    def entries(self, split: str) -> Sequence[str]:
        """Return the folders and lists of images of a split."""
        if split not in self.splits:
            found = next((self.content[key] for key in _KEYS.get(split, (split,)) if key in self.content), None)
            text = f"the split {split!r} is {reprlib.repr(found)}; the splits there are {', '.join(self.splits)}"
            raise DataError(f"{self.path}: {text if self.splits else text + 'none'}")
        return self.splits[split]


def is_names_file(path: Path) -> bool:
    """Return True if a file's name says that it lists class names."""
    return path.name.lower() in NAMES_FILES or path.suffix.lower() == ".names"


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds, with all values as text."""
    with opening(path, "data"):
        data = read_file(path)
    try:
        return read_yaml_text(data.decode("utf-8-sig"), texts=True)
    except ValueError as error:
        raise DataError(f"{path}: not valid YAML ({error})") from error


def _of_yaml(path: Path, content: Any) -> DataFile:
    if isinstance(content, dict) and "names" not in content and "nc" in content:
        count = reprlib.repr(content["nc"])
        text = f"nc is {count}, but the classes have no names; add the line names: [first, second, ...]"
        raise DataError(f"{path}: {text} with as many names, in the order of the numbers in the label files")
    if not isinstance(content, dict) or "names" not in content:
        got = f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else reprlib.repr(content)
        raise DataError(f"{path}: expected the keys names and train, val or test, got {got:.200}")
    splits: dict[str, Sequence[str]] = {}
    for split, keys in _KEYS.items():
        found = next((content[key] for key in keys if content.get(key)), None)
        entries = [*found] if isinstance(found, list) else [found]
        if entries and all(isinstance(entry, str) and entry for entry in entries):
            splits[split] = [str(entry) for entry in entries]
    root = content.get("path", "")
    if not isinstance(root, str):
        raise DataError(f"{path}: path is {reprlib.repr(root)}, expected a folder")
    first = int(isinstance(content["names"], dict) and "0" not in content["names"] and "1" in content["names"])
    names = _names(content, path, first)
    keypoints = _keypoints(content, path)
    return DataFile(path, names, splits, root, first, keypoints, _skeleton(content, keypoints, path), content)


def _names(content: Mapping[str, Any], path: Path, first: int) -> tuple[str, ...]:
    names = content["names"]
    if isinstance(names, dict):
        numbers = [str(label) for label in range(first, first + len(names))]
        if set(names) != set(numbers):
            raise DataError(
                f"{path}: names has the keys {', '.join(map(str, names))}, expected {first} .. {numbers[-1]}"
            )
        names = [names[label] for label in numbers]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        text = "expected a list of names, or numbers from 0 with names"
        raise DataError(f"{path}: names is {reprlib.repr(names)}, {text}")
    if (count := content.get("nc", str(len(names)))) != str(len(names)):
        text = f"but there are {len(names)} names; put one of them right"
        raise DataError(f"{path}: nc is {reprlib.repr(count)}, {text}")
    return _checked(names, path)


def _checked(names: Sequence[str], path: Path) -> tuple[str, ...]:
    try:
        return check_class_names(names)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _keypoints(content: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, str) and n.isdecimal() for n in shape):
        count, numbers = map(int, shape)
        if count > 0 and numbers in (2, 3):
            return count, numbers
    text = "expected how many key points an object has, and 2 or 3 numbers each, such as [17, 3]"
    raise DataError(f"{path}: kpt_shape is {reprlib.repr(shape)}, {text}")


def _skeleton(content: Mapping[str, Any], keypoints: tuple[int, int] | None, path: Path) -> Skeleton | None:
    """The skeleton of kpt_shape, flip_idx and kpt_names; COCO's person where nothing else is said of 17."""
    if keypoints is None:
        return None
    count, order, pairs = keypoints[0], content.get("flip_idx"), None
    if order is not None:
        whole = isinstance(order, list) and all(isinstance(n, str) and n.isdecimal() for n in order)
        pairs = of_flip_order([int(n) for n in order]) if whole and len(order) == count else None
        if pairs is None:
            text = f"expected for each of the {count} key points the one that it becomes in a mirror"
            raise DataError(f"{path}: flip_idx is {reprlib.repr(order)}, {text}")
    names = content.get("kpt_names")
    names = next(iter(names.values()), None) if isinstance(names, dict) else names
    if isinstance(names, list) and len(names) == count:
        return skeleton_of(names, (), pairs)
    if count == len(COCO_PERSON) and pairs in (None, COCO_PERSON.flip_pairs):
        return COCO_PERSON
    return skeleton_of([f"point_{place}" for place in range(1, count + 1)], (), pairs)


def _of_darknet(path: Path) -> DataFile:
    content: dict[str, str] = {}
    with opening(path, "data"):
        for line in text_lines(path):
            key, sign, value = line.partition("#")[0].partition("=")
            if sign:
                content[key.strip().lower()] = value.strip()
    if not content.get("names"):
        got = ", ".join(content) or "nothing"
        raise DataError(f"{path}: expected names = FILE and train or valid = FILE, got {got:.200}")
    file = find_end(content["names"], [path.parent, Path.cwd(), *path.absolute().parents[1:4]])
    if file is None or not file.is_file():
        text = f"names is {content['names']!r}, and no such file is near; it lists the classes, one a line"
        raise DataError(f"{path}: {text}: put it beside {path.name}")
    names = _listed_names(file)
    if (count := content.get("classes", str(len(names)))) != str(len(names)):
        raise DataError(f"{path}: classes is {count!r}, but {file} lists {len(names)}; put one of them right")
    found = {split: next(filter(None, map(content.get, keys)), None) for split, keys in _KEYS.items()}
    return DataFile(path, names, {split: [entry] for split, entry in found.items() if entry}, content=content)


def _listed_names(path: Path) -> tuple[str, ...]:
    """The names of a list, one a line."""
    with opening(path, "data"):
        names = [line.strip() for line in text_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"{path}: empty, expected the names of the classes, one a line")
    if "" in names:
        text = f"line {names.index('') + 1} is empty; the numbers of classes are those of lines, so fill or remove it"
        raise DataError(f"{path}: {text}")
    return _checked(names, path)


def compare_notes(file: DataFile, report: Reports) -> None:
    """Report classes of Label Studio's notes.json that are not those of the file beside it."""
    path = file.path.with_name("notes.json")
    if not path.is_file():
        return
    try:
        content = read_json_text(read_bytes(path).decode("utf-8-sig"))
        entries = content["categories"]
        noted = [str(entry["name"]) for entry in sorted(entries, key=lambda entry: int(entry["id"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if noted and noted != list(file.names):
        text = f"its categories are {', '.join(noted)}, those of {file.path.name} {', '.join(file.names)}"
        report(path, "unknown-class", f"{text}; {file.path.name} is used, put one of them right")


def inside_path(entry: str) -> str | None:
    """Return a path of such a file without the ``../`` that exports begin with; None where it leads elsewhere."""
    text = entry.strip().replace("\\", "/")
    while text.startswith(("./", "../")):
        text = text.partition("/")[2]
    parts = PurePosixPath(text).parts
    return None if ".." in parts or text.startswith("/") or ":" in (*parts, "")[0] else "/".join(parts)


def ends(name: str) -> list[str]:
    """Return the paths that a name ends with, the longest first: of ``C:\\a\\b`` or ``../a/b`` ``a/b``, then ``b``."""
    parts = [part for part in name.strip().replace("\\", "/").split("/") if part not in ("", ".", "..")]
    parts = parts[1:] if parts and parts[0].endswith(":") else parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def find_end(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file or folder of a name in the first folder that has one which ends so, the longest end first."""
    for end in ends(name):
        for folder in folders:
            if (folder / end).exists():
                return folder / end
    return None
