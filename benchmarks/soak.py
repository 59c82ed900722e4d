"""Long runs in which memory must stay flat: the resident set after a tenth of the work and at its end.

    python benchmarks/soak.py                    20,000 images, two hours of video, 10,000 calls, a million detections
    python benchmarks/soak.py --scale 0.05       a twentieth of each
    python benchmarks/soak.py --scale 0.05 video calls

Each kind of run has a process of its own. Images are small and the network is a stand-in that finds bright pixels, so
what is measured is reading, tracking, writing and evaluating, not torch. A run whose resident set (read from /proc, so:
Linux) is more than 5 % larger at 100 % than at 10 % fails, and the exit code is 1. An evaluation holds what it is to
evaluate: it is measured in rounds of a thousand images each.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from centernet import Detections, Detector, Tracker
from centernet.cli.main import main as centernet_main
from centernet.evaluation import VocEvaluator
from centernet.images import Preprocessing
from centernet.inference import opening
from centernet.inference.tracking import track

MOST_GROWTH = 1.05
FRAME_RATE = 25


class Bright:
    """A runtime without a network: the box around the bright pixels of each image, and K - 1 that mean nothing."""

    preprocessing = Preprocessing((64, 64))
    class_names = ("bright", "other")
    num_detections = 20

    def __call__(self, images: Any, num_detections: int) -> dict[str, Any]:
        shape = len(images), min(num_detections, self.num_detections)
        boxes, scores = np.zeros((*shape, 4), np.float32), np.full(shape, 0.01, np.float32)
        for place, image in enumerate(images):
            rows, columns = np.nonzero(image[..., 0] > 127)
            if len(rows):
                boxes[place, 0] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                scores[place, 0] = 0.9
        return {"bboxes": boxes, "labels": np.zeros(shape, np.int64), "scores": scores}


class Meter:
    """Notes the resident set after a tenth of `total` steps, and at the end."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.sizes = total, 0, list[float]()

    def step(self, number: int = 1) -> None:
        before, self.done = self.done, self.done + number
        for mark in (max(1, self.total // 10), self.total):
            if before < mark <= self.done:
                gc.collect()
                pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
                self.sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def scene(number: int) -> Any:
    """Return a dark image 64×64×3 with a bright square, another for each number."""
    image = np.zeros((64, 64, 3), np.uint8)
    x, y = number * 3 % 40, number * 7 % 40
    image[y : y + 16, x : x + 16] = 255
    return image


def images(meter: Meter, folder: Path) -> None:
    """`centernet detect` on a folder: one link to one of a hundred files for each image; boxes to JSON."""
    source = folder / "images"
    source.mkdir()
    for number in range(100):
        cv2.imwrite(str(folder / f"{number}.png"), scene(number))
    for number in range(meter.total):
        os.link(folder / f"{number % 100}.png", source / f"{number:06}.png")

    class Counting(Bright):
        def __call__(self, images: Any, num_detections: int) -> dict[str, Any]:
            meter.step(len(images))
            return super().__call__(images, num_detections)

    model = folder / "model.onnx"
    model.touch()
    opening.open_runtime = lambda *_, **__: Counting()  # type: ignore[assignment]
    sys.modules["centernet.inference.detector"].open_runtime = opening.open_runtime  # type: ignore[attr-defined]
    code = centernet_main(
        ["detect", str(source), "--model", str(model), "--output", str(folder / "out"), "--format", "json"]
    )
    if code:
        raise SystemExit(code)


def video(meter: Meter, folder: Path) -> None:
    """Tracking in a video file of small frames."""
    path = folder / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FRAME_RATE, (64, 64))
    for number in range(meter.total):
        writer.write(scene(number // 5))
    writer.release()
    for _ in track(Detector(Bright(), batch_size=8), Tracker(frame_rate=FRAME_RATE), str(path)):
        meter.step()


def calls(meter: Meter, folder: Path) -> None:
    """One call of a `Detector` after the other, with arrays of changing sizes."""
    detector = Detector(Bright())
    for number in range(meter.total):
        detector(np.pad(scene(number), ((0, number % 50), (0, number % 30), (0, 0))))
        meter.step()


def detections(meter: Meter, folder: Path) -> None:
    """Detections through an evaluator, a thousand images with a hundred boxes each a round."""
    rng = np.random.default_rng(0)
    each, most = 100, 1000
    while meter.done < meter.total:
        evaluator = VocEvaluator(["a", "b"])
        for number in range(min(most, -(-(meter.total - meter.done) // each))):
            boxes = np.repeat(rng.uniform(0, 500, (each, 2)), 2, axis=0).reshape(each, 4)
            boxes[:, 2:] += 20
            found = Detections(boxes, rng.integers(0, 2, each), rng.random(each))
            truth = dict(boxes=boxes[:5], labels=found.labels[:5], ignore=np.zeros(5, bool), areas=np.full(5, 400.0))
            evaluator.update(SimpleNamespace(image_id=number, **truth), found)
        evaluator.compute()
        meter.step(len(evaluator) * each)


KINDS: dict[str, tuple[Callable[[Meter, Path], None], int]] = {
    "images": (images, 20_000),
    "video": (video, 2 * 60 * 60 * FRAME_RATE),
    "calls": (calls, 10_000),
    "detections": (detections, 1_000_000),
}


def run(kind: str, scale: float) -> None:
    """Run one kind in this process, and print its line."""
    function, size = KINDS[kind]
    meter, start = Meter(max(10, round(size * scale))), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        function(meter, Path(folder))
    first, last = meter.sizes
    spent = time.process_time() - start
    sizes = f"{first:6.0f} MiB at 10 %, {last:6.0f} at the end: ×{last / first:.3f}"
    print(f"{kind:10} {meter.total:>9,}   {sizes}, {spent:.0f} s of CPU")
    if last > MOST_GROWTH * first:
        raise SystemExit(f"{kind}: memory grows")


def failed(kinds: list[str], scale: float) -> Iterator[str]:
    """Run each kind in a process of its own; yield those that fail."""
    for kind in kinds:
        command = [sys.executable, __file__, "--here", "--scale", str(scale), kind]
        if subprocess.run(command, check=False).returncode:
            yield kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all of them unless some are named")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full sizes")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    kinds = given.kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if given.here:
        run(kinds[0], given.scale)
    elif list(failed(kinds, given.scale)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
