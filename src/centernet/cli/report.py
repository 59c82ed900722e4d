"""`centernet report RUN_OR_MODEL`: how good a model is and where it fails, on a page; of two, the differences.

centernet report runs/helmets/version_0
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from centernet.annotations.problems import describe_problems, with_nearest
from centernet.claim import new_folder
from centernet.cli.arguments import (
    add_data_options,
    add_options,
    add_trust,
    command_parser,
    data_options,
    given_options,
    positive,
)
from centernet.cli.log import tell
from centernet.cli.progress import Progress
from centernet.data import DetectionDataset
from centernet.data.detect_format import find_format
from centernet.inference import Detector
from centernet.inference.validation import Validation, figure_names
from centernet.report import Subject, compare, evaluate, open_subject, write_report
from centernet.report.comparing import write_comparison
from centernet.report.gathering import open_data

EPILOG = """examples:
  centernet report runs/helmets/version_0
  centernet report best.ckpt --data data/helmets --split test --output page
  centernet report coco-lite --data instances_val2017.json --images val2017
  centernet report coco-lite --data MOT17/train --rename person=pedestrian
  centernet report old.onnx new.onnx --data data/helmets --fail-below AP=.60,AP50=.85

One model: DIR/report.html, which opens from the disk without a network, and its numbers in DIR/report.json. Two: what
the second has above the first on the same images, with intervals of 95 %, and the objects that only one of them finds.
Without --data the images are those that a run was validated on, as its configuration says. With --fail-below the exit
code is 1 where a figure of the last model is lower."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 where a figure is below its limit."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if len(given.models) > 2:
        parser.error(f"one model, or two to compare: these are {len(given.models)}")
    subjects = [open_subject(name) for name in given.models]
    source = None if given.data is None else find_format(given.data, **data_options(given))
    if source is None and data_options(given):
        parser.error("--format, --root, --images and --splits say how --data is read: give it, too")
    if len(subjects) == 1 and subjects[0].model is None:
        return _without_model(given, subjects[0])
    for subject in subjects:
        if subject.model is None:
            raise ValueError(f"{subject.name}: {'; '.join(subject.run.notes) if subject.run else 'no model'}")
    dataset = open_data(subjects[0], source, given.split)
    for line in describe_problems(dataset.problems, 3):
        tell(line)
    known = figure_names(dataset)
    for name in given.fail_below:
        if name not in known:
            parser.error(f"--fail-below: no figure {with_nearest([name], known)}; there are {', '.join(known)}")
    folder = _folder(given.output, subjects)
    validations, notes, threshold = [], list[str](), None
    for subject in subjects:
        detector = Detector(subject.model, score_threshold=0.0, **given_options(given, Detector))
        calibration = getattr(detector.runtime, "calibration", None)
        threshold = None if calibration is None else calibration.score_threshold
        validation, said = _judge(detector, dataset, subject, given.rename)
        validations.append(validation)
        notes += said if len(subjects) == 1 else [f"{subject.name}: {line}" for line in said]
    if len(subjects) == 2:
        names = _names(subjects)
        comparison = compare(names, *validations)
        tell(comparison.table())
        page = write_comparison(folder, comparison, notes=notes)
    else:
        (subject,), (validation,) = subjects, validations
        assert validation.result is not None
        tell(validation.result.table())
        bars = validation.error_bars()
        tell("\n" + bars.table())
        page = write_report(
            folder, Path(subject.name).name or subject.name, validation=validation, bars=bars, run=subject.run,
            threshold=threshold, notes=notes, subtitle=f"{subject.model} on {dataset!r}", speed=_speed(subject, given),
        )  # fmt: skip
    code = _check(validations[-1], given.fail_below)
    tell(f"page: {page}, numbers: {page.with_name('report.json')}")
    return code


def _without_model(given: argparse.Namespace, subject: Subject) -> int:
    """Write what there is of a run without a checkpoint; a figure that is to be checked is not there."""
    assert subject.run is not None
    for note in subject.run.notes:
        tell(f"{subject.name}: {note}")
    page = write_report(_folder(given.output, [subject]), subject.run.folder.name, run=subject.run)
    tell(f"page: {page}, numbers: {page.with_name('report.json')}")
    return 1 if given.fail_below else 0


