"""Many threads that call one detector: how many of the answers differ from those of the same call alone.

python benchmarks/thread_safety.py --images SHARED/data/voc2007/JPEGImages --calls 1000

Each form of the model is asked by 8 threads at once, and by a process that is spawned with the detector; a PyTorch
model is in training mode. Batch statistics and modes must be as they were. Forms whose packages lack are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from centernet import CenterNet, Detections, Detector
from centernet.export import ExportOptions, export
from centernet.images import read_image

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "PyTorch": ("", {}),
    "TorchScript": ("m.pt", {}),
    "torch.export": ("m.pt2", {}),
    "AOTInductor": ("compiled.pt2", {"compile": True}),
    "ONNX Runtime": ("m.onnx", {}),
    "OpenVINO": ("m.xml", {}),
}


def same(one: Detections, other: Detections, tolerance: float) -> bool:
    """Return True if the labels are equal and boxes (in pixels) and scores differ by no more than the tolerance."""
    return (
        np.array_equal(one.labels, other.labels)
        and bool(np.all(np.abs(one.scores - other.scores) <= tolerance))
        and bool(np.all(np.abs(one.bboxes - other.bboxes) <= 100 * tolerance))
    )


def differing(
    detector: Callable[[Any], Detections], images: Sequence[Any], calls: int, threads: int = 8, tolerance: float = 0.0
) -> int:
    """Return how many of the answers to calls from several threads are not those of the same call alone."""
    alone = [detector(image) for image in images]
    order = np.random.default_rng(0).integers(0, len(images), calls).tolist()
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda i: detector(images[i]), order))
    return sum(not same(answer, alone[i], tolerance) for i, answer in zip(order, answers, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="folder of images")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--side", type=int, default=96, help="of the network's input; default: %(default)s")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of scores; default: equal to the last bit")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="default: all")
    parser.add_argument("--model", default="voc-lite", help="a name or a folder")
    given = parser.parse_args()
    files = sorted(Path(given.images).iterdir())[:24]
    images = [read_image(file) for file in files]
    model = CenterNet.from_pretrained(given.model)
    model.preprocessing = type(model.preprocessing).from_dict(
        model.preprocessing.to_dict() | {"size": [given.side, given.side]}
    )
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    print("| form | calls | other answers | in a spawned process |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for form in given.forms:
            file, options = FORMS[form]
            try:
                source = export(model.network, Path(folder) / file, ExportOptions(**options)) if file else model
                detector = Detector(source, score_threshold=0.05)
            except (ImportError, FileNotFoundError) as error:
                print(f"| {form} | left out: {error} | | |", flush=True)
                continue
            wrong = differing(detector, images, given.calls, tolerance=given.tolerance)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                there = pool.map(detector, images[:3])
            alike = all(same(one, detector(image), 1e-5) for one, image in zip(there, images, strict=False))
            print(f"| {form} | {given.calls} | {wrong} | {'the same' if alike else 'OTHERS'} |", flush=True)
    kept = all((value == before[name]).all() for name, value in model.state_dict().items())
    print(f"\nbatch statistics and mode of the model as before: {kept and model.training}")


if __name__ == "__main__":
    main()
