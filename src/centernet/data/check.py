"""What a person should know of a data set before training on it: counts, defects, and what the trainer will skip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from ..images import Preprocessing
from .dataset import DetectionDataset
from .findings import KINDS, RARE, Finding, Pair, Report, Split, size_text
from .near_duplicates import Fingerprints, nearest_pairs
from .sample import Problem
from .scan import scan

SMALL_SHARE = 0.01
"""Objects below a cell, or hidden in another's cell, are a warning from this share on."""
CLIPPED_SHARE = 0.3
"""Boxes over the edge of their pictures from which on they look like those of another convention."""


def check(
    datasets: Mapping[str, DetectionDataset],
    *,
    preprocessing: Preprocessing = Preprocessing(),  # noqa: B008 - frozen
    stride: int = 4,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    read_images: bool = True,
    num_workers: int = 0,
    progress: Callable[[str, int], None] = lambda split, count: None,
) -> Report:
    """Read data sets wholly, and say what is wrong with them.

    Args:
        datasets: by the name of the split; that named ``train``, or else the first, is trained on.
        preprocessing: of the network's input, for sizes on the output grid.
        stride: input pixels a cell of the output.
        class_names: that the model is to know; None takes those of the training split.
        num_classes: of the model; None doesn't compare.
        read_images: False looks at the annotations alone.
        num_workers: processes that read; 0 reads in this one. A script that gives more needs
            ``if __name__ == "__main__"``.
        progress: called with the split and the number of samples that were read since.

    Raises:
        DataError: a process that read pictures ended.
    """
    report = Report(preprocessing, stride, read_images)
    fingerprints: list[Fingerprints] = []
    for name, dataset in datasets.items():
        for problem in dataset.problems:
            report.findings.append(_finding(name, problem))
        result = scan(
            dataset,
            preprocessing=preprocessing,
            stride=stride,
            read_images=read_images,
            num_workers=num_workers,
            progress=lambda count, name=name: progress(name, count),  # type: ignore[misc]
        )
        report.splits.append(Split(name, dataset, result.tally))
        fingerprints.append(result.fingerprints)
        report.findings += [_finding(name, problem, index) for index, problem in result.problems]
    report.splits.sort(key=lambda split: split.name != "train")
    _judge_classes(report, class_names, num_classes)
    for split in report.splits:
        _judge_boxes(report, split)
    _compare_splits(report, dict(zip(datasets, fingerprints, strict=True)))
    severities = ("error", "warning", "note")
    report.findings.sort(key=lambda finding: severities.index(finding.severity))
    return report


def add_unusable(report: Report, split: str, message: str) -> None:
    """Put a split that could not be opened at all at the head of a report."""
    report.findings.insert(0, Finding("error", "unusable", split, "", message))


def _finding(split: str, problem: Problem, sample: int | None = None) -> Finding:
    severity = KINDS[problem.kind].severity if problem.kind in KINDS else "error"
    return Finding(severity, problem.kind, split, problem.path, problem.message, sample)


def _add(report: Report, kind: str, split: Split, message: str, *, note: bool = False) -> None:
    severity = "note" if note else KINDS[kind].severity
    report.findings.append(Finding(severity, kind, split.name, repr(split.dataset), message))


def _judge_classes(report: Report, class_names: Sequence[str] | None, num_classes: int | None) -> None:
    if not report.splits:
        return
    train = report.splits[0]
    names = train.dataset.class_names if class_names is None else tuple(class_names)
    if num_classes is not None and num_classes != len(names):
        text = f"the model has {num_classes} classes, the data {len(names)}: {_some(names)}"
        _add(report, "class-count", train, text)
    counts: Counter[str] = Counter()
    for split in report.splits:
        counts.update(split.objects_by_name())
        lacking = [name for name in split.dataset.class_names if name not in names]
        if lacking:
            whose = train.name if class_names is None else "the model"
            _add(report, "class-list", split, f"{_some(lacking)}; {whose} has {_some(names)}")
        if split.tally.pictures and not split.tally.objects.sum() and split.dataset.class_names:
            _add(report, "no-objects", split, f"none of its {split.tally.pictures} pictures has an object")
    trained = train.objects_by_name()
    absent = [name for name in names if not trained.get(name)]
    if absent and train.tally.objects.any():
        _add(report, "absent-class", train, f"{len(absent)} of {len(names)} classes: {_some(absent)}")
    for split in report.splits:
        for label, name in enumerate(split.dataset.class_names):
            if 0 < counts[name] <= RARE and split.tally.objects[label]:
                _report_rare(report, split, label, counts[name])


def _report_rare(report: Report, split: Split, label: int, count: int) -> None:
    name = split.dataset.class_names[label]
    for index, row in split.tally.first_of[label]:
        annotation = split.dataset.annotation(index)
        x1, y1, x2, y2 = annotation.boxes[row].tolist()
        text = f"the class {name!r} has {_counted(count, 'object')} in all, here [{x1:g}, {y1:g}, {x2:g}, {y2:g}]"
        severity = KINDS["rare-class"].severity
        report.findings.append(Finding(severity, "rare-class", split.name, str(annotation.path), text, index))


def _judge_boxes(report: Report, split: Split) -> None:
    tally, objects = split.tally, int(split.tally.objects.sum())
    boxes = objects + int(tally.ignored.sum())
    if not objects:
        return
    if 2 * tally.tiny > objects:
        text = f"{tally.tiny} of {objects} objects are smaller than 1.5 pixels of their pictures in both directions"
        _add(report, "normalised-boxes", split, text)
    if split.clipped:
        share = split.clipped / boxes
        text = f"{split.clipped} of {boxes} boxes ({share:.1%}) reached over the edge of their pictures"
        _add(report, "box-convention", split, text, note=share < CLIPPED_SHARE)
    where = f"(input {size_text(report.preprocessing)}, stride {report.stride})"
    below = int(tally.cells[:, 0].sum())
    if below:
        text = f"{below} of {objects} objects ({below / objects:.1%}) have a side shorter than a cell {where}"
        _add(report, "small-objects", split, text, note=below < SMALL_SHARE * objects)
    if tally.sharing:
        text = (
            f"{tally.sharing} of {objects} objects ({tally.sharing / objects:.1%}) share their centre cell with another"
        )
        if tally.hidden:
            text += f"; {tally.hidden} have no peak of their own, as the other is of the same class"
        text += f" {where}"
        _add(report, "shared-cell", split, text, note=tally.hidden < SMALL_SHARE * objects)


def _compare_splits(report: Report, fingerprints: Mapping[str, Fingerprints]) -> None:
    for first, second in combinations(report.splits, 2):
        known = {str(first.dataset.path(index).absolute()) for index in range(len(first.dataset))}
        same: set[int] = set()
        for index in range(len(second.dataset)):
            path = second.dataset.path(index)
            if str(path.absolute()) in known and path.is_file():  # not one that is drawn
                same.add(index)
                text = f"the picture is in {first.name} as well"
                severity = KINDS["same-picture"].severity
                report.findings.append(Finding(severity, "same-picture", second.name, str(path), text, index))
        for a, b, alike in nearest_pairs(fingerprints[first.name], fingerprints[second.name]):
            if b in same:
                continue
            report.pairs.append(Pair((first.name, a), (second.name, b), alike))
            path = second.dataset.path(b)
            text = f"nearly the same as {first.dataset.path(a)} of {first.name} (correlation {alike:.3f})"
            severity = KINDS["near-duplicate"].severity
            report.findings.append(Finding(severity, "near-duplicate", second.name, str(path), text, b))


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
