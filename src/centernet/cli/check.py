"""`centernet check CONFIG_OR_FOLDER`: what is wrong with a data set, before training on it.

centernet check data/VOC2007 --html report.html
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from centernet.data import DetectionDataset
    from centernet.data.report_html import TrainingSample
    from centernet.images import Preprocessing
    from centernet.ops import Targets

SAMPLES = 12
EPILOG = """examples:
  centernet check data/VOC2007
  centernet check data/VOC2007 --html report.html --size 384
  centernet check configs/helmet.yaml --html report.html --fix-report defects.json
  centernet check annotations.json --images none

A configuration says input size, stride, classes and augmentation; of a folder the format is found out. Errors are
what would be left out or trained wrongly; with them the exit code is 1, with warnings alone 0."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 where errors were found.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    target: Path = given.target

    from centernet.data.check import add_unusable, check
    from centernet.data.report_html import report_as_html
    from centernet.data.report_text import report_as_text

    subject = _configured(given, parser) if _is_configuration(target) else _found(given)
    print(f"{target}: {subject.what}")
    with _progress_bar(subject.datasets) as progress:
        report = check(
            subject.datasets,
            preprocessing=subject.preprocessing,
            stride=subject.stride,
            class_names=subject.class_names,
            num_classes=subject.num_classes,
            read_images=given.images == "all",
            num_workers=0 if given.workers == 1 else given.workers,
            progress=progress,
        )
    for split, message in subject.failed.items():
        add_unusable(report, split, message)
    print(f"\n{report_as_text(report)}")
    wrote = []
    if given.html is not None:
        samples = _training_samples(subject) if given.images == "all" else []
        page = report_as_html(
            report,
            title=str(target),
            subtitle=subject.what,
            samples=samples,
            class_names=subject.trained_names(),
            configuration=subject.configuration,
        )
        given.html.parent.mkdir(parents=True, exist_ok=True)
        given.html.write_text(page, encoding="utf-8")
        wrote.append(given.html)
    if given.fix_report is not None:
        given.fix_report.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
        given.fix_report.write_text(text, encoding="utf-8", errors="backslashreplace")
        wrote.append(given.fix_report)
    if wrote:
        print("wrote " + " and ".join(map(str, wrote)))
    return 1 if report.count("error") else 0


@dataclass
class _Subject:
    """What is to be checked, from a configuration or a folder.

    Attributes:
        what: for people.
        datasets: by split.
        preprocessing: of the network's input.
        stride: of its output.
        class_names: that the model is to know, where it says so.
        num_classes: the same.
        failed: splits that could not be opened, and why.
        settings: further arguments of the DataModule.
        radii: of the targets' blobs.
        configuration: YAML that trains on it.
    """

    what: str
    datasets: dict[str, DetectionDataset]
    preprocessing: Preprocessing
    stride: int = 4
    class_names: Sequence[str] | None = None
    num_classes: int | None = None
    failed: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    radii: Callable[[Targets], Tensor] = lambda targets: targets.radii("ellipse")
    configuration: str = ""

    def trained_names(self) -> Sequence[str]:
        """What the labels mean in training."""
        if self.class_names is not None:
            return self.class_names
        return next(iter(self.datasets.values())).class_names if self.datasets else ()


