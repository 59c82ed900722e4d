"""WIDER FACE (Yang et al., CVPR 2016; http://shuoyang1213.me/WIDERFACE)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...annotations.problems import Reports
from ...annotations.wider_face import looks_like_wider_face, read_wider_face
from .layout import Folder
from .listed import Listed

_END = "bbx_gt"


class WIDERFace(Listed):
    """Faces in WIDER FACE's format; those marked ``invalid`` are to be ignored.

    Args:
        annotations: the file ``wider_face_train_bbx_gt.txt``.
        images: the folder with the folders of events; None takes ``WIDER_train/images`` beside the folder of the file
            (``train`` being what the file's name says), or looks nearby.
        class_names: None takes ``face``, and other classes that datumaro has written.
        strict: the first problem is an error.
    """

    not_read = "blur, expression, illumination, occlusion and pose, and events"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path, report = Path(annotations), Reports(strict=strict)
        listed = read_wider_face(path, report)
        if images is None:
            images = next((folder for folder in _near(path) if any(map(Folder(folder).find, listed.names[:20]))), None)
        super().__init__(listed, path, images, class_names, report)


def _near(path: Path) -> Iterator[Path]:
    """The folders that may hold those of the events: the usual one first, then any ``images`` and folder nearby."""
    usual = f"WIDER_{_split_of(path)}"
    for root in path.parents[:5]:  # two levels more as some pack it, and twice the name
        yield from (root / usual / "images", root / usual / usual / "images")
    for root in path.parents[:2]:
        yield from sorted(root.glob("*/images"))
        yield from sorted(root.glob("*/"))


def _split_of(path: Path) -> str:
    """Return the name of the split in that of the file."""
    name = path.stem.removeprefix("wider_face_")
    return name.replace(f"_{_END}", "") or name


def find_wider_face(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the arguments of `WIDERFace` for each split, or why there is none."""
    files = [path] if path.is_file() and path.suffix == ".txt" and _END in path.name else []
    if path.is_dir():
        files = sorted(file for folder in ("", "*/") for file in path.glob(f"{folder}*{_END}*.txt"))
    reasons = {file: looks_like_wider_face(file) for file in files}
    found = {_split_of(file): {"annotations": file} for file, reason in reasons.items() if not reason}
    return found or "; ".join(f"{file.parent}/{reason}" for file, reason in reasons.items())
