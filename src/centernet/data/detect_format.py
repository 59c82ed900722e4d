"""Finding out which format the data in a folder have, and which splits there are.

A format is a row of `FORMATS`: its name, the class that reads it, and a function from a folder (or file) to the
arguments of that class for each split, or to the reason why it isn't this format. The first row that fits is taken.
Where none fits a folder, the folders in it are tried.
"""

from __future__ import annotations

import inspect
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml

from ..annotations.content import judge
from ..annotations.json_stream import opened_plain
from ..annotations.problems import DataError, DataWarning, FilesRead, noting_files, with_nearest
from ..annotations.text import text_lines
from ..configuration import plain
from ..images import walk_images
from . import (
    COCO,
    CSV,
    CVAT,
    KITTI,
    MOT,
    MPII,
    VOC,
    YOLO,
    CrowdHuman,
    Datumaro,
    ImageFolder,
    KITTITracking,
    LabelMe,
    LabelStudio,
    OpenImages,
    SafetyHelmet,
    Shards,
    WIDERFace,
)
from .dataset import DetectionDataset
from .formats.csv_boxes import CLASS_LISTS, find_csv
from .formats.cvat import find_cvat
from .formats.datumaro import find_datumaro
from .formats.kitti import find_kitti, find_root
from .formats.label_studio import find_label_studio
from .formats.labelme import find_labelme
from .formats.layout import SPLIT_WORDS
from .formats.mpii import find_mpii
from .formats.open_images import find_open_images
from .formats.shards import find_shards
from .formats.voc_folders import find_voc
from .formats.wider_face import find_wider_face
from .formats.yolo_layout import find_yolo
from .unread import Unread, explain_unread, find_unread, nearest_formats

Splits: TypeAlias = dict[str, dict[str, Any]]
"""Name of a split, as the files have it → arguments of the reader."""


class Format(NamedTuple):
    """A row of the table.

    `recognise` is called with a folder or a file. It returns the splits, by the names that the data give them
    (`find_format` makes ``train``, ``val`` and ``test`` of ``instances_train2017`` and the like), or a text: why the
    data are not of this format although they come near, or ``""`` where they are nothing like it.
    """

    name: str  # by which a person chooses it
    title: str  # for reports
    reader: type[DetectionDataset]
    recognise: Callable[[Path], Splits | str]
    layout: str  # by what it is recognised, for people
    companions: Sequence[str] = ()  # files beside it that hold boxes nobody asks for: patterns, see `find_unread`
    lists: Sequence[str] = ()  # patterns of lists without which boxes have no class
    left_out: Callable[[Path], Iterator[Path]] = lambda path: iter(())  # files that the data themselves leave out