def _is_configuration(target: Path) -> bool:
    if target.suffix not in (".yaml", ".yml") or not target.is_file():
        return False
    import yaml

    try:
        content = yaml.safe_load(target.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{target} is no valid YAML: {error}") from error
    return not isinstance(content, dict) or "names" not in content  # what has names is YOLO's data.yaml


def _configured(given: argparse.Namespace, parser: argparse.ArgumentParser) -> _Subject:
    for option in ("size", "stride", "class_names", "format"):
        if getattr(given, option) is not None:
            parser.error(
                f"--{option.replace('_', '-')} is for folders; {given.target} is a configuration, which says it"
            )
    from centernet.configuration import read_yaml
    from centernet.data.configuration import read_data_section
    from centernet.images import Preprocessing
    from centernet.network.build import network_of_section, without_start

    content = read_yaml(given.target)
    if not isinstance(content.get("data"), dict):
        raise ValueError(f"{given.target} has no `data` section (it has: {', '.join(map(str, content)) or 'nothing'})")
    data = read_data_section(content["data"], source=str(given.target))
    subject = _Subject(
        "a configuration with " + ", ".join([*data.datasets, *data.failed]),
        data.datasets,
        data.settings.pop("preprocessing", None) or Preprocessing(),
        failed=data.failed,
        settings=data.settings,
    )
    subject.class_names = data.settings.pop("class_names", None)
    subject.num_classes = data.settings.pop("num_classes", None)
    if content.get("model") is not None:
        model = network_of_section(
            without_start(content["model"]), source=str(given.target)
        )  # without fetching pretrained weights
        subject.preprocessing, subject.stride = model.preprocessing, model.stride
        subject.class_names, subject.num_classes = model.class_names, model.num_classes
        head: Any = model.heads[model.finder]
        if hasattr(head, "radius"):
            subject.radii = lambda targets: targets.radii(head.radius, min_overlap=head.min_overlap, alpha=head.alpha)
    return subject


def _found(given: argparse.Namespace) -> _Subject:
    from centernet.data import DataError
    from centernet.data.detect_format import find_format
    from centernet.images import Preprocessing

    source = find_format(given.target, name=given.format)
    if given.class_names is not None:
        source.options["class_names"] = given.class_names
    if given.images == "none" and source.format.name == "coco":
        source.options["require_images"] = False
    also = f"; it looks like {', '.join(source.also)} too (--format chooses)" if source.also else ""
    subject = _Subject(
        source.format.title + also,
        {},
        Preprocessing() if given.size is None else Preprocessing(size=given.size),
        stride=given.stride or 4,
        configuration=source.configuration(),
    )
    for split in source.splits:
        try:
            subject.datasets[split] = source.open(split)
        except DataError as error:
            subject.failed[split] = str(error)
    return subject


def _training_samples(subject: _Subject) -> list[TrainingSample]:
    """The first samples of the first epoch, with the targets that they are trained with."""
    from centernet.data import DataError, DataModule, DataWarning
    from centernet.data.report_html import TrainingSample
    from centernet.ops import Targets

    train = subject.datasets.get("train")
    if train is None or not train.class_names:
        return []
    settings = {**subject.settings, "num_workers": 0, "batch_size": min(SAMPLES, len(train))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they are in the report
        try:
            names = None if subject.class_names is None else list(subject.class_names)
            module = DataModule(train, preprocessing=subject.preprocessing, class_names=names, **settings)
            batch = next(iter(module.train_dataloader()))
        except DataError:  # the report says why training would not start
            return []
    height, width = batch.images.shape[-2:]
    targets = Targets(
        batch.boxes,
        batch.labels,
        batch.ignore,
        batch.counts,
        grid=(-(-height // subject.stride), -(-width // subject.stride)),
        stride=subject.stride,
        num_classes=len(module.class_names),
    )
    heatmaps = targets.heatmap(subject.radii(targets)).amax(1)
    return [
        TrainingSample(
            title=batch.annotations[i].path.name,
            image=batch.images[i].permute(1, 2, 0).numpy(),
            boxes=batch.boxes[i, :count].numpy(),
            labels=batch.labels[i, :count].numpy(),
            ignore=batch.ignore[i, :count].numpy(),
            heatmap=heatmaps[i].numpy(),
        )
        for i, count in enumerate(batch.counts.tolist())
    ]


@contextmanager
def _progress_bar(datasets: Mapping[str, DetectionDataset]) -> Iterator[Callable[[str, int], None]]:
    """A bar for each split, where a person looks on."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {name: bar.add_task(name, total=len(dataset)) for name, dataset in datasets.items()}
        yield lambda name, count: bar.advance(tasks[name], count)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet check",
        description="Read data wholly, count what is there and name what is wrong.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", type=Path, metavar="CONFIG_OR_FOLDER", help="YAML configuration, folder of data, or COCO JSON file"
    )
    parser.add_argument("--format", help="voc, coco, yolo, mot, …; default: found out")
    parser.add_argument("--class-names", type=_names, metavar="LIST", help="the classes, with commas between")
    parser.add_argument("--size", type=_size, help="of the network's input, N or HEIGHTxWIDTH; default: 512")
    parser.add_argument("--stride", type=_positive, help="of its output; default: 4")
    parser.add_argument(
        "--images", choices=("all", "none"), default="all",
        help="none looks at the annotations alone; COCO's pictures need not be there then",
    )  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    parser.add_argument("--fix-report", type=Path, metavar="FILE", help="write all errors and warnings as JSON")
    parser.add_argument(
        "--workers", type=_positive, default=_processors(), metavar="N",
        help="processes that read; default: %(default)s, as there are processors",
    )  # fmt: skip
    return parser


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return _positive(height), _positive(width or height)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
