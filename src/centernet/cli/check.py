"""`centernet check CONFIG_OR_FOLDER`: name what is wrong with data sets, before training on them.

centernet check data/VOC2007 --html report.html
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from centernet.cli.arguments import command_parser, name_list, positive, size
from centernet.cli.progress import Progress

if TYPE_CHECKING:
    from centernet.data.audit_subject import AuditSubject
    from centernet.data.report_html import TrainingSample

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

    from centernet.data.audit import add_unusable, audit
    from centernet.data.report_text import report_as_text

    subject = _configured(given, parser) if _is_configuration(given.target) else _found(given)
    print(f"{given.target}: {subject.description}")
    progress = Progress(sum(map(len, subject.datasets.values())), unit="images")
    report = audit(
        subject.datasets,
        preprocessing=subject.preprocessing,
        stride=subject.stride,
        class_names=subject.class_names,
        num_classes=subject.num_classes,
        read_images=given.images == "all",
        num_workers=0 if given.workers == 1 else given.workers,
        progress=progress.advance,
    )
    progress.close()
    for split, message in subject.failed.items():
        add_unusable(report, split, message)
    print(f"\n{report_as_text(report)}")
    files: dict[Path, str] = {}
    if given.html is not None:
        from centernet.data.report_html import report_as_html

        samples, without = _training_samples(subject) if given.images == "all" else ([], "")
        files[given.html] = report_as_html(
            report,
            title=str(given.target),
            subtitle=subject.description,
            samples=samples,
            without_samples=without,
            class_names=subject.trained_names,
            configuration=subject.configuration,
        )
    if given.fix_report is not None:
        files[given.fix_report] = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    if files:
        print("wrote " + " and ".join(map(str, files)))
    return 1 if report.count("error") else 0


def _is_configuration(target: Path) -> bool:
    if target.suffix not in (".yaml", ".yml") or not target.is_file():
        return False
    import yaml

    try:
        content = yaml.safe_load(target.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{target} is no valid YAML: {error}") from error
    return not isinstance(content, dict) or "names" not in content  # what has names is YOLO's data.yaml


def _found(given: argparse.Namespace) -> AuditSubject:
    from centernet.data.audit_subject import open_folder
    from centernet.images import Preprocessing

    subject = open_folder(
        given.target, format=given.format, class_names=given.class_names, require_images=given.images == "all"
    )
    if given.size is not None:
        subject.preprocessing = Preprocessing(size=given.size)
    subject.stride = given.stride or subject.stride
    return subject


def _configured(given: argparse.Namespace, parser: argparse.ArgumentParser) -> AuditSubject:
    for option in ("size", "stride", "class_names", "format"):
        if getattr(given, option) is not None:
            name = option.replace("_", "-")
            parser.error(f"--{name} is for folders; {given.target} is a configuration, which says it")
    from centernet.configuration import read_yaml
    from centernet.data.configuration import read_data_section

    content = read_yaml(given.target)
    if not isinstance(content.get("data"), dict):
        raise ValueError(f"{given.target} has no `data` section (it has: {', '.join(map(str, content)) or 'nothing'})")
    subject = read_data_section(content["data"], source=str(given.target))
    if content.get("model") is not None:
        from centernet.network.build import network_of_section, without_start

        model = network_of_section(without_start(content["model"]), source=str(given.target))
        subject.preprocessing, subject.stride = model.preprocessing, model.stride
        subject.class_names, subject.num_classes = model.class_names, model.num_classes
        head: Any = model.heads[model.finder]
        if hasattr(head, "radius"):
            subject.radii = lambda targets: targets.radii(head.radius, min_overlap=head.min_overlap, alpha=head.alpha)
    return subject


def _training_samples(subject: AuditSubject) -> tuple[Sequence[TrainingSample], str]:
    """Return training samples for the page, or why it has none."""
    from centernet.data.audit_subject import training_samples
    from centernet.extras import explain

    try:
        return training_samples(subject), ""
    except ModuleNotFoundError as error:
        return (), f"They are left out: {explain(error, 'showing what training sees')}."


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("check", "Read data wholly, count what is there and name what is wrong.", EPILOG)
    parser.add_argument(
        "target", type=Path, metavar="CONFIG_OR_FOLDER", help="YAML configuration, folder of data, or COCO JSON file"
    )
    parser.add_argument("--format", help="voc, coco, yolo, mot, …; default: found out")
    parser.add_argument("--class-names", type=name_list, metavar="LIST", help="the classes, with commas between")
    parser.add_argument("--size", type=size, help="of the network's input, N or HEIGHTxWIDTH; default: 512")
    parser.add_argument("--stride", type=positive, help="of its output; default: 4")
    parser.add_argument(
        "--images", choices=("all", "none"), default="all",
        help="none looks at the annotations alone; COCO's images need not be there then",
    )  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with images")
    parser.add_argument("--fix-report", type=Path, metavar="FILE", help="write all errors and warnings as JSON")
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    parser.add_argument(
        "--workers", type=positive, default=processors, metavar="N",
        help="processes that read; default: %(default)s, as there are processors",
    )  # fmt: skip
    return parser
