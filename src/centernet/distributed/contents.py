"""The images of a shard, from wherever they are, as a `Source` for the detector.

Nothing is unpacked to the disk, no name of an archive leads anywhere, and each image goes through the same doors as the
files that `centernet detect` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from centernet.distributed.plan import Shard
from centernet.extras import require
from centernet.files import NamedBytes
from centernet.images import IMAGE_SUFFIXES, ImageError
from centernet.inference.sources import Source, SourceError
from centernet.remote import LARGEST, file_system, is_remote, open_there
from centernet.tars import tar_files

_ROWS = 16  # of a Parquet file, that are in memory together


class Contents:
    """The images of a shard, and their names.

    Attributes:
        source: for `Detector.stream`. One that breaks off, such as a tar that was cut, ends with a SourceError.
        names: of the images that were taken from the source until now, by their places in it: paths and addresses; of
            an archive's images its own, a slash, and the name or the number there.
    """

    def __init__(self, shard: Shard, sources: Sequence[str]) -> None:
        source = sources[shard.source]
        self._system = file_system(source)[0] if is_remote(source) else None
        self.names: list[str] = []
        self.source = self._files(shard) if shard.kind == "files" else self._archive(shard)

    def name_of(self, path: str) -> str:
        """Return the address of a path of the source's file system; a path here is its own."""
        return path if self._system is None else str(self._system.unstrip_protocol(path))

    def _files(self, shard: Shard) -> Source:
        self.names = list(map(self.name_of, shard.paths))
        if self._system is None:
            folder = Path(Path(shard.paths[0]).anchor)  # of an animation in a folder the first image counts
            return Source("folder", list(map(Path, shard.paths)), folder)
        return Source("list", [_Fetched(n, self._system, p) for n, p in zip(self.names, shard.paths, strict=True)])

    def _archive(self, shard: Shard) -> Source:
        return Source("generator", (), iterator=self._members(shard))

    def _members(self, shard: Shard) -> Iterator[NamedBytes]:
        (path,) = shard.paths
        archive = self.name_of(path)
        try:
            with open_there(self._system, path) as file:
                found = _of_tar(file) if shard.kind == "tar" else _of_parquet(file, shard.row_groups)
                for name, item in found:
                    self.names.append(f"{archive}/{name}")
                    yield NamedBytes(self.names[-1], item) if isinstance(item, bytes) else _Failed(self.names[-1], item)
        except SourceError as error:
            raise SourceError(f"{archive}: {error}") from error
        except Exception as error:  # tarfile, pyarrow and file systems have many
            text = f"cannot be read any further than {len(self.names)} images ({type(error).__name__}: {error})"
            raise SourceError(f"{archive}: {text}; copy or download it again") from error


class _Fetched(NamedBytes):
    """A file of another file system, which is read when its bytes are asked for: in the thread that decodes it."""

    def __init__(self, name: str, system: Any, path: str) -> None:
        super().__init__(name, b"")
        self._system, self._path = system, path

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            with self._system.open(self._path, "rb", block_size=1 << 22) as file:
                data: bytes = file.read(LARGEST + 1)
        except Exception as error:  # each file system has its own
            raise ImageError(
                f"cannot be fetched ({type(error).__name__}: {error}); check address and rights"
            ) from error
        if len(data) > LARGEST:
            raise ImageError(f"larger than {LARGEST // 10**6} MB; save the file here, and give its path")
        return data


class _Failed(NamedBytes):
    """An image of an archive that is not there."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, b"")
        self._why = why

    def read(self, size: int | None = -1, /) -> bytes:
        raise ImageError(self._why)


def _of_tar(file: IO[bytes]) -> Iterator[tuple[str, bytes | str]]:
    """Iterate over names and contents of the images in a tar, in its order; a text in the place of one is why not."""
    for member in tar_files(file):
        name = member.name.rpartition("/")[2]
        if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
            yield member.name, f"larger than {LARGEST // 10**6} MB" if member.size > LARGEST else member.read()


def _of_parquet(file: IO[bytes], row_groups: Sequence[int]) -> Iterator[tuple[str, bytes | str]]:
    """Iterate over numbers of the rows, or the paths that stand beside their bytes, and the images."""
    pyarrow = require("pyarrow", "reading Parquet files")
    opened = require("pyarrow.parquet", "reading Parquet files").ParquetFile(file)
    column = _image_column(opened.schema_arrow, pyarrow)
    counts = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
    starts = [0, *accumulate(counts)]
    for group in row_groups or range(len(counts)):
        number = starts[group]
        for batch in opened.iter_batches(_ROWS, row_groups=[group], columns=[column]):
            for value in batch.column(0).to_pylist():
                content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
                yield f"{number}" + (f"/{path}" if path else ""), content or "the row has no image"
                number += 1


def _image_column(schema: Any, pyarrow: Any) -> str:
    """Return the column with the bytes of images: the only one of bytes, or the one named image."""
    binary = (pyarrow.types.is_binary, pyarrow.types.is_large_binary)

    def holds_bytes(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):  # as the `datasets` of Hugging Face write images, with their paths
            place = kind.get_field_index("bytes")
            return place >= 0 and holds_bytes(kind.field(place).type)
        return any(is_kind(kind) for is_kind in binary)

    names: list[str] = [field.name for field in schema if holds_bytes(field.type)]
    if len(names) > 1 and "image" in names:
        return "image"
    if len(names) != 1:
        some = f"its columns of bytes are {', '.join(names)}" if names else f"its columns are {', '.join(schema.names)}"
        raise SourceError(f"expected one column with the bytes of images, or one named image; {some}")
    return names[0]
