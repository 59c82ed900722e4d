"""ZIP archives that others may have written: looked at before anything is unpacked."""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from centernet.text import shown

ADVICE = "if you trust the file, allow it: --trust (trust=True in Python)"

LARGEST_RATIO = 200
"""Times by which the content of an archive may be larger than the archive."""


class UntrustedFileError(ValueError):
    """A model file would run code of its own, or leads out of its folder. The message says how to allow it."""


def check_archive(path: Path) -> None:
    """Raise a ValueError where a ZIP archive is none that torch writes: names that lead elsewhere or stand twice, sizes
    that are not those of the entries, and content that grows beyond measure when it is unpacked."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            _check_list(path, file, size)
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            wrong = [n for n in names if n.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", n) or ":" in n[:2]]
            if wrong:
                raise UntrustedFileError(f"{path}: an entry of it leads out of the archive: {shown(wrong[0])}")
            if len(set(names)) < len(names):
                raise UntrustedFileError(f"{path}: two entries of it have one name; the file was tampered with")
            if sum(entry.compress_size for entry in entries) > size:
                raise UntrustedFileError(f"{path}: its entries overlap; the file was tampered with")
            if sum(entry.file_size for entry in entries) > LARGEST_RATIO * size + (1 << 20):
                raise UntrustedFileError(f"{path}: unpacked it would have more than {LARGEST_RATIO} times its size")
            for entry in entries:
                _check_entry(path, file, entry)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: is no whole ZIP archive ({error}); copy or download it again") from error


def _check_list(path: Path, file: BinaryIO, size: int) -> None:
    """Make sure that all programs find one and the same list of entries: the last thing in the file."""
    end = size - 22
    file.seek(end)
    last = file.read(22)
    listed, begin = struct.unpack_from("<II", last, 12) if last[:4] == b"PK\5\6" and not any(last[20:]) else (0, -1)
    file.seek(max(0, end - 76))
    large = file.read(76)
    if large[56:60] == b"PK\6\7":
        right = large[:4] == b"PK\6\6" and struct.unpack_from("<Q", large, 64)[0] == end - 76
        listed, begin = struct.unpack_from("<QQ", large, 40) if right else (0, -1)
        end -= 76
    if begin + listed != end:
        raise UntrustedFileError(f"{path}: its list of entries is not its end, so that programs may find others")


def _check_entry(path: Path, file: BinaryIO, entry: zipfile.ZipInfo) -> None:
    """Compare the size at an entry's place with that of the archive's list."""
    file.seek(entry.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\3\4":
        raise UntrustedFileError(f"{path}: its entry {shown(entry.filename)} is not where the list says")
    flags, method = struct.unpack_from("<HH", head, 6)
    packed, unpacked = struct.unpack_from("<II", head, 18)
    stated = (entry.compress_size, entry.file_size)
    large = 0xFFFFFFFF in (packed, unpacked)  # written behind the name
    if (not flags & 8 and not large and (packed, unpacked) != stated) or (method == 0 and stated[0] != stated[1]):
        raise UntrustedFileError(f"{path}: its entry {shown(entry.filename)} lies about its size")
