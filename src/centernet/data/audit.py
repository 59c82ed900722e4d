"""Audit data sets before training: counts, defects, and what the trainer will skip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType

from ..images import Preprocessing
from .dataset import DetectionDataset
from .findings import RARE, DatasetReport, DuplicatePair, SplitReport, counted, size_text
from .near_duplicates import Fingerprints, nearest_pairs, same_files
from .scan import scan

SMALL_SHARE = 0.01
"""Objects below a cell, or hidden in another's cell, are a warning from this share on."""
CLIPPED_SHARE = 0.3
"""Boxes over the edge of their images from which on they look like those of another convention."""


def audit(
    datasets: Mapping[str, DetectionDataset],
    *,
    failed: Mapping[str, str] = MappingProxyType({}),
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
        preprocessing: of the network's input, for sizes on the output grid.
        stride: input pixels a cell of the output.
        class_names: that the model is to know; None takes those of the training split.
        num_classes: of the model; None doesn't compare.
        read_images: False looks at the annotations alone.
        num_workers: processes that read; 0 reads in this one. A script that gives more needs
            ``if __name__ == "__main__"``.
        progress: called with the number of samples that were read since.

    Raises:
        DataError: a process that read images ended.
    """
    report = DatasetReport(preprocessing, stride, read_images)
    for name, message in failed.items():
        report.add("unusable", name, "", message)
    fingerprints: dict[str, Fingerprints] = {}
    for name, dataset in datasets.items():
        for problem in dataset.problems:
            report.add(problem.kind, name, problem.path, problem.message)
        found = scan(
            dataset,
            preprocessing=preprocessing,
            stride=stride,
            read_images=read_images,
            num_workers=num_workers,
            progress=progress,
        )
        for index, problem in found.problems:
            report.add(problem.kind, name, problem.path, problem.message, index)
        report.splits.append(SplitReport(name, dataset, found.tally))
        fingerprints[name] = found.fingerprints
    report.splits.sort(key=lambda split: split.name != "train")
    _judge_classes(report, class_names, num_classes)
    for split in report.splits:
        _judge_boxes(report, split)
    for first, second in combinations(report.splits, 2):
        _compare(report, first, second, fingerprints)
    severities = ("error", "warning", "note")
    report.findings.sort(key=lambda finding: severities.index(finding.severity))
    return report


def _judge_classes(report: DatasetReport, class_names: Sequence[str] | None, num_classes: int | None) -> None:
    if not report.splits:
        return
    train = report.splits[0]
    names = train.dataset.class_names if class_names is None else tuple(class_names)
    if num_classes is not None and num_classes != len(names):
        text = f"the model has {num_classes} classes, the data {len(names)}: {_some(names)}"
        report.add("class-count", train.name, repr(train.dataset), text)
    counts: Counter[str] = Counter()
    for split in report.splits:
        counts.update(split.objects_by_name())
        lacking = [name for name in split.dataset.class_names if name not in names]
        if lacking:
            whose = train.name if class_names is None else "the model"
            text = f"{_some(lacking)}; {whose} has {_some(names)}"
            report.add("class-list", split.name, repr(split.dataset), text)
        if split.tally.images and not split.tally.objects.sum() and split.dataset.class_names:
            text = f"none of its {split.tally.images} images has an object"
            report.add("no-objects", split.name, repr(split.dataset), text)
    absent = [name for name in names if not train.objects_by_name().get(name)]
    if absent and train.tally.objects.any():
        text = f"{len(absent)} of {len(names)} classes: {_some(absent)}"
        report.add("absent-class", train.name, repr(train.dataset), text)
    for split in report.splits:
        for label, name in enumerate(split.dataset.class_names):
            if 0 < counts[name] <= RARE:
                _report_rare(report, split, label, counts[name])


def _report_rare(report: DatasetReport, split: SplitReport, label: int, count: int) -> None:
    name = split.dataset.class_names[label]
    for index, row in split.tally.first_of[label]:
        annotation = split.dataset.annotation(index)
        x1, y1, x2, y2 = annotation.boxes[row].tolist()
        text = f"the class {name!r} has {counted(count, 'object')} in all, here [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
        report.add("rare-class", split.name, annotation.path, text, index)


def _judge_boxes(report: DatasetReport, split: SplitReport) -> None:
    tally, objects = split.tally, int(split.tally.objects.sum())
    if not objects:
        return
    boxes = objects + int(tally.ignored.sum())
    below = int(tally.cells[:, 0].sum())
    where = f"(input {size_text(report.preprocessing)}, stride {report.stride})"
    if 2 * tally.tiny > objects:
        text = f"{tally.tiny} of {objects} objects are smaller than 1.5 pixels of their images in both directions"
        report.add("normalised-boxes", split.name, repr(split.dataset), text)
    if split.clipped:
        share = split.clipped / boxes
        text = f"{split.clipped} of {boxes} boxes ({share:.1%}) reached over the edge of their images"
        report.add("box-convention", split.name, repr(split.dataset), text, note=share < CLIPPED_SHARE)
    if below:
        text = f"{below} of {objects} objects ({below / objects:.1%}) have a side shorter than a cell {where}"
        report.add("small-objects", split.name, repr(split.dataset), text, note=below < SMALL_SHARE * objects)
    if tally.sharing:
        share = tally.sharing / objects
        text = f"{tally.sharing} of {objects} objects ({share:.1%}) share their centre cell with another"
        if tally.hidden:
            text += f"; {tally.hidden} have no peak of their own, as the other is of the same class"
        note = tally.hidden < SMALL_SHARE * objects
        report.add("shared-cell", split.name, repr(split.dataset), f"{text} {where}", note=note)


def _compare(
    report: DatasetReport, first: SplitReport, second: SplitReport, fingerprints: Mapping[str, Fingerprints]
) -> None:
    """Report images that two splits share, or nearly share."""
    same = {index for index in same_files(first.dataset, second.dataset) if second.dataset.path(index).is_file()}
    for index in sorted(same):  # of files: not those that are drawn
        path = second.dataset.path(index)
        report.add("same-image", second.name, path, f"the image is in {first.name} as well", index)
    for a, b, alike in nearest_pairs(fingerprints[first.name], fingerprints[second.name]):
        if b not in same:
            report.pairs.append(DuplicatePair((first.name, a), (second.name, b), alike))
            text = f"nearly the same as {first.dataset.path(a)} of {first.name} (correlation {alike:.3f})"
            report.add("near-duplicate", second.name, second.dataset.path(b), text, b)


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