@dataclass
class Source:
    """The data of a folder or file, and how they are read."""

    path: Path  # as given
    format: Format
    splits: Splits
    folder: Path = Path()  # or file, in which it was found
    also: list[str] = field(default_factory=list)  # titles of other formats that fit
    options: dict[str, Any] = field(default_factory=dict)  # further arguments for all splits
    chosen: bool = False  # the format or the splits were named, not found out
    notes: list[str] = field(default_factory=list)  # for people: how it was found
    refusals: dict[str, str] = field(default_factory=dict)  # by the titles of other formats: why it is none of them
    others: list[tuple[Format, Splits]] = field(default_factory=list)  # that fit as well
    read: FilesRead = field(default_factory=FilesRead)  # by `open`

    @property
    def description(self) -> str:
        """The format, and how it was found, in a line."""
        also = f"it looks like {', '.join(self.also)} too (--format chooses)" if self.also else ""
        return "; ".join(filter(None, [self.format.title, *self.notes, also]))

    def arguments(self, split: str) -> dict[str, Any]:
        """Return what the reader is called with; raise a DataError for an option that it doesn't have."""
        known = inspect.signature(self.format.reader).parameters
        for name in self.options:
            if name not in known or (name == "root" and name in self.splits[split]):
                has = [option for option in ("root", "images", "class_names") if option in known]
                others = f" (it has {', '.join(has)})" if has else ""
                hint = f"; give the folder itself in place of {self.path}" if name == "root" and name in known else ""
                raise DataError(f"{self.format.title} has no option {name}{hint or others}")
        return {**self.splits[split], **self.options}

    def open(self, split: str) -> DetectionDataset:
        """Return the data set of a split; what is wrong with it is in its `problems`, without a warning."""
        with warnings.catch_warnings(), noting_files(self.read):
            warnings.simplefilter("ignore", DataWarning)
            return self.format.reader(**self.arguments(split))

    def unread(self, datasets: Sequence[DetectionDataset] = ()) -> Unread:
        """Find files of the folder that look like annotations and that `open` did not read; none where it is a file.

        Files of another format about the images of `datasets` alone are a second version of them, and no loss.
        """
        if not self.path.is_dir():
            return Unread()
        for dataset in datasets:
            for problem in dataset.problems:  # has said what became of it
                self.read.add(problem.path)
        for file in self.format.left_out(self.folder):
            self.read.add(file)
        unread = find_unread(self.path, self.read, self.format.companions, self.format.lists)
        for format, splits in self.others if unread.annotations else ():
            second = Source(self.path, format, splits, self.folder)
            if _holds_all(datasets, second):
                self.read.update(second.read)
                patterns = (*self.format.companions, *format.companions)
                unread = find_unread(self.path, self.read, patterns, self.format.lists)
        return unread

    def check_unread(self, datasets: Sequence[DetectionDataset]) -> list[str]:
        """Return lines on files beside the data that were not read.

        Raises:
            DataError: some look like annotations, and nobody said that it is this format.
        """
        unread = self.unread(datasets)
        if unread.annotations and not self.chosen:
            raise DataError(explain_unread(self.path, self.format.title, unread, self.refusals))
        return [*(f"left out: {group}" for group in unread.annotations), *unread.notes()]

    def section(self, split: str) -> dict[str, Any]:
        """Return the data set of a split as a configuration names it: `class_path` and `init_args`."""
        arguments = plain(self.arguments(split))
        arguments.pop("require_images", None)
        return {"class_path": self.format.reader.__name__, "init_args": arguments}

    def configuration(self) -> str:
        """Return the `data` section of a configuration that trains on it, as YAML; empty without a training split."""
        sections = {split: self.section(split) for split in self.splits if split in ("train", "val", "test")}
        if "train" not in sections:
            return ""
        return yaml.safe_dump({"data": sections}, sort_keys=False, allow_unicode=True, width=100)


def _holds_all(datasets: Sequence[DetectionDataset], other: Source) -> bool:
    """Return True if every image of another data set is in one of these, and they have at least as many boxes."""
    images = FilesRead()
    for dataset in datasets:
        for index in range(len(dataset)):
            images.add(dataset.path(index))
    try:
        opened = [other.open(split) for split in other.splits]
    except (DataError, OSError):
        return False
    boxes = [sum(len(dataset.columns.labels) for dataset in group) for group in (datasets, opened)]
    inside = all(dataset.path(index) in images for dataset in opened for index in range(len(dataset)))
    return inside and boxes[0] >= boxes[1]


