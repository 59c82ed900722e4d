"""`centernet check CONFIG_OR_FOLDER`: name what is wrong with data sets, before training on them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from centernet.cli.arguments import (
    DATA_OPTIONS,
    add_data_options,
    add_max_pixels,
    add_options,
    command_parser,
    data_options,
    given_options,
    positive,
    size,
)
from centernet.cli.log import tell
from centernet.cli.progress import Progress
from centernet.inference.guard import Inputs
from centernet.text import shown
from centernet.whole import write_text

READ_IMAGES = ("all", "none")
FOLDER_OPTIONS = ("class_names", "size", "stride")
EPILOG = """examples:
  centernet check data/VOC2007
  centernet check data/VOC2007 --html report.html --size 384
  centernet check configs/helmet.yaml --html report.html --fix-report defects.json
  centernet check annotations.json --read-images none
  centernet check export --format coco --images export/photos --splits train=first.json val=second.json

A configuration says input size, stride, classes and augmentation; of a folder the format is found out. Errors are
what would be left out or trained wrongly; with them the exit code is 1, with warnings alone 0."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 where errors were found.
    """
    parser = _parser()
    given = parser.parse_args(arguments)

    from centernet.annotations.problems import FilesRead
    from centernet.configuration import read_yaml
    from centernet.data.audit import audit
    from centernet.data.audit_subject import open_configuration, open_folder, training_samples
    from centernet.data.detect_format import find_format
    from centernet.data.report_html import report_as_html
    from centernet.data.report_text import report_as_text

    if getattr(given, "images", None) in READ_IMAGES:  # its former meaning
        given.read_images = given.images
        del given.images
    target, read_images = given.target, given.read_images == "all"
    read = FilesRead()
    content = read_yaml(target) if target.suffix in (".yaml", ".yml") and target.is_file() else None
    if content is None or not {"names", "nc"}.isdisjoint(content):  # as YOLO's data.yaml has
        source = find_format(target, **data_options(given))
        read = source.read
        subject = open_folder(source, require_images=read_images, **given_options(given, open_folder))
    elif wrong := [name.replace("_", "-") for name in (*DATA_OPTIONS, *FOLDER_OPTIONS) if hasattr(given, name)]:
        parser.error(f"--{wrong[0]} is for folders; {target} is a configuration, which says it")
    else:
        subject = open_configuration(content, source=str(target))
        if content.get("model") is not None:
            from centernet.network.build import network_of_section, without_start

            subject.use_network(network_of_section(without_start(content["model"]), source=str(target)))
    tell("\n".join(map(shown, [f"{target}: {subject.description}", *subject.notes])))
    progress = Progress(sum(map(len, subject.datasets.values())), unit="images")
    report = audit(
        subject.datasets,
        failed=subject.failed,
        unread=subject.unread,
        **subject.model,
        read_images=read_images,
        num_workers=0 if given.workers == 1 else given.workers,
        progress=progress.advance,
    )
    progress.close()
    tell(f"\n{report_as_text(report)}")
    files: dict[Path, str] = {}
    if given.html is not None:
        files[given.html] = report_as_html(
            report,
            title=str(target),
            subtitle=subject.description,
            samples=training_samples(subject) if read_images else (),
            configuration=subject.configuration,
        )
    if given.fix_report is not None:
        files[given.fix_report] = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
    Inputs([target, *(path for path in files if path in read)]).check(*files)
    for path, text in files.items():
        write_text(path, text, errors="backslashreplace")
    if files:
        tell("wrote " + " and ".join(map(str, files)))
    return 1 if report.count("error") else 0


def _parser() -> argparse.ArgumentParser:
    from centernet.data.audit_subject import open_folder

    parser = command_parser("check", "Read data wholly, count what is there and name what is wrong.", EPILOG)
    parser.add_argument(
        "target", type=Path, metavar="CONFIG_OR_FOLDER", help="YAML configuration, folder of data, or COCO JSON file"
    )
    add_data_options(parser, images=lambda text: text if text in READ_IMAGES else Path(text))
    add_options(parser, open_folder, FOLDER_OPTIONS, types={"size": size, "stride": positive})
    parser.add_argument(
        "--read-images", choices=READ_IMAGES, default="all",
        help="none looks at the annotations alone; COCO's images need not be there then",
    )  # fmt: skip
    add_max_pixels(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with images")
    parser.add_argument("--fix-report", type=Path, metavar="FILE", help="write all errors and warnings as JSON")
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    parser.add_argument(
        "--workers", type=positive, default=processors, metavar="N",
        help="processes that read; default: %(default)s, as there are processors",
    )  # fmt: skip
    return parser
