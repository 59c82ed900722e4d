"""Count the identity switches of the tracker with and without embeddings, on the same detections.

python benchmarks/appearance.py

Trains the small tracker of configs/synthetic_tracking.yaml (minutes on one core; --checkpoint takes a trained one),
lets it find the objects in drawn videos that no training saw, and tracks these detections with several settings, each
with and without the embeddings. Objects meet, hide one another, and turn back as often as they pass by.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from centernet import CenterNet, Detections, Detector, Tracker
from centernet.cli import fit
from centernet.data import SyntheticSequences
from centernet.evaluation.tracking import TrackingEvaluator, Tracks

CONFIG = Path(__file__).parents[1] / "configs" / "synthetic_tracking.yaml"
FIGURES = ("IDSW", "IDF1", "HOTA", "AssA", "MOTA")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="of the network; without it one is trained")
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--length", type=int, default=180, help="frames of each sequence")
    parser.add_argument("--seed", type=int, default=200, help="of the sequences; training has 0 and 1")
    parser.add_argument("--output", default="appearance", help="folder of the training's run")
    given = parser.parse_args()

    checkpoint = given.checkpoint
    if checkpoint is None:
        start = time.process_time()
        run = fit.run(["--config", str(CONFIG), "--output", given.output], "fit")
        checkpoint = Path(run.trainer.log_dir or ".") / "checkpoints" / "best.ckpt"
        print(f"trained in {(time.process_time() - start) / 60:.1f} minutes of the processor")
    model = CenterNet.load_from_checkpoint(checkpoint)
    dataset = SyntheticSequences(given.sequences, length=given.length, size=model.preprocessing.size, seed=given.seed)
    found = detect(Detector(model, score_threshold=0.05, num_detections=50), dataset)

    without = {"appearance_limit": None}
    settings: list[tuple[str, bool, dict[str, Any]]] = [
        ("the configuration's", True, model.tracker),
        ("the configuration's", False, model.tracker | without),
        ("preset default", True, {}),
        ("preset default", False, without),
        ("preset fairmot", True, {"preset": "fairmot"}),
        ("preset fairmot", False, {"preset": "fairmot"} | without),
        ("preset bytetrack", False, {"preset": "bytetrack"}),
        ("preset sort", False, {"preset": "sort"}),
    ]
    print(f"{given.sequences} sequences of {given.length} frames, {dataset.num_identities} identities")
    print(f"{'tracker':<36} embeddings " + " ".join(f"{name:>6}" for name in FIGURES))
    switches: dict[bool, list[float]] = {True: [], False: []}
    for name, used, options in settings:
        figures = evaluate(options, dataset, found)
        switches[used].append(figures["IDSW"])
        values = " ".join(f"{figures[key]:6.0f}" if key == "IDSW" else f"{figures[key]:6.3f}" for key in FIGURES)
        print(f"{name:<36} {'yes' if used else 'no':<10} {values}")
    first, same, fewest = switches[True][0], switches[False][0], min(switches[False])
    print(f"identity switches with embeddings: {first / max(1, same):.2f} of those without, all else the same;")
    print(f"{first / max(1, fewest):.2f} of those of the setting without them that has the fewest")


def detect(detector: Detector, dataset: SyntheticSequences) -> list[list[Detections]]:
    """Return what is found in each frame of each sequence."""
    return [
        [
            detections
            for _, detections in detector.stream([dataset.image(i).read()[0] for i in range(video.start, video.stop)])
        ]
        for video in dataset.sequences
    ]


def evaluate(
    options: dict[str, Any], dataset: SyntheticSequences, found: Sequence[Sequence[Detections]]
) -> dict[str, float]:
    """Return the figures of a tracker over all sequences."""
    evaluator = TrackingEvaluator(dataset.class_names)
    for video, frames in zip(dataset.sequences, found, strict=True):
        tracker = Tracker(frame_rate=video.frame_rate, **options)
        truth = Tracks.from_annotations([dataset.annotation(i) for i in range(video.start, video.stop)])
        tracks = Tracks.from_detections([tracker.update(detections) for detections in frames])
        evaluator.update(video.name, truth, tracks, num_frames=len(video))
    return evaluator.compute().stats


if __name__ == "__main__":
    main()
