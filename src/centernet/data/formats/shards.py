"""Shards: tars of images and JSON files, on this machine or at an address; see `centernet.annotations.shards`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...annotations.coco import collect_coco, pose_of, whole_number
from ...annotations.keypoints import KEYPOINTS, keypoint_column
from ...annotations.problems import (
    NOTE_KINDS,
    DataError,
    Reports,
    check_option,
    choose_class_names,
    note_read,
)
from ...annotations.shards import (
    INDEX,
    KIND,
    LARGEST_JSON,
    Shard,
    ShardIndex,
    key_of,
    leads_out,
    parse_index,
    parse_sample,
    sample_entries,
)
from ...files import NamedBytes, read_file
from ...images import IMAGE_SUFFIXES, ImageError, LazyImage, open_image
from ...remote import LARGEST, file_system, is_remote, open_there, without_password
from ...skeleton import Skeleton
from ...tars import TarFile, tar_files
from ..columns import Columns
from ..dataset import DetectionDataset
from ..sample import Annotation, Ints, Sample
from .coco import ROUNDING
from .layout import ImageList, rows_asked_for


@dataclass(frozen=True)
class ShardSample:
    """A sample as it stands in a tar, nothing of it decoded.

    `index` is its place in the data set; `name` that of the image, ``train-000000.tar/000017.jpg``; `image` the bytes
    of the file, or why they are not read.
    """

    index: int
    name: str
    image: bytes | str
    json: bytes

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self.image) + len(self.json)


class Shards(DetectionDataset):
    """A data set in tars, for images that outgrow a disk.

    `DataModule` trains on it as a stream: tar after tar, shuffled in a buffer, and no annotation is in memory for
    longer than its image. Who asks for a sample by its index (validation, `centernet check`, other data sets made of
    this one) has the JSON of all samples read once, at the first question, and each image from its place in its tar.

    Args:
        root: folder with the tars and ``index.json``, or its address (``s3://bucket/train``), by fsspec.
        class_names: None takes all categories of the index, in the order of their ids.
        keypoints: read those that a category of the index names. False leaves them out.
        buffer: samples that a stream is shuffled in, for each worker; up to 512 MiB of them.
        strict: the first problem is an error.

    Raises:
        DataError: no index, a tar that is missing or of another size than the index says; later, when a tar is read, a
            damaged one, a sample that is not one image and one JSON file, a name that leads out of the tar.
    """

    not_read = "masks, licences and the ids of annotations"

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        class_names: Sequence[str] | None = None,
        keypoints: bool = True,
        buffer: int = 1000,
        strict: bool = False,
    ) -> None:
        check_option("buffer", buffer >= 1, "at least 1 sample", buffer)
        self.root, self.buffer = os.fspath(root).rstrip("/"), buffer
        self.remote = is_remote(self.root)
        shown = without_password(self.root) if self.remote else self.root
        index = f"{shown}/{INDEX}"
        self.index = parse_index(self._read_index(index), index)
        self._check_sizes(index)
        self._starts = np.cumsum([0, *(shard.samples for shard in self.index.shards)])
        self._skeleton = _skeleton(self.index, index) if keypoints else None
        self._places: list[tuple[int, int, int]] = []  # of each image: its tar, its offset and its bytes there
        categories = self.index.categories
        self._chosen = choose_class_names(class_names, categories, f"{index}: ", "categories of the index")
        report = Reports(strict=strict)
        left = {name: entry.get("instance_count") for name, entry in categories.items() if name not in self._chosen}
        report.left_out(index, {name: count for name, count in left.items() if count})
        super().__init__(
            self._chosen,
            source=shown,
            problems=report.found,
            strict=strict,
            category_ids=[whole_number(categories[name]["id"]) or 0 for name in self._chosen],
            num_identities=0,
            fields=[] if self._skeleton is None else [keypoint_column(self._skeleton)],
        )

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def columns(self) -> Columns:
        if self._columns is None:
            self._columns = self._scan()
        return self._columns

    def image(self, index: int) -> LazyImage:
        return open_image(NamedBytes(str(self.path(index)), self.content(index)))

    def content(self, index: int) -> bytes:
        """Return the file of the image of sample `index`; an ImageError where it is too large."""
        name = self.path(index)
        number, offset, size = self._places[index]
        if size > LARGEST:
            raise ImageError(f"{name}: {_TOO_LARGE}")
        with self._opened(self.index.shards[number]) as file:
            file.seek(offset)
            return file.read(size)

    def samples(self, number: int, start: int = 0, stop: int | None = None) -> Iterator[ShardSample]:
        """Iterate over samples `start` to `stop - 1` of tar number `number`, as they stand there.

        Raises:
            DataError: see the class.
        """
        for index, image, text in self._members(number, start, stop):
            content = image.read() if image.size <= LARGEST else _TOO_LARGE
            yield ShardSample(index, self._name(number, image), content, text.read())

    def sample(self, item: ShardSample) -> Sample:
        """Return a sample of a stream, as `__getitem__` does one by its index."""
        annotation = self._annotation(item)
        return self._with_image(annotation, partial(_open, item, str(annotation.path)))

    def some(self, samples: int) -> Shards:
        """Return a data set of a few tars, spread over all, with that many samples where there are."""
        shards = self.index.shards
        wanted = min(len(shards), max(4, -(-samples * len(shards) // len(self))))
        places = np.unique(np.linspace(0, len(shards) - 1, wanted).round().astype(int)).tolist()
        other = self._copy()
        other.index = ShardIndex(tuple(shards[place] for place in places), self.index.categories)
        other._starts = np.cumsum([0, *(shard.samples for shard in other.index.shards)])
        other._columns, other._places = None, []
        return other

    def most_objects(self) -> int:
        return super().most_objects() if self.index.most_objects is None else self.index.most_objects

    def label_arrays(self) -> tuple[Ints, Ints, Ints]:
        """See `DetectionDataset`; as the index has it, where it says so."""
        found = []
        for key in ("instance_count", "ignore_count", "image_count"):
            counts = [self.index.categories.get(name, {}).get(key, 0) for name in self.class_names]
            found.append(np.array(counts, dtype=np.int64))
        known = all("instance_count" in entry for entry in self.index.categories.values())
        return (found[0], found[1], found[2]) if known and self._columns is None else super().label_arrays()

    def _relabelled(self, new_labels: Ints) -> Columns | None:
        return None if self._columns is None else super()._relabelled(new_labels)

    def _read_index(self, index: str) -> bytes:
        try:
            if not self.remote:
                note_read(index)
                return read_file(index)
            system, path = file_system(self.root)
            data: bytes = system.cat_file(f"{path.rstrip('/')}/{INDEX}")
            return data
        except ImportError:
            raise
        except Exception as error:  # each file system has its own
            text = f"cannot be read ({type(error).__name__}: {error})"
            hint = f"`root` is the folder, or the address, of tars and their {INDEX}, as `centernet convert-data --to "
            raise DataError(f"{index}: {text}; {hint}shards` writes them") from error

    def _check_sizes(self, index: str) -> None:
        """Make sure that all tars are there, and whole by their sizes."""
        shards = self.index.shards
        try:
            if self.remote:
                system, path = file_system(self.root)
                sizes = system.sizes([f"{path.rstrip('/')}/{shard.name}" for shard in shards])
            else:
                paths = [os.path.join(self.root, shard.name) for shard in shards]
                sizes = [os.stat(path).st_size for path in paths]
                for path in paths:
                    note_read(path)
        except Exception as error:  # each file system has its own
            raise DataError(f"{index}: a tar that it names is not there ({error}); copy it again") from error
        for shard, size in zip(shards, sizes, strict=True):
            if None not in (size, shard.size) and size != shard.size:
                text = f"it has {size:,} bytes, and {INDEX} says {shard.size:,}: it is cut off, or another one"
                raise DataError(f"{self._tar(shard)}: {text}; copy or download it again")

    def _tar(self, shard: Shard) -> str:
        return f"{without_password(self.root) if self.remote else self.root}/{shard.name}"

    @contextmanager
    def _opened(self, shard: Shard) -> Iterator[IO[bytes]]:
        """Open a tar. The file system of an address is asked for anew: those of other processes do not work here."""
        system, folder = file_system(self.root) if self.remote else (None, self.root)
        with open_there(system, f"{folder.rstrip('/')}/{shard.name}") as file:
            yield file

    def _members(self, number: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, TarFile, TarFile]]:
        """Iterate over the samples of a tar: place in the data set, image, JSON."""
        shard = self.index.shards[number]
        stop, place = shard.samples if stop is None else stop, 0
        try:
            with self._opened(shard) as file:
                files = self._safe(shard, tar_files(file, "r:"))
                for _, group in groupby(files, lambda member: key_of(member.name)[0]):
                    members = list(group)
                    if stop <= place < shard.samples:
                        return
                    if place == shard.samples:
                        raise DataError(self._count_differs(shard, f"more, the next is {members[0].name}"))
                    if place >= start:
                        yield (int(self._starts[number]) + place, *self._pair(shard, members))
                    place += 1
        except DataError:
            raise
        except ImportError:
            raise
        except Exception as error:  # tarfile and file systems have many
            text = f"cannot be read any further than {place} of its {shard.samples} samples"
            hint = "copy or download it again (a compressed tar has to be unpacked: gunzip)"
            raise DataError(f"{self._tar(shard)}: {text} ({type(error).__name__}: {error}); {hint}") from error
        if place < shard.samples:
            raise DataError(self._count_differs(shard, f"{place}"))

    def _count_differs(self, shard: Shard, found: str) -> str:
        text = f"{INDEX} says that it has {shard.samples} samples, and it has {found}"
        return f"{self._tar(shard)}: {text}; put nsamples right, or copy the tar again"

    def _safe(self, shard: Shard, files: Iterator[TarFile]) -> Iterator[TarFile]:
        """Pass over hidden files, and refuse names that lead out of the tar."""
        for file in files:
            if leads_out(file.name):
                text = f"its member {file.name!r:.200} leads out of it; expected names such as 000017.jpg"
                raise DataError(f"{self._tar(shard)}: {text}. Write it anew")
            if not file.name.rpartition("/")[2].startswith("."):
                yield file

    def _pair(self, shard: Shard, members: Sequence[TarFile]) -> tuple[TarFile, TarFile]:
        """Return image and JSON of a sample; any other member of it is never read."""
        images = [file for file in members if f".{key_of(file.name)[1]}" in IMAGE_SUFFIXES]
        texts = [file for file in members if key_of(file.name)[1] == "json"]
        if len(images) != 1 or len(texts) != 1 or texts[0].size > LARGEST_JSON:
            names = ", ".join(file.name for file in members[:5])
            key = key_of(members[0].name)[0]
            text = f"the sample {key} has {len(images)} images and {len(texts)} JSON files ({names})"
            text = text if len(images) != 1 or len(texts) != 1 else f"{texts[0].name} has {texts[0].size:,} bytes"
            hint = f"expected {key}.jpg (or .png …) and {key}.json, one after the other"
            raise DataError(f"{self._tar(shard)}: {text}; {hint}. Write it anew, sorted by name")
        return images[0], texts[0]

    def _name(self, number: int, image: TarFile) -> str:
        return f"{self.index.shards[number].name}/{image.name.removeprefix('./')}"

    def _annotation(self, item: ShardSample) -> Annotation:
        """Read the JSON of a sample; its problems are noted."""
        where = f"{without_password(self.root) if self.remote else self.root}/{item.name}"
        image, annotations = parse_sample(item.json, f"{where} (its JSON)")
        report = Reports(strict=self.strict)
        listed = ImageList(Path() if self.remote else Path(self.root), report)
        listed.add(item.name, (image["height"], image["width"]))
        rows, file, path = None, None, Path(where) if not self.remote else where
        if annotations:
            entries = sample_entries(image, annotations, item.name, self.index.categories)
            file = collect_coco(entries, Path(path), report, keypoints=self._skeleton is not None)
            rows = rows_asked_for(file.rows, tuple(file.categories), self._chosen, Path(path), report)
            if self._skeleton is not None:
                none = np.zeros((len(rows), len(self._skeleton), 3), np.float32)
                known = file.skeleton is not None and file.skeleton.names == self._skeleton.names
                rows = replace(rows, data={KEYPOINTS: rows.data[KEYPOINTS] if known else none})
        number = whole_number(image.get("image_id"))
        own = [item.index if number is None else number]

        def place(row: int) -> tuple[Path, str]:
            return Path(path), "" if file is None or rows is None else file.where(int(rows.places[row]))

        unreadable = None if file is None else file.unreadable
        columns = listed.columns(rows, place, image_ids=own, unreadable=unreadable, rounding=ROUNDING)
        if rows is None and self._skeleton is not None:
            columns = replace(columns, data={KEYPOINTS: np.zeros((0, len(self._skeleton), 3), np.float32)})
        if self.class_names != self._chosen:
            columns = columns.relabelled(np.array([self.class_names.index(name) for name in self._chosen]))
        for problem in report.found:
            if problem.kind not in NOTE_KINDS:  # what was left out by choice is said by the index
                self.problems.add(problem)
        return columns.annotation(0)

    def _scan(self) -> Columns:
        """Read the JSON of all samples."""
        parts: list[Columns] = []
        self._places = []
        for number in range(len(self.index.shards)):
            annotations = []
            for index, image, text in self._members(number):
                item = ShardSample(index, self._name(number, image), b"", text.read())
                annotations.append(self._annotation(item))
                self._places.append((number, image.offset, image.size))
            parts.append(Columns.of(annotations, self.fields))
        columns = Columns.joined(parts)
        if len(np.unique(columns.image_ids)) < len(columns):
            columns = replace(columns, image_ids=np.arange(len(columns)))
        return columns


_TOO_LARGE = f"larger than {LARGEST // 10**6} MB"


def _open(item: ShardSample, name: str) -> LazyImage:
    if isinstance(item.image, str):
        raise ImageError(f"{name}: {item.image}")
    return open_image(NamedBytes(name, item.image))


def _skeleton(index: ShardIndex, path: str) -> Skeleton | None:
    """Return the keypoints that the categories name, all the same."""
    posed = {name: entry for name, entry in index.categories.items() if entry.get("keypoints")}
    if not posed:
        return None
    kinds = {tuple(map(str, entry["keypoints"])) for entry in posed.values()}
    if len(kinds) > 1:
        text = f"categories {', '.join(list(posed)[:5])} name different keypoints, expected the same for all"
        raise DataError(f"{path}: {text}; set keypoints to false, or put those of one class alone into shards")
    return pose_of(next(iter(posed.values())))


def find_shards(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the split of a folder of shards, or of its index; see `centernet.data.detect_format`."""
    index = path if path.name == INDEX else path / INDEX
    if not index.is_file() or KIND.encode() not in read_file(index):
        return ""
    return {"train": {"root": index.parent}}
