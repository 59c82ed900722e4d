"""Files of the models that come with the package: they are what was published, or they are not used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from centernet.configuration import PACKAGED

SUMS = PACKAGED / "SHA256SUMS"
"""The hashes of the files, as `sha256sum */*` in that folder prints them."""


def check_packaged(path: Path) -> None:
    """Raise a ValueError where a file of a model of the package is not the one that was published; others pass."""
    if not path.is_relative_to(PACKAGED):
        return
    lines = SUMS.read_text(encoding="utf-8").splitlines()
    known = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    if known.get(path.relative_to(PACKAGED).as_posix()) != hashlib.sha256(path.read_bytes()).hexdigest():
        text = "is not the file that was published with the package, but damaged or another"
        raise ValueError(f"{path}: {text}; install centernet anew")
