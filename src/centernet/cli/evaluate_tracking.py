"""`centernet evaluate-tracking GT RESULTS`: HOTA, MOTA, IDF1 and their kin of a tracker's files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from centernet.cli.arguments import add_options, command_parser, fraction, given_options, name_list, parameter_texts
from centernet.cli.log import tell
from centernet.inference.guard import Inputs
from centernet.whole import write_json

DESCRIPTION = "Compare a tracker's files with the truth: HOTA, MOTA, IDF1, of each sequence and of all together."
EPILOG = """examples:
  centernet evaluate-tracking data/MOT17/train tracks
  centernet evaluate-tracking data/MOT17/train tracks --sequences "MOT17-*-FRCNN" --output figures
  centernet evaluate-tracking data/KITTI/training/label_02 tracks --classes car
  centernet evaluate-tracking TUD-Campus/gt/gt.txt tracks/TUD-Campus.txt

GT: MOTChallenge's folder of sequences (SEQUENCE/gt/gt.txt, seqinfo.ini), one of them, KITTI's label_02, or a file.
RESULTS: a folder with SEQUENCE.txt for each, or a file for one sequence.
MOT: frame, id, left, top, width, height, score, -1, -1, -1. KITTI: its 17 columns of tracking labels, then the score.

Values are those of TrackEval, as fractions. The table shows the means over the sequences' IoU limits; the JSON file has
all figures, with those for each limit."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; the file that it wrote is its last output."""
    from centernet.evaluation.tracking import evaluate_tracking

    given = _parser().parse_args(arguments)
    result = evaluate_tracking(**given_options(given, evaluate_tracking))
    tell(result.table())
    if given.output is not None:
        path: Path = given.output / "tracking_metrics.json"
        Inputs([given.truth, given.results]).check(path)
        write_json(path, result.classes, indent=1)
        tell(f"wrote {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    from centernet.evaluation.tracking import evaluate_tracking

    parser = command_parser("evaluate-tracking", DESCRIPTION, EPILOG)
    parser.add_argument("truth", type=Path, metavar="GT", help="folder or file of true boxes")
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder or file of the tracker's boxes")
    options = "format", "sequences", "min_visibility"
    add_options(parser, evaluate_tracking, options, types={"min_visibility": fraction})
    classes = parameter_texts(evaluate_tracking)["class_names"]
    parser.add_argument(
        "--classes", dest="class_names", type=name_list, metavar="LIST", help=classes, default=argparse.SUPPRESS
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write tracking_metrics.json there")
    return parser
