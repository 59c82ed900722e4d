"""`centernet evaluate TRUTH DETECTIONS`: figures of detections, or of tracks, that are in files.

centernet evaluate data/VOC2007 found/detections.json --split test
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from centernet.annotations.problems import DataError, describe_problems, with_nearest
from centernet.cli.arguments import add_data_options, add_options, command_parser, data_options, given_options
from centernet.cli.log import tell
from centernet.data.detect_format import Source, find_format
from centernet.evaluation import EvaluationResult, evaluate_crowdhuman, evaluate_files, evaluate_kitti
from centernet.evaluation.tracking import evaluate_tracking
from centernet.evaluation.tracking.files import truth_files
from centernet.inference.guard import Inputs
from centernet.whole import write_json

EPILOG = """examples:
  centernet evaluate instances_val2017.json results.json
  centernet evaluate data/VOC2007 detections/detections.json --split test --output figures
  centernet evaluate helmets/data.yaml runs/detect/val/labels
  centernet evaluate data/VOC2007 results/VOC2007/Main --split test
  centernet evaluate data/MOT17/train tracks

TRUTH: a folder or file of annotations in any format of `centernet check`.
DETECTIONS: COCO's list of results, detections.json or detections.csv of `centernet detect`, a folder of YOLO's text
files with scores, VOC's comp4_det_SPLIT_CLASS.txt, KITTI's result files, CrowdHuman's .odgt; for videos with identities
the files that `centernet evaluate-tracking` takes.

Images are matched by their names (by their stems where the files have no suffix), classes by theirs. COCO's and Pascal
VOC's figures are given, and those of the benchmark that the truth is of."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; the file that it wrote is its last output."""
    given = _parser().parse_args(arguments)
    source = find_format(given.truth, **data_options(given))
    split = _split(source, given.split)
    _use_as_truth(source)
    tell(f"{given.truth}: {source.description}; {split}", flush=True)
    table, content = _tracks(source, split, given.detections) or _detections(source, split, given)
    tell(table)
    if given.output is not None:
        path: Path = given.output / "figures.json"
        Inputs([given.truth, given.detections]).check(path)
        write_json(path, content, indent=1, ensure_ascii=False)
        tell(f"wrote {path}")
    return 0


def _detections(source: Source, split: str, given: argparse.Namespace) -> tuple[str, Any]:
    """Return the figures of detections, as text and for JSON."""
    try:
        dataset = source.open(split)
    except DataError as error:
        own = _own_figures(source, split, given.detections)
        if own is None:
            raise
        tell(f"the benchmark's own figures alone, as the images cannot be read: {error}", file=sys.stderr)
        return f"{own.title}\n{own.table()}", {"figures": dict(own.stats)}
    for line in describe_problems(dataset.problems, 5):
        tell(line, file=sys.stderr)
    annotations = source.arguments(split).get("annotations") if source.format.name == "coco" else None
    result = evaluate_files(**given_options(given, evaluate_files) | {"truth": dataset, "annotations": annotations})
    tell("\n".join([f"{given.detections}: {result.kind}", *(f"  {note}" for note in result.notes), ""]))
    return result.figures.table(), result.to_dict()


def _split(source: Source, given: str | None) -> str:
    """Return the split to evaluate on: the one given, the only one, or that of validation or testing."""
    splits = list(source.splits)
    if given is not None and given not in splits:
        raise DataError(f"{source.path}: no split {with_nearest([given], splits)}; there are {', '.join(splits)}")
    usual = [name for name in ("val", "test") if name in splits] or (splits if len(splits) == 1 else [])
    if given is None and not usual:
        raise DataError(f"{source.path}: which of the splits {', '.join(splits)} is the truth? --split says it")
    return given or usual[0]


def _use_as_truth(source: Source) -> None:
    """Set the options of the reader that make the data what benchmarks compare with."""
    if source.format.name == "images":
        raise DataError(f"{source.path}: images without annotations; TRUTH is a data set with true boxes")
    if source.format.name == "coco":
        source.options["require_images"] = False
    if source.format.name == "crowdhuman":  # the boxes are those of whole persons
        source.options["amodal"] = True


def _tracks(source: Source, split: str, found: Path) -> tuple[str, Any] | None:
    """Return the figures of a tracker's files, as text and for JSON; None where the detections are something else."""
    if source.format.name not in ("mot", "kitti"):
        return None
    root = Path(source.arguments(split)["root"])
    named = (folder / f"{name}.txt" for name in truth_files(root) for folder in (found, found / "data"))
    if not (found.suffix == ".txt" if found.is_file() else any(map(Path.is_file, named))):
        return None
    result = evaluate_tracking(root, found)
    return result.table(), result.classes


def _own_figures(source: Source, split: str, found: Path) -> EvaluationResult | None:
    """Return the figures of CrowdHuman or KITTI, for which the images need not be there, where the detections are in
    the benchmark's own form; else None."""
    arguments = source.arguments(split)
    if source.format.name == "crowdhuman" and found.suffix == ".odgt":
        return evaluate_crowdhuman(arguments["annotations"], found)
    if source.format.name == "kitti-detection" and found.is_dir():
        root = Path(arguments["root"])
        folders = (root / "training/label_2", root / "label_2", root / "labels", root)
        return evaluate_kitti(next(folder for folder in folders if any(folder.glob("*.txt"))), found)
    return None


def _parser() -> argparse.ArgumentParser:
    text = (
        "Compute the figures of detections in files: COCO's, Pascal VOC's, CrowdHuman's, KITTI's, or those of tracks."
    )
    parser = command_parser("evaluate", text, EPILOG)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="folder of data, or a file of annotations")
    parser.add_argument("detections", type=Path, metavar="DETECTIONS", help="file or folder of detections")
    add_data_options(parser)
    parser.add_argument("--split", help="of the truth; default: val, else test, else the only one")
    add_options(parser, evaluate_files, ["score_column"])
    parser.add_argument("--output", type=Path, metavar="DIR", help="write figures.json there")
    return parser
