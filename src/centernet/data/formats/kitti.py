"""KITTI's tracking benchmark (Geiger et al., CVPR 2012; https://www.cvlibs.net/datasets/kitti/eval_tracking.php)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...annotations.kitti import KITTI_CLASSES, read_truth
from ...annotations.mot import SequenceInfo
from ...annotations.problems import DataError, Reports, choose_class_names, choose_sequences
from ..dataset import DetectionDataset
from .sequences import SequenceReader

_INFO = SequenceInfo(frame_rate=10.0)


class KITTITracking(DetectionDataset):
    """KITTI's tracking sequences, with identities that run from 0 on over all of them.

    To be ignored are DontCare regions (for every class), neighbours of classes that are asked for (`NEIGHBOURS`), and
    objects more occluded or truncated than the limits. An image without rows is an example of background.

    Args:
        root: the folder that holds ``label_02`` and ``image_02`` (or the one above, with ``training`` in it).
        sequences: names or patterns, such as ``"0001"`` or ``"00*"``; None takes all.
        class_names: of `KITTI_CLASSES`, in the order of their labels.
        max_occlusion: 0 visible, 1 partly, 2 largely occluded, 3 unknown.
        max_truncation: 0 inside the image, 1 partly, 2 largely truncated.
        strict: the first problem is an error.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        sequences: Sequence[str] | None = None,
        *,
        class_names: Sequence[str] = ("Car", "Pedestrian", "Cyclist"),
        max_occlusion: int = 3,
        max_truncation: int = 2,
        strict: bool = False,
    ) -> None:
        folder = find_root(Path(root))
        if folder is None:
            text = "expected the folders label_02 and image_02 in it (or in its folder training); check `root`"
            raise DataError(f"{root}: {text}")
        names = choose_class_names(class_names, KITTI_CLASSES, "", "types of KITTI")
        reader = SequenceReader(folder, Reports(strict=strict))
        parse = partial(read_truth, names, max_occlusion=max_occlusion, max_truncation=max_truncation)
        found = {path.stem for path in (folder / "label_02").glob("*.txt")}
        found |= {path.name for path in (folder / "image_02").iterdir() if path.is_dir()}
        for name in choose_sequences(sorted(found), sequences, folder):
            reader.read(name, folder / "label_02" / f"{name}.txt", f"image_02/{name}", parse, _INFO)
        columns, findings = reader.columns(), reader.images.findings()
        super().__init__(names, columns, source=folder, sequences=reader.sequences, benchmark="kitti", **findings)


def find_root(path: Path) -> Path | None:
    """Return the folder that holds ``label_02`` and ``image_02``: the one given, or its subfolder ``training``."""
    folders = (path, path / "training")
    return next((f for f in folders if (f / "label_02").is_dir() and (f / "image_02").is_dir()), None)