def _judge(
    detector: Detector, dataset: DetectionDataset, subject: Subject, renamed: dict[str, str]
) -> tuple[Validation, list[str]]:
    tell(f"{subject.name}: {len(dataset):,} images of {dataset!r}", flush=True)
    progress = Progress(len(dataset), unit="images")
    try:
        return evaluate(detector, dataset, renamed=renamed, progress=progress.advance)
    finally:
        progress.close()


def _check(validation: Validation, limits: dict[str, float]) -> int:
    """Say which figures are below their limits."""
    assert validation.result is not None
    figures = validation.result.stats
    low = [f"{name} {figures[name]:.4f} is below {limit:g}" for name, limit in limits.items() if figures[name] < limit]
    for text in low:
        tell(text)
    return 1 if low else 0


def _folder(given: Path | None, subjects: Sequence[Subject]) -> Path:
    """Return the folder of the page: the one given, that of a run, or a new one."""
    if given is not None:
        return given
    if len(subjects) == 1 and (run := subjects[0].run) is not None:
        return run.folder
    return new_folder(Path(), chain(["report"], (f"report{number}" for number in count(2))))


def _names(subjects: Sequence[Subject]) -> tuple[str, str]:
    """Return short names of two models: the last parts of their paths, as many as tell them apart."""
    parts = [Path(subject.name).parts for subject in subjects]
    for length in range(1, max(map(len, parts)) + 1):
        first, second = (str(Path(*one[-length:])) for one in parts)
        if first != second:
            return first, second
    return f"{subjects[0].name} (first)", f"{subjects[1].name} (second)"


def _speed(subject: Subject, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the exported forms beside a model."""
    if not subject.forms:
        return []
    from centernet.inference.benchmark import benchmark

    options = given_options(given, benchmark)
    measured = benchmark([str(path) for path in subject.forms], rounds=10, **options)
    machine = ", ".join(map(str, measured.machine.values()))
    return [
        {"form": path.name, "megabytes": path.stat().st_size / 1e6, "milliseconds": one.latency["median"],
         "images_per_second": one.images_per_second, "machine": machine}
        for path, one in zip(subject.forms, measured.results, strict=True)
    ]  # fmt: skip


def _limits(text: str) -> dict[str, float]:
    """Read figures with the least that they may be, `AP=.60,AP50=.85`."""
    limits = {}
    for part in text.split(","):
        name, sign, value = part.rpartition("=")
        if not (name.strip() and sign):
            raise argparse.ArgumentTypeError(f"{part!r} is not FIGURE=VALUE, such as AP=.60")
        limits[name.strip()] = float(value)
        if not math.isfinite(limits[name.strip()]):
            raise argparse.ArgumentTypeError(f"{value} is no number to compare with")
    return limits


def _renamed(text: str) -> dict[str, str]:
    """Read names of the models' classes with those of the data, `person=pedestrian`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(ours.strip() and theirs.strip() for ours, _, theirs in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not MODEL'S=DATA'S, such as person=pedestrian")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("report", "Write a page on a model: how good it is, and where it fails.", EPILOG)
    text = "folder of a run, checkpoint, exported file, folder of a model, or a name; two to compare them"
    parser.add_argument("models", nargs="+", metavar="RUN_OR_MODEL", help=text)
    text = "folder of data, or a file of annotations, in any format of `centernet check`; default: the run's own"
    parser.add_argument("--data", type=Path, metavar="FOLDER_OR_FILE", help=text)
    parser.add_argument("--split", help="of the data; default: val, else test, else the only one")
    add_data_options(parser)
    text = "classes that the models call otherwise than the data: person=pedestrian,…"
    parser.add_argument("--rename", type=_renamed, metavar="LIST", default={}, help=text)
    text = "for report.html and report.json; default: the run's, else report, report2, …"
    parser.add_argument("--output", type=Path, metavar="DIR", help=text)
    text = "exit with 1 where a figure of the last model is lower: AP=.60,AP50=.85"
    parser.add_argument("--fail-below", type=_limits, metavar="LIST", default={}, help=text)
    add_options(
        parser, Detector, ["batch_size", "device", "threads"], types={"batch_size": positive, "threads": positive}
    )
    add_trust(parser)
    return parser
