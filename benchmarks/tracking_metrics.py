"""Time the tracking metrics beside TrackEval's in the same run, and compare the figures of both.

pip install trackeval
python benchmarks/tracking_metrics.py --truth SHARED/data/mot/original/MOT17-02-FRCNN-full \
    --results SHARED/data/oracles/tracking/results/mot17_full_all_classes

One thread; seconds of the processor; the two take turns, and the median of the turns' ratios is the ratio. The measured
sequence has MOT17's classes. Reading apart, both begin with the numbers of the files as arrays.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import contextlib
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trackeval

from centernet.evaluation.tracking import TrackingEvaluator, Tracks, evaluate_tracking
from centernet.evaluation.tracking.benchmarks import read_tracks
from centernet.evaluation.tracking.files import find_sequences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--truth", type=Path, required=True, help="folder of one sequence: gt.txt or gt/gt.txt, seqinfo.ini"
    )
    parser.add_argument("--results", type=Path, required=True, help="folder with SEQUENCE.txt")
    parser.add_argument("--turns", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        theirs = Theirs(given.truth, given.results, Path(folder))
        read = arrays(given.truth, given.results)

        def ours_without_reading() -> Mapping[str, Any]:
            evaluator = TrackingEvaluator()
            truth, found = (Tracks(*columns) for columns in read[:2])
            evaluator.update(theirs.name, truth, found, num_frames=read[2])
            return evaluator.compute().classes["pedestrian"][theirs.name]

        def ours() -> Mapping[str, Any]:
            result = evaluate_tracking(given.truth, given.results, format="mot17")
            return result.classes["pedestrian"][theirs.name]

        for name, mine, other in (
            ("with reading the files", ours, theirs.evaluate),
            ("without", ours_without_reading, theirs.evaluate_without_reading),
        ):
            difference = greatest_difference(mine(), other())  # also warms both up
            pairs = [(seconds(mine), seconds(other)) for _ in range(given.turns)]
            here, there = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            print(
                f"{name}: {1000 * here:.0f} ms, TrackEval {trackeval_version()} {1000 * there:.0f} ms, "
                f"{ratio:.1f} times as long; the figures differ by at most {difference:.1e}"
            )


class Theirs:
    """Runs TrackEval's evaluation of one sequence by MOT17's rules, in the layout that it wants."""

    def __init__(self, truth: Path, results: Path, folder: Path) -> None:
        self.name = truth.resolve().name
        own = next(path for path in (truth / "gt/gt.txt", truth / "gt.txt") if path.is_file())
        for source, target in (
            (own, folder / "gt" / self.name / "gt/gt.txt"),
            (truth / "seqinfo.ini", folder / "gt" / self.name / "seqinfo.ini"),
            (results / f"{self.name}.txt", folder / "trackers/one/data" / f"{self.name}.txt"),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        config = {
            **trackeval.datasets.MotChallenge2DBox.get_default_dataset_config(),
            "GT_FOLDER": str(folder / "gt"),
            "TRACKERS_FOLDER": str(folder / "trackers"),
            "TRACKERS_TO_EVAL": ["one"],
            "BENCHMARK": "MOT17",
            "SEQ_INFO": {self.name: None},
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            self.dataset = trackeval.datasets.MotChallenge2DBox(config)
            quiet = {"PRINT_CONFIG": False}
            self.metrics = [
                trackeval.metrics.HOTA(),
                trackeval.metrics.CLEAR(quiet),
                trackeval.metrics.Identity(quiet),
                trackeval.metrics.Count(),
            ]
        self._load = self.dataset._load_raw_file
        self._loaded = {is_gt: self._load("one", self.name, is_gt) for is_gt in (True, False)}

    def evaluate(self) -> Mapping[str, Any]:
        raw = self.dataset.get_raw_seq_data("one", self.name)
        data = self.dataset.get_preprocessed_seq_data(raw, "pedestrian")
        return {name: value for metric in self.metrics for name, value in metric.eval_sequence(data).items()}

    def evaluate_without_reading(self) -> Mapping[str, Any]:
        self.dataset._load_raw_file = lambda tracker, sequence, is_gt: dict(self._loaded[is_gt])
        try:
            return self.evaluate()
        finally:
            self.dataset._load_raw_file = self._load


def arrays(truth: Path, results: Path) -> tuple[tuple[Any, ...], tuple[Any, ...], int]:
    """Return the columns of true and found tracks, and the number of frames."""
    (file,) = find_sequences(truth, results)
    ((_, own, found, num_frames),) = read_tracks(file, "mot17", ("pedestrian",))
    columns = [(tracks.frames, tracks.ids, tracks.boxes, tracks.roles) for tracks in (own, found)]
    return columns[0], columns[1], num_frames


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def greatest_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """Return the greatest difference over all figures that both have."""
    names = {name: f"{name}_alpha" if np.ndim(value) else name for name, value in theirs.items()}
    shared = {name: own for name, own in names.items() if own in ours}
    return max(float(np.abs(np.subtract(theirs[name], ours[own])).max()) for name, own in shared.items())


def trackeval_version() -> str:
    from importlib.metadata import version

    return version("trackeval")


if __name__ == "__main__":
    main()
