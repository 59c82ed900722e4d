"""MPII Human Pose: people with 16 joints, see `centernet.annotations.mpii`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...annotations.mpii import read_mpii
from ...annotations.problems import Reports
from ...files import open_file
from .listed import Listed


class MPII(Listed):
    """People with 16 joints, the field ``keypoints``; the JSON of HRNet and MMPose, or MPII's own file.

    People have no boxes of their own: those around their joints are taken, a tenth of their height larger on each side.

    Args:
        annotations: ``train.json`` or ``valid.json`` of HRNet and MMPose, or ``mpii_human_pose_v1_u12_1.mat`` (with
            scipy).
        images: the folder of the images; None looks for ``images`` beside the file or one level up.
        split: of the ``.mat``: ``train``, or anything else for the images of the test.
        class_names: None takes the one class, ``person``.
        strict: the first problem is an error.
    """

    not_read = "head boxes, torso angles and activities"

    def __init__(
        self,
        annotations: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        split: str = "train",
        class_names: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        path, report = Path(annotations), Reports(strict=strict)
        super().__init__(read_mpii(path, report, split=split), path, images, class_names, report)


def find_mpii(path: Path) -> dict[str, dict[str, Any]] | str:
    """Return the splits of a file, or of a folder that has such files or a folder ``annot`` of them."""
    listed = [path] if path.is_file() else [*sorted(path.glob("*.json")), *sorted(path.glob("annot/*.json"))]
    files = [file for file in listed if file.suffix.lower() == ".json" and _is_mpii(file)]
    own = [path] if path.suffix.lower() == ".mat" and path.is_file() else sorted(path.glob("mpii_human_pose*.mat"))
    if not files and own:
        return {"train": {"annotations": own[0]}}
    return {file.stem: {"annotations": file} for file in files} or ""


def _is_mpii(file: Path) -> bool:
    try:
        with open_file(file) as opened:
            head = opened.read(1 << 16)
    except OSError:
        return False
    return re.match(rb"\s*\[\s*\{", head) is not None and all(
        f'"{key}"'.encode() in head for key in ("joints_vis", "joints", "image")
    )
