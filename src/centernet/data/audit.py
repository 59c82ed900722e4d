"""Audit data sets before training: counts, defects, and what the trainer will skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..annotations.problems import Problem
from ..images import Preprocessing
from .columns import Columns
from .dataset import DetectionDataset
from .findings import RARE, DatasetReport, Finding, SplitReport, counted, severity_of
from .keypoint_findings import judge_keypoints
from .near_duplicates import have_contrast, nearest_pairs, same_files
from .sample import Pixels
from .scan import scan
from .tally import TINY, fit_sizes, repeated_boxes, tally

SMALL_SHARE = 0.01
"""Objects below a cell, or hidden in another's cell, are a warning from this share on."""
CLIPPED_SHARE = 0.3
"""Boxes over the edge of their images from which on they look like those of another convention."""


def audit(
    datasets: Mapping[str, DetectionDataset],
    *,
    failed: Mapping[str, str] = MappingProxyType({}),
    unread: Sequence[Problem] = (),
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
    stride: int = 4,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    read_images: bool = True,
    num_workers: int = 0,
    progress: Callable[[int], None] = lambda count: None,
) -> DatasetReport:
    """Read data sets wholly, and report what is wrong with them.

    Args:
        datasets: by the name of the split; that named ``train``, or else the first, is trained on.
        failed: splits that could not be opened at all, and why.
        unread: files beside the data that look like annotations.
        preprocessing: of the network's input, for sizes on the output grid.
        stride: input pixels a cell of the output.
        class_names: that the model is to know; None takes those of the training split.
        num_classes: of the model; None doesn't compare.
        read_images: False looks at the annotations alone.
        num_workers: processes that read; 0 reads in this one. A script that gives more needs
            ``if __name__ == "__main__"``.
        progress: called with the number of images that were read since.

    Raises:
        DataError: a process that read images ended.
    """
    order = sorted(datasets, key=lambda name: name != "train")
    all_names = tuple(dict.fromkeys(name for split in order for name in datasets[split].class_names))
    label_of = {name: label for label, name in enumerate(all_names)}
    report = DatasetReport(preprocessing, stride, read_images, all_names)
    report.findings += [Finding("error", "unusable", name, "", message) for name, message in failed.items()]
    for problem in unread:
        report.findings.append(Finding(severity_of(problem.kind), problem.kind, "", problem.path, problem.message))
    fingerprints: dict[str, Pixels] = {}
    for name in order:
        dataset = datasets[name]
        known, found = list(dataset.problems), list[tuple[int, Problem]]()
        columns = dataset.columns.relabelled(np.array([label_of[c] for c in dataset.class_names], np.int64))
        if read_images:
            sizes, fingerprints[name], found = scan(dataset, num_workers=num_workers, progress=progress)
            columns = fit_sizes(columns, sizes, amodal=dataset.amodal)
        split = SplitReport(name, dataset, tally(columns, len(all_names), preprocessing, stride))
        report.splits.append(split)
        for problem in known:
            report.add(problem.kind, split, problem.message, path=problem.path)
        for sample, problem in sorted([*found, *repeated_boxes(columns, all_names)], key=lambda entry: entry[0]):
            report.add(problem.kind, split, problem.message, sample, path=problem.path)
        judge_keypoints(report, split, columns)
        if read_images:
            for folder, text in _copied_folders(dataset, columns, fingerprints[name]):
                report.add("copied-folder", split, text, path=str(folder))
    if report.splits:
        _judge_classes(report, class_names, num_classes)
    for split in report.splits:
        _judge_boxes(report, split)
    for first, second in combinations(report.splits, 2):
        _compare(report, first, second, fingerprints)
    severities = ("error", "warning", "note")
    report.findings.sort(key=lambda finding: severities.index(finding.severity))
    return report


