"""MOTChallenge (https://motchallenge.net; MOT15, 16, 17, 20, and what is written in their form)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ...annotations.mot import MOT_CLASSES, SequenceInfo, class_rules, own_class_names, read_truth
from ...annotations.problems import DataError, Reports, choose_class_names, choose_sequences
from ..dataset import DetectionDataset
from .layout import root_hint
from .sequences import SequenceReader

_COPY = re.compile(r"(?<=.)-(DPM|FRCNN|SDP)\Z")


class MOT(DetectionDataset):
    """Sequences in the MOTChallenge's layout, with identities that run from 0 on over all of them.

    A frame without rows is an example of background. For what is ignored see `class_rules` and docs/datasets.md.
    Sequences with ``gt/labels.txt`` but no seqinfo.ini are read as CVAT (MOT 1.1) and datumaro write them.

    Args:
        root: the folder of the sequences, or of one.
        images: the folder of the frames of that one sequence, or a folder with one named as each sequence; None takes
            what seqinfo.ini says, or ``img1``.
        sequences: names, or patterns such as ``MOT17-*-FRCNN``. None takes all, but of MOT17's three copies of each
            sequence (-DPM, -FRCNN, -SDP: the same images and truth with other detections) only the first.
        class_names: of `MOT_CLASSES`, or of ``gt/labels.txt`` (one name a line) where a sequence has that file; None
            takes ``pedestrian``, or all of labels.txt.
        min_visibility: boxes below are to be ignored, 0..1; rows of MOT15 have no visibility.
        part: from which share of each sequence's frames to which: ``[0, .5]`` to train on the first half,
            ``[.5, 1]`` to validate on the second.
        amodal: boxes (of whole people) are kept whole where they reach over the edges of their images.
        strict: the first problem is an error.
    """

    not_read = "visibility, and objects of classes that were not asked for"

    def __init__(
        self,
        root: str | os.PathLike[str],
        sequences: Sequence[str] | None = None,
        *,
        images: str | os.PathLike[str] | None = None,
        class_names: Sequence[str] | None = None,
        min_visibility: float = 0.0,
        part: tuple[float, float] = (0.0, 1.0),
        amodal: bool = False,
        strict: bool = False,
    ) -> None:
        root = Path(root)
        if not 0 <= part[0] < part[1] <= 1:
            raise DataError(f"part: expected two numbers in 0..1, the smaller first, got {part}")
        found = _find_sequences(root)
        firsts = {_COPY.sub("", name): name for name in reversed(found)}.values()
        chosen = choose_sequences([name for name in found if sequences or name in firsts], sequences, root)
        if images is not None and not Path(images).is_dir():
            raise DataError(f"{images}: no such folder; `images` (--images) is the folder of the frames")
        hint = "" if images is not None else "; where they are elsewhere, give their folder as `images` (--images)"
        reader = SequenceReader(Path(images or root), report := Reports(strict=strict), hint=hint)
        truths = {name: root / found[name] / "gt" / "gt.txt" for name in chosen}
        own_names = {name: own_class_names(truth) for name, truth in truths.items()}
        names = _class_names(class_names, own_names, root)
        for name in chosen:
            info = SequenceInfo.read(root / found[name], report)
            if info is not None:
                rules = class_rules(names, own_names[name], mot20=name.startswith("MOT20"))
                parse = partial(
                    read_truth,
                    rules,
                    first_pixel=0 if info.by_cvat else 1,
                    min_visibility=min_visibility,
                    benchmark=info.stated or own_names[name] is not None or class_names is not None,
                )
                folder = f"{found[name]}/{info.images}".lstrip("/")
                if images is not None:
                    folder = name if (Path(images) / name).is_dir() else ""
                reader.read(name, truths[name], folder, parse, info, part)
        columns, videos = reader.columns(amodal=amodal), reader.sequences
        super().__init__(names, columns, source=root, amodal=amodal, sequences=videos, **reader.images.findings())


def _find_sequences(root: Path) -> dict[str, str]:
    """Folders of the sequences, relative to the root, by name."""

    def is_sequence(folder: Path) -> bool:
        return (folder / "seqinfo.ini").is_file() or (folder / "gt/gt.txt").is_file() or (folder / "img1").is_dir()

    if not root.is_dir():
        raise DataError(f"{root}: no such folder; `root` is the folder of the sequences")
    if is_sequence(root):
        return {root.resolve().name: ""}
    found = {folder.name: folder.name for folder in sorted(root.iterdir()) if is_sequence(folder)}
    if not found:
        hint = root_hint(root, (path.parent for path in root.glob("*/*") if is_sequence(path)))
        raise DataError(f"{root}: no sequence here, a folder with seqinfo.ini, gt/gt.txt or img1; {hint}")
    return found


def _class_names(given: Sequence[str] | None, own_names: Mapping[str, list[str] | None], root: Path) -> tuple[str, ...]:
    kinds = [MOT_CLASSES if own is None else own for own in own_names.values()]
    usual = [["pedestrian"] if own is None else own for own in own_names.values()]
    known = dict.fromkeys(name for names in kinds for name in names)
    given = list(dict.fromkeys(name for names in usual for name in names)) if given is None else given
    return choose_class_names(given, known, f"{root}: ", "classes there")
