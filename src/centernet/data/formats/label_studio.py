"""Label Studio's JSON and JSON-MIN (https://labelstud.io/guide/export)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...annotations.label_studio import read_label_studio
from ...annotations.problems import DataError, Reports
from ...files import open_file
from .layout import find_image_folder
from .listed import Listed, choose_files

_KEYS = (
    {b"data", b"annotations"},
    {b"annotations", b"result"},
    {b"data", b"completions"},
    {b"annotation_id", b"annotator"},
)
"""Keys of which one group is in the first task."""
_PATTERN = re.compile(
    rb'"(data|annotations|completions|result|predictions|rectanglelabels|annotation_id|annotator)"\s*:'
)


class LabelStudio(Listed):
    """A project that Label Studio exported as JSON or JSON-MIN.

    Uploaded and local files are found by their names, with or without the eight digits that Label Studio puts before.

    Args:
        annotations: the JSON file.
        images: the folder of the images, which such an export does not hold; None looks nearby.
        image_key: the name of the image among the data of a task; None finds it.
        class_names: None takes the labels that occur, in alphabetical order.
        strict: the first problem is an error.
    """

    not_read = "the outlines of polygons and ellipses, choices, texts, relations, predictions and who annotated"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        image_key: str | None = None,
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path = Path(annotations)
        file = read_label_studio(path, report := Reports(strict=strict), image_key=image_key)
        listed = file.listed
        if not file.names:
            first = f" The first problem: {report.found[0]}" if report.found else ""
            raise DataError(f"{path}: no task with an annotation.{first}")
        folder = find_image_folder(path, images, [name for names in file.names[:20] for name in names])
        chosen = choose_files(folder, file.names, listed.files, report)
        own = (names[-1].replace("\\", "/").rpartition("/")[2] for names in file.names)  # for what is missing
        listed.names[:] = [name if found is None else found for found, name in zip(chosen, own, strict=True)]
        super().__init__(listed, path, folder, class_names, report)


def find_label_studio(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the splits of a file, or of a folder that has such files."""
    files = [file for file in ([path] if path.is_file() else sorted(path.glob("*.json"))) if file.is_file()]
    found = {file: _first_keys(file) for file in files}
    splits = {file.stem: {"annotations": file} for file, keys in found.items() if any(map(keys.issuperset, _KEYS))}
    tasks = [file.name for file, keys in found.items() if keys & {b"predictions", b"rectanglelabels"}]
    return splits or (f"{tasks[0]} has regions but no annotations of anybody" if tasks else "")


def _first_keys(path: Path) -> set[bytes]:
    """Keys of Label Studio's at the beginning of a file that is a list, of which the first task may be long."""
    if path.suffix.lower() != ".json":
        return set()
    try:
        with open_file(path) as file:
            head = file.read(1 << 18)
    except OSError:
        return set()
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return set(_PATTERN.findall(head)) if start == b"[" else set()
