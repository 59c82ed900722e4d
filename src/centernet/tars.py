"""The files in a tar that others may have written, read where they lie: nothing is unpacked."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing_extensions import Self

_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LONGEST = 1 << 20  # bytes of a name, or of the further fields of a member


class TarFile:
    """A file in a tar.

    Attributes:
        name: as the tar has it, which may be any text.
        size: bytes.
        offset: of its first byte in the tar, where that is not compressed.
    """

    def __init__(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._archive, self._member = archive, member
        self.name, self.size, self.offset = member.name, member.size, member.offset_data

    def read(self) -> bytes:
        """Return its content; of a stream, before the next file is asked for."""
        content = self._archive.extractfile(self._member)
        return b"" if content is None else content.read()


def tar_files(file: IO[bytes], mode: Literal["r|*", "r:"] = "r|*") -> Iterator[TarFile]:
    """Iterate over the regular files of a tar in its order; links, devices and folders are passed over.

    Args:
        file: an open tar.
        mode: ``r|*`` reads a stream, compressed or not; ``r:`` a tar that is not compressed, and seeks over what nobody
            reads.

    Raises:
        tarfile.ReadError, EOFError, zlib.error …: no tar, or one that is cut off or damaged.
    """
    archive: Any
    stream: Any = _Ending(file) if mode == "r|*" else file
    archive = tarfile.TarFile.open(fileobj=stream, mode=mode, tarinfo=_Member)
    for member in archive:
        archive.members.clear()  # tarfile keeps them all
        if member.isreg():
            yield TarFile(archive, member)


class _Member(tarfile.TarInfo):
    """A member of a tar. A damaged header is an error, where tarfile takes it for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not buf.strip(b"\0"):  # the end
                raise
            raise tarfile.ReadError(f"a damaged header, {error}") from error
        if member.type in _EXTENSIONS and member.size > _LONGEST:  # tarfile reads them as a whole
            raise tarfile.ReadError(f"a name or fields of {member.size} bytes")
        return member


class _Ending:
    """A file that is an error to be read on and on behind its end, as tarfile does to pass over a member that states a
    size beyond it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, 8

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._left -= not data
        if self._left < 0:
            raise tarfile.ReadError("unexpected end of data")
        return data
