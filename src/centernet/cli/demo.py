"""`centernet demo`: generated scenes, a small detector trained on them, its figures, images and a tracked clip.

centernet demo --output demo
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from centernet.claim import claimed
from centernet.cli.arguments import command_parser, positive
from centernet.cli.log import tell
from centernet.data import Synthetic, SyntheticSequences
from centernet.drawing import contact_sheet, draw
from centernet.images import read_image
from centernet.inference import Detector, MotWriter, VideoWriter, track
from centernet.tracking import Tracker
from centernet.whole import write_bytes, write_json

CONFIG = Path(__file__).with_name("demo.yaml")
EPILOG = """example:
  centernet demo --output demo

A few minutes on two processor cores; no data, network or GPU is needed."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; what it wrote is its last output."""
    parser = command_parser("demo", "Train and run a small detector on generated scenes.", EPILOG)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for all that is written")
    parser.add_argument("--epochs", type=positive, help="length of the training, for a quicker look")
    given = parser.parse_args(arguments)
    with claimed(given.output):
        return _demo(given.output, given.epochs)


def _demo(output: Path, epochs: int | None) -> int:
    """Run all parts of the demo, and say where their files are."""
    start = time.perf_counter()

    print("1. the model in the box on a photograph")
    photo = _photograph(output)

    from centernet.cli import fit

    print(f"2. training on generated scenes ({CONFIG.name}); a line an epoch")
    extra = [] if epochs is None else [f"--trainer.max_epochs={epochs}"]
    run = fit.run(["--config", str(CONFIG), "--output", str(output / "runs"), *extra], "fit")
    folder = Path(run.trainer.log_dir or output)
    checkpoint = folder / "checkpoints" / "best.ckpt"

    print("3. curves and figures")
    curves = _curves(folder / "metrics.csv", output / "curves.png")
    assert run.model.validated is not None
    last = run.model.validated.coco
    content = {
        "seconds": round(time.perf_counter() - start, 1),
        "last_epoch": last.stats,
        "per_class_AP": {result.name: result.ap for result in last.per_class},
    }
    figures = output / "figures.json"
    write_json(figures, content, indent=1)

    print("4. detection on fresh scenes")
    sheet = _detect(checkpoint, output)

    print("5. tracking in a generated video")
    clip = _track(checkpoint, output)

    print(f"\ndone in {(time.perf_counter() - start) / 60:.1f} minutes")
    tell(f"photograph: {photo}\nimages: {sheet}\nclip: {clip}\ncurves: {curves}")
    tell(f"figures: {figures}\ncheckpoint: {checkpoint}")
    print("next, on your own images with boxes (Pascal VOC or COCO): copy a file of configs/, change its paths, then")
    print("  python train.py --config configs/yours.yaml")
    tell(f"and with the detector of this demo:\n  centernet detect {output / 'scenes'} --model {checkpoint}")
    return 0


def _photograph(output: Path) -> Path:
    """Write matplotlib's sample photograph with the objects that the packaged model finds in it."""
    from matplotlib import get_data_path

    image = read_image(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg")
    found = Detector()(image)
    tell("   " + ", ".join(f"{name} {score:.2f}" for name, score in zip(found.names, found.scores, strict=True)))
    return _write(output / "photograph.jpg", draw(image, found))


def _write(path: Path, image: Any) -> Path:
    """Write an RGB image."""
    return write_bytes(path, cv2.imencode(path.suffix, image[..., ::-1])[1])


def _curves(metrics: Path, path: Path) -> Path:
    """Draw loss and AP against steps, from Lightning's CSV."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))

    def points(name: str) -> tuple[list[int], list[float]]:
        used = [row for row in rows if row.get(name)]
        return [int(row["step"]) for row in used], [float(row[name]) for row in used]

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for name in ("train/loss", "val/loss"):
        left.plot(*points(name), label=name)
    for name in ("val/AP", "val/AP50"):
        right.plot(*points(name), label=name)
    left.set(title="loss", xlabel="step", yscale="log")
    right.set(title="average precision", xlabel="step", ylim=(0, 1))
    for axes in (left, right):
        axes.legend()
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    plt.close(figure)
    return write_bytes(path, buffer.getbuffer())


def _detect(checkpoint: Path, output: Path) -> Path:
    """Write twelve scenes that no training or validation saw, with the objects that are found in them."""
    scenes = output / "scenes"
    fresh = Synthetic(12, size=(320, 320), objects=(1, 6), object_size=(0.15, 0.45), seed=2)
    for i in range(len(fresh)):
        _write(scenes / f"scene_{i:02d}.png", fresh[i].image)
    detector = Detector(checkpoint, score_threshold=0.3)
    drawn = [draw(frame.image, detections) for frame, detections in detector.stream(scenes)]
    return _write(output / "contact_sheet.jpg", contact_sheet(drawn, columns=4))


def _track(checkpoint: Path, output: Path) -> Path:
    """Write a clip of objects that meet and hide one another, with the identities that the tracker gives them."""
    scenes = SyntheticSequences(1, size=(320, 320), one_class=False, objects=(5, 5), seed=2)
    rate = scenes.sequences[0].frame_rate
    frames = [scenes.image(i).read()[0] for i in range(len(scenes))]
    detector = Detector(checkpoint, score_threshold=0.0)
    tracker = Tracker("bytetrack", rate, high_score=0.4, new_score=0.5)
    video = VideoWriter(output / "tracked", frame_rate=rate)
    with video, MotWriter(output / "tracked.txt", with_classes=True) as table:
        for frame, tracks in track(detector, tracker, frames):
            video.write(frame, tracks)
            table.write(frame, tracks)
    return video.path