def _judge_classes(report: DatasetReport, class_names: Sequence[str] | None, num_classes: int | None) -> None:
    train = report.splits[0]
    names = train.dataset.class_names if class_names is None else tuple(class_names)
    if num_classes is not None and num_classes != len(names):
        report.add("class-count", train, f"the model has {num_classes} classes, the data {len(names)}: {_some(names)}")
    for split in report.splits:
        if lacking := [name for name in split.dataset.class_names if name not in names]:
            whose = train.name if class_names is None else "the model"
            report.add("class-list", split, f"{_some(lacking)}; {whose} has {_some(names)}")
        if split.tally.images and not split.tally.objects.any() and split.dataset.class_names:
            report.add("no-objects", split, f"none of its {split.tally.images} images has an object")
    counts = dict(zip(report.class_names, train.tally.objects.tolist(), strict=True))
    absent = [name for name in names if not counts.get(name)]
    if absent and train.tally.objects.any():
        report.add("absent-class", train, f"{len(absent)} of {len(names)} classes: {_some(absent)}")
    totals = np.sum([split.tally.objects for split in report.splits], axis=0)
    for split, label in product(report.splits, np.flatnonzero(totals <= RARE).tolist()):
        for sample, (x1, y1, x2, y2) in split.tally.first_of[label]:
            text = f"the class {report.class_names[label]!r} has {counted(int(totals[label]), 'object')} in all"
            report.add("rare-class", split, f"{text}, here [{x1:g}, {y1:g}, {x2:g}, {y2:g}]", sample)


def _judge_boxes(report: DatasetReport, split: SplitReport) -> None:
    figures, clipped, objects = split.tally, split.dataset.clipped, int(split.tally.objects.sum())
    if not objects:
        return
    where = f"(input {report.input_size}, stride {report.stride})"
    if 2 * figures.tiny > objects:
        text = f"{figures.tiny} of {objects} objects are smaller than {TINY} pixels of their images in both directions"
        report.add("normalised-boxes", split, text)
    if clipped:
        boxes = objects + int(figures.ignored.sum())
        text = f"{clipped} of {boxes} boxes ({clipped / boxes:.1%}) reached over the edge of their images"
        report.add("box-convention", split, text, note=clipped < CLIPPED_SHARE * boxes)
    if below := int(figures.cells[:, 0].sum()):
        text = f"{below} of {objects} objects ({below / objects:.1%}) have a side shorter than a cell {where}"
        report.add("small-objects", split, text, note=below < SMALL_SHARE * objects)
    if sharing := figures.sharing:
        text = f"{sharing} of {objects} objects ({sharing / objects:.1%}) share their centre cell with another"
        if figures.hidden:
            text += f"; {figures.hidden} have no peak of their own, as the other is of the same class"
        report.add("shared-cell", split, f"{text} {where}", note=figures.hidden < SMALL_SHARE * objects)


def _copied_folders(dataset: DetectionDataset, columns: Columns, prints: Pixels) -> Iterator[tuple[Path, str]]:
    """Name the folders whose images are in another folder of the split too, with the same boxes."""
    first: dict[tuple[bytes, ...], int] = {}
    copies: dict[tuple[Path, Path], list[int]] = {}
    for index in np.flatnonzero(have_contrast(prints)).tolist():
        rows = slice(columns.offsets[index], columns.offsets[index + 1])
        fields = prints[index], columns.sizes[index], columns.boxes[rows], columns.labels[rows]
        known = first.setdefault(tuple(field.tobytes() for field in fields), index)
        folders = dataset.path(known).parent, dataset.path(index).parent
        if folders[0] != folders[1] and len(columns.labels[rows]):
            copies.setdefault(folders, []).append(index)
    for (whole, copy), indices in copies.items():
        boxes = int(np.diff(columns.offsets)[indices].sum())
        yield copy, f"{counted(len(indices), 'image')} with {counted(boxes, 'box')} are the same as in {whole}"


def _compare(
    report: DatasetReport, first: SplitReport, second: SplitReport, fingerprints: Mapping[str, Pixels]
) -> None:
    """Report images that two splits share, or nearly share."""
    # An image that is drawn has no file.
    same = [index for index in same_files(first.dataset, second.dataset) if second.dataset.path(index).is_file()]
    for index in same:
        report.add("same-image", second, f"the image is in {first.name} as well", index)
    if not report.read_images:
        return
    known = set(same)
    for a, b, alike in nearest_pairs(fingerprints[first.name], fingerprints[second.name]):
        if b not in known:
            report.pairs.append(((first.name, a), (second.name, b), alike))
            text = f"nearly the same as {first.dataset.path(a)} of {first.name} (correlation {alike:.3f})"
            report.add("near-duplicate", second, text, b)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(map(repr, names[:12])) + more
