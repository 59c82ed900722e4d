"""`centernet evaluate-tracking GT RESULTS`: HOTA, MOTA, IDF1 and their kin of a tracker's files.

centernet evaluate-tracking data/MOT17/train tracks --output figures
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

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
    given = _parser().parse_args(arguments)

    from centernet.evaluation.tracking import evaluate_tracking

    result = evaluate_tracking(
        given.truth,
        given.results,
        format=given.format,
        class_names=given.classes,
        sequences=given.sequences,
        min_visibility=given.min_visibility,
    )
    print(result.table())
    if given.output is not None:
        path: Path = given.output / "tracking_metrics.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result.classes, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet evaluate-tracking",
        description="Compare a tracker's files with the truth: HOTA, MOTA, IDF1, of each sequence and of all together.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("truth", type=Path, metavar="GT", help="folder or file of true boxes")
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder or file of the tracker's boxes")
    parser.add_argument(
        "--format",
        choices=("mot15", "mot16", "mot17", "mot20", "kitti"),
        help="the benchmark's rules; default: found out for each sequence from its columns and name",
    )
    parser.add_argument(
        "--classes", type=_names, metavar="LIST", help="with commas between; default: pedestrian; KITTI car,pedestrian"
    )
    parser.add_argument(
        "--sequences", type=_names, metavar="LIST", help="names or quoted patterns, with commas between; default: all"
    )
    parser.add_argument(
        "--min-visibility", type=_fraction, default=0.0, metavar="SHARE",
        help="true boxes less visible than this, 0..1, are ignored (MOT16 on); default: %(default)s, the benchmark's",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="DIR", help="write tracking_metrics.json there")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not within 0..1")
    return value
