"""Evaluate the tracker's presets on given detections (det.txt), by sequence.

OMP_NUM_THREADS=1 python benchmarks/tracking.py SHARED/data/mot/original

FOLDER has a folder for each sequence with det.txt, gt.txt and seqinfo.ini (MOTChallenge's files). Presets run online;
`default + gaps` is `default` with `fill_gaps` over up to 20 frames at 30 frames a second, after the last frame.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from centernet import Detections, Tracker
from centernet.annotations.mot import SequenceInfo, read_mot_detections
from centernet.annotations.problems import Reports
from centernet.evaluation.tracking import evaluate_tracking
from centernet.tracking import fill_gaps

SEQUENCES = ("TUD-Stadtmitte", "TUD-Campus", "PETS09-S3-MF1", "MOT17-02-FRCNN-full")
PRESETS = ("sort", "fairmot", "bytetrack", "default")
FIGURES = ("HOTA", "MOTA", "IDF1", "DetA", "AssA", "IDSW")


def track(folder: Path, preset: str, out: Path, *, gaps: bool) -> None:
    """Write the tracks of one sequence in MOTChallenge's form."""
    info = SequenceInfo.read(folder, Reports(strict=True))
    found = read_mot_detections(folder / "det.txt")
    assert info.length is not None and info.frame_rate is not None
    tracker = Tracker(preset, info.frame_rate)
    nothing = Detections.empty(("pedestrian",))
    frames = [tracker.update(found.get(number, nothing)) for number in range(1, info.length + 1)]
    if gaps:
        frames = fill_gaps(frames, max_gap=round(20 / 30 * info.frame_rate))
    with out.open("w", encoding="utf-8") as file:
        for number, frame in enumerate(frames, 1):
            assert frame.track_ids is not None
            rows = zip(frame.track_ids.tolist(), frame.bboxes.tolist(), frame.scores.tolist(), strict=True)
            for identity, (x1, y1, x2, y2), score in rows:
                file.write(
                    f"{number},{identity},{x1 + 1:.3f},{y1 + 1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},{score:.4f},-1,-1,-1\n"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES)
    options = parser.parse_args()
    print(f"{'sequence':<22}{'preset':<16}" + "".join(f"{name:>8}" for name in FIGURES))
    rows: dict[str, list[list[float]]] = {}
    for sequence in options.sequences:
        folder = options.folder / sequence
        for preset in (*PRESETS, "default + gaps"):
            with tempfile.TemporaryDirectory() as place:
                out = Path(place) / f"{sequence}.txt"
                track(folder, preset.split(" ")[0], out, gaps=preset.endswith("gaps"))
                stats = evaluate_tracking(folder / "gt.txt", out).stats
            values = [stats[name] for name in FIGURES]
            rows.setdefault(preset, []).append(values)
            print(line(sequence, preset, values), flush=True)
    for preset, values in rows.items():
        print(line("mean", preset, [sum(column) / len(values) for column in zip(*values, strict=True)]))


def line(sequence: str, preset: str, values: list[float]) -> str:
    cells = [f"{value:8.3f}" for value in values[:-1]] + [f"{values[-1]:8.4g}"]
    return f"{sequence:<22}{preset:<16}" + "".join(cells)


if __name__ == "__main__":
    main()