def find_format(
    path: Path,
    *,
    name: str | None = None,
    root: Path | None = None,
    images: Path | None = None,
    splits: Mapping[str, str] | None = None,
) -> Source:
    """Find out what the data in a folder, or in a file that is a data set (COCO's JSON), are.

    Args:
        path: the folder or file.
        name: of the format; None takes the first that fits, in the folder or else in one inside it.
        root: the folder that names in the files are relative to, where the format has such an option.
        images: the folder of the images, where the format has such an option.
        splits: by the name of a split, a split as the data name it, or a file or folder of the format; None takes all.

    Raises:
        DataError: no such folder, or nothing in it that is known; it names what was looked for, and files that look
            like annotations.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    for folder in filter(None, (root, images)):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    names = [format.name for format in FORMATS]
    by_datumaro = name is not None and name.startswith("datumaro:")
    if name is not None and name not in names and not by_datumaro:
        known = f"expected one of {', '.join(names)}, or datumaro:NAME with a format that datumaro reads"
        raise DataError(f"format {with_nearest([name], names)} is not known; {known}")
    source = _by_datumaro(path, name) if name and by_datumaro else _look(path, name) or _look_inside(path, name)
    if source is None:
        raise DataError(_nothing_found(path, name))
    given = {"root": root, "images": images}
    source.options |= {option: value for option, value in given.items() if value is not None}
    if splits:
        source.chosen = True
        source.splits = {split: _chosen_split(source, split, value) for split, value in splits.items()}
    else:
        source.splits = name_splits(source.splits)
    return source


def _by_datumaro(path: Path, name: str) -> Source:
    """Return what datumaro reads as one of its formats: of the name behind ``datumaro:``."""
    own = name.partition(":")[2]
    format = Format(name, f"{own} (by datumaro)", Datumaro, lambda path: find_datumaro(path, own), f"datumaro's {own}")
    return Source(path, format, find_datumaro(path, own), path, chosen=True)


def _look(path: Path, name: str | None) -> Source | None:
    """Return the format of a folder or file itself; images alone are one where no file looks like annotations."""
    answers = [(format, format.recognise(path)) for format in FORMATS]
    fitting = [(format, answer) for format, answer in answers if answer and not isinstance(answer, str)]
    chosen = [entry for entry in fitting if name in (None, entry[0].name)]
    if not chosen:
        return None
    (format, splits), *_ = chosen
    if format.reader is ImageFolder and name is None and find_unread(path, FilesRead(), most=1).suspicious:
        return None
    others = [entry for entry in fitting if entry[0] is not format and entry[0].reader is not ImageFolder]
    refusals = {format.title: answer for format, answer in answers if isinstance(answer, str) and answer}
    also = [other.title for other, _ in others]
    return Source(path, format, splits, path, also, chosen=name is not None, refusals=refusals, others=others)


_LEVELS, _FOLDERS = 4, 500


def _look_inside(path: Path, name: str | None) -> Source | None:
    """Return the data set in a folder of the folder, or those of its splits; several are an error that names them."""
    for level in _inner_folders(path):
        found = {folder: source for folder in level if (source := _look_for_data(folder, name)) is not None}
        if found:
            break
    else:
        return None
    inside = {folder: folder.relative_to(path).as_posix() for folder in found}
    source = next(iter(found.values()))
    if len(found) > 1:
        roles = {folder: _role(folder.name) for folder in found}
        formats = {other.format.name for other in found.values()}
        distinct = len(set(roles.values())) == len(found) and set(roles.values()) <= set(SPLIT_WORDS)
        if len(formats) > 1 or not distinct or any(len(other.splits) > 1 for other in found.values()):
            texts = "; ".join(f"{inside[folder]} ({other.format.title})" for folder, other in found.items())
            raise DataError(f"{path}: it holds several data sets, give one of them: {texts}")
        source.splits = {roles[folder]: next(iter(other.splits.values())) for folder, other in found.items()}
        source.folder = path
    source.notes.append(f"found in {', '.join(inside.values())}")
    source.path = path
    return source


def _look_for_data(folder: Path, name: str | None) -> Source | None:
    source = _look(folder, name)
    return source if source is not None and (source.format.reader is not ImageFolder or name is not None) else None


def _inner_folders(path: Path) -> Iterator[list[Path]]:
    """The folders in a folder, level by level, but not for ever; hidden ones are left out, links are followed."""
    level, seen, total = [path], {path.resolve()}, 0
    for _ in range(_LEVELS if path.is_dir() else 0):
        inner = []
        for folder in level:
            for entry in sorted(folder.iterdir()):
                if not entry.name.startswith(".") and entry.is_dir() and (real := entry.resolve()) not in seen:
                    seen.add(real)
                    inner.append(entry)
        total += len(inner)
        if not inner or total > _FOLDERS:
            return
        yield inner
        level = inner


def _nothing_found(path: Path, name: str | None) -> str:
    """Return the message that nothing is recognised, with files that look like annotations and the nearest formats."""
    fitting, refusals = list[str](), dict[str, str]()
    for folder in [path, *(inner for level in _inner_folders(path) for inner in level)]:
        where = "" if folder == path else f"{folder.relative_to(path).as_posix()}: "
        for format in FORMATS:
            answer = format.recognise(folder)
            if isinstance(answer, str):
                refusals |= {format.title: where + answer} if answer and format.title not in refusals else {}
            elif answer and format.reader is not ImageFolder:
                fitting += [format.title] if format.title not in fitting else []
    lines = [f"{path}: " + (f"not in the format {name}." if name else "no data set in a known format.")]
    if name is not None and fitting:
        lines[0] += f" It looks like {', '.join(fitting)}."
    left_over = find_unread(path, FilesRead(), most=9).suspicious if path.is_dir() else [judge(path).what]
    if left_over:
        lines.append("What looks like annotations:" if path.is_dir() else "By its content it is:")
        lines += [f"  {group}" for group in left_over[:8]]
        lines += ["  and more in further folders"] if len(left_over) > 8 else []
    if refusals:
        lines.append(nearest_formats(refusals))
    looked_for = [f"  {format.title}: {format.layout}" for format in FORMATS if name in (None, format.name)]
    return "\n".join([*lines, "What is looked for:", *looked_for])


def _chosen_split(source: Source, split: str, value: str) -> dict[str, Any]:
    """Return the arguments for a split that was named: by its name in the data, a file, a folder, or a list."""
    for known in (source.splits, name_splits(source.splits)):
        if value in known:
            return known[value]
    example = next(iter(source.splits.values()))
    folder = source.folder if source.folder.is_dir() else source.folder.parent
    for path in (folder / value, source.path / value, Path(value)):
        if not path.exists():
            continue
        found = source.format.recognise(path)
        if not isinstance(found, str) and found:
            named = name_splits(found)
            if len(named) > 1 and split not in named:
                raise DataError(f"{path}: it has the splits {', '.join(named)}; name one of its files for {split}")
            return named[split] if split in named else next(iter(named.values()))
        if path.is_file() and "annotations" in example and "split" not in example:
            return {**example, "annotations": path}
        if path.is_dir() and "root" in example and "split" not in example:
            return {**example, "root": path}
    if "split" in example:
        return {**example, "split": value}  # the reader says which there are
    known = name_splits(source.splits) | source.splits
    raise DataError(
        f"{source.path}: no split {with_nearest([value], list(known))}, and no such file or folder of "
        f"{source.format.title} there; the splits are {', '.join(known)}"
    )


def _voc_left_out(path: Path) -> Iterator[Path]:
    """The XML files that lists of other tasks than detection name, as VOC2012 has them for segmentation, and a list of
    colours for classes."""
    for root in (path, path / "VOC2028"):
        yield root / "labelmap.txt"
        for file in root.glob("ImageSets/*/*.txt"):
            for line in text_lines(file) if file.parent.name != "Main" else ():
                if line.strip():
                    yield root / "Annotations" / f"{line.split()[0]}.xml"


def _helmet(path: Path) -> Splits | str:
    found = find_voc(path if path.name == "VOC2028" else path / "VOC2028")
    if isinstance(found, str):
        return found
    return {name: {"root": path, "split": value["split"]} for name, value in found.items()}


def _coco(path: Path) -> Splits | str:
    def is_json(name: str) -> bool:
        return name.lower().endswith((".json", ".json.gz"))

    if path.is_file():
        return {_stem(path): {"annotations": path}} if is_json(path.name) and _is_coco(path) else ""
    folders = [path, path / "annotations", *(path / name for name in ("train", "valid", "val", "test"))]
    inside = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
    files = [file for file in inside if is_json(file.name) and _is_coco(file)]
    for other in ("keypoints", "stuff", "panoptic", "image_info"):  # beside COCO's instances: the same images again
        files = [file for file in files if other not in file.stem] or files
    found: Splits = {}
    for file in files:
        folder = file.parent.name
        found[folder if folder in ("train", "valid", "val", "test") else _stem(file)] = {"annotations": file}
    return found or ""


def _stem(path: Path) -> str:
    """The name of a file without ``.json`` or ``.json.gz``."""
    return re.sub(r"\.json(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _mot(path: Path) -> Splits | str:
    def has_sequences(folder: Path) -> bool:
        return any((folder / "gt").glob("gt.txt")) or any(folder.glob("*/gt/gt.txt"))

    if has_sequences(path):
        return {"train": {"root": path}}
    return {name: {"root": path / name} for name in ("train", "val", "test") if has_sequences(path / name)} or ""


def _kitti(path: Path) -> Splits | str:
    return {"train": {"root": path}} if find_root(path) else ""


def _crowdhuman(path: Path) -> Splits | str:
    files = [path] if path.suffix == ".odgt" else [*sorted(path.glob("*.odgt")), *sorted(path.glob("*/*.odgt"))]
    return {file.stem: {"annotations": file} for file in files} or ""


def _images(path: Path) -> Splits | str:
    direct = path.is_dir() and any(walk_images(path, depth=0))
    return {"train": {"root": path, "recursive": not direct}} if direct or any(walk_images(path)) else ""


# fmt: off
FORMATS: Sequence[Format] = (
    Format(
        "helmet", "Safety-Helmet-Wearing-Dataset", SafetyHelmet, _helmet, "the folder VOC2028", left_out=_voc_left_out,
    ),
    Format(
        "voc", "Pascal VOC", VOC, find_voc, "the folders Annotations and JPEGImages, or XML files in any",
        ("*/imagesets/*", "*/segmentationclass", "*/segmentationobject"), left_out=_voc_left_out,
    ),
    Format(
        "coco", "COCO", COCO, _coco, "*.json with images, annotations, categories (also in annotations, train …)",
        ("captions*.json", "person_keypoints*.json", "stuff_*.json", "panoptic_*.json", "image_info_*.json"),
    ),
    Format("yolo", "YOLO", YOLO, find_yolo, "data.yaml with names, obj.data, or classes.txt beside labels"),
    Format(
        "mot", "MOTChallenge", MOT, _mot, "<sequence>/gt/gt.txt (also in train …)",
        ("*/det/*.txt", "*/gt/gt_*_half.txt", "*/labels_with_ids/*", "*/img1"), ("*labels*.txt*", "*/gt/*"),
    ),
    Format(
        "kitti", "KITTI tracking", KITTITracking, _kitti, "the folders label_02 and image_02",
        ("*/calib/*.txt", "*/oxts/*.txt", "*/det_02/*.txt", "*/calib_02/*.txt"),
    ),
    Format(
        "kitti-detection", "KITTI detection", KITTI, find_kitti, "the folders label_2 and image_2 (also in training …)",
        ("*/calib/*.txt", "*/instance", "*/semantic", "*/semantic_rgb"),
    ),
    Format("crowdhuman", "CrowdHuman", CrowdHuman, _crowdhuman, "*.odgt"),
    Format("cvat", "CVAT", CVAT, find_cvat, "annotations.xml with <annotations>"),
    Format("labelme", "LabelMe", LabelMe, find_labelme, "*.json with imagePath and shapes"),
    Format(
        "label-studio", "Label Studio", LabelStudio, find_label_studio, "*.json: a list of tasks with annotations",
    ),
    Format(
        "mpii", "MPII Human Pose", MPII, find_mpii, "a JSON list of people with joints and joints_vis (also in annot)",
    ),
    Format(
        "wider-face", "WIDER FACE", WIDERFace, find_wider_face, "wider_face_split/wider_face_train_bbx_gt.txt",
        ("*_filelist.txt",),
    ),
    Format(
        "open-images", "Open Images", OpenImages, find_open_images, "*-annotations-bbox.csv with ImageID and LabelName",
        ("*segmentation*.csv", "*imagelabels*.csv", "*relationship*.csv", "*classification*.csv", "*point*.csv"),
    ),
    Format(
        "csv", "CSV of boxes", CSV, find_csv, "*.csv with path,x1,y1,x2,y2,class or a header (also in train …)",
        CLASS_LISTS,
    ),
    Format("shards", "shards (WebDataset)", Shards, find_shards, "index.json beside tars"),
    Format("images", "images without annotations", ImageFolder, _images, "images"),
)
# fmt: on


def _role(name: str) -> str:
    """``train``, ``val`` or ``test`` where the name of a file or list says so, else the name itself."""
    words = "".join(c if c.isalpha() else " " for c in name.lower()).split()
    roles = [role for role, known in SPLIT_WORDS.items() if not known.isdisjoint(words)]
    return next(iter(roles), "train" if words in (["trainval"], ["annotations"], ["instances"]) else name)


def name_splits(found: Splits) -> Splits:
    """Return splits by their roles, training first; of two with one role the second keeps its own name.

    A single one is to train on, unless its name says something else.
    """
    splits: Splits = {}
    for name in sorted(found):
        role = _role(name)
        role = "train" if len(found) == 1 and role not in SPLIT_WORDS else role
        splits[name if role in splits else role] = found[name]
    order = [*SPLIT_WORDS, *sorted(splits)]
    return {name: splits[name] for name in sorted(splits, key=order.index)}


def _is_coco(path: Path) -> bool:
    """True if a JSON file holds the names of COCO's three lists. It is scanned, not parsed: it may be large."""
    wanted = {b'"images"', b'"annotations"', b'"categories"'}
    rest = b""
    try:
        with opened_plain(path) as file:
            while wanted and (block := file.read(1 << 22)):
                wanted = {key for key in wanted if key not in rest + block}
                rest = block[-16:]
    except (OSError, EOFError, zlib.error):
        return False
    return not wanted
