"""Compare the speed of two checkouts of this repository, which take turns in one run, a process each.

python benchmarks/two_checkouts.py OLD NEW --annotations SHARED/data/voc2007/train.json \
    --images SHARED/data/voc2007/JPEGImages --pairs 10

The rows are the package's own ones of training_throughput.py, dataloading.py, export_speed.py, pipeline_speed.py and
association.py, and use only names that both checkouts have. A process does the works of a row in turns and takes the
median of each. Speed is old / new seconds, so more than 1 is faster: the median of the pairs and its 95 % bootstrap
interval. Processor time is user and system of all threads. A checkout against itself shows what is chance.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Works = dict[str, Callable[[], object]]
Seconds = dict[str, list[float]]  # of the processor, of the wall clock
FORMS = {"onnx": "model.onnx", "torchscript": "model.pt"}
if find_spec("openvino"):
    FORMS["openvino"] = "model.xml"


def training(given: argparse.Namespace) -> Works:
    """Return whole training steps, data included: a batch of 8 at 256 px."""
    from training_throughput import batches_of, choose_precision, network, own_step

    from centernet.data import COCO

    dataset = COCO(given.annotations, given.images)
    model = network(len(dataset.class_names), 256)
    steps: Works = {}
    for precision in dict.fromkeys(["32-true", choose_precision("cpu")]):
        trained: Any = network(len(dataset.class_names), 256)
        trained = getattr(trained, "network", trained)  # checkouts before `centernet.network` have but the model
        steps[precision] = own_step(trained, batches_of(dataset, model, 8), precision)
    return steps


def loading(given: argparse.Namespace) -> Works:
    """Return the reading of 64 images in batches of 16 at 512 px, from files and from memory."""
    from dataloading import Augment, Cached, Mosaic, Preprocessing, ours

    from centernet.data import COCO, RandomSubset

    dataset = RandomSubset(COCO(given.annotations, given.images), count=64)
    inputs = (Preprocessing((512, 512)),)

    def kept(transform: Any) -> Any:
        if "inputs" in inspect.signature(Cached).parameters:
            return Cached(dataset, 4.0, transform=transform, inputs=inputs)
        from centernet.data.cache import Needs  # of earlier checkouts

        return Cached(dataset, 4.0, needs=Needs(transform, inputs))

    def epoch(pipeline: Callable[[int, list[int]], Any]) -> None:
        for start in range(0, len(dataset), 16):
            pipeline(0, list(range(start, start + 16)))

    works: Works = {}
    for name, transform in (("Augment", Augment()), ("Mosaic", Mosaic(mosaic=1, mixup=0))):
        cached = kept(transform)
        works[name] = functools.partial(epoch, ours(dataset, 512, transform))
        works[f"{name}, cache: memory"] = functools.partial(epoch, ours(cached, 512, transform))
    return works


def export(given: argparse.Namespace) -> Works:
    """Return 10 calls with one input of the model of the package, in each form that it can be exported to."""
    from centernet import Detector

    images = np.random.default_rng(0).integers(0, 256, (1, 320, 320, 3), np.uint8)

    def calls(runtime: Any) -> None:
        for _ in range(10):
            runtime(images, 100)

    models = {"PyTorch": "voc-lite"} | {form: given.files / file for form, file in FORMS.items()}
    opened = {name: Detector(model, threads=given.threads, device="cpu") for name, model in models.items()}
    return {name: functools.partial(calls, detector.runtime) for name, detector in opened.items()}


def pipeline(given: argparse.Namespace) -> Works:
    """Return the way from 60 files to detections, by the exported ONNX file."""
    from centernet import Detector
    from centernet.images import list_images

    detector = Detector(given.files / "model.onnx", threads=given.threads)
    return {"Detector": functools.partial(detector, list_images(given.images)[:60])}


def association(given: argparse.Namespace) -> Works:
    """Return the tracking of 100 frames of few and of many objects."""
    from association import crowd

    from centernet import Tracker

    def track(preset: str, scenes: list[Any]) -> None:
        tracker = Tracker(preset)
        for scene in scenes:
            tracker.update(scene)

    works: Works = {}
    for objects in (50, 500):
        scenes = crowd(objects, 100)
        for preset in ("bytetrack", "default", "sort"):
            works[f"{preset}, {objects} objects"] = functools.partial(track, preset, scenes)
    return works


ROWS: dict[str, tuple[Callable[[argparse.Namespace], Works], int]] = {  # with the rounds of a process
    "training": (training, 4),
    "loading": (loading, 6),
    "export": (export, 8),
    "pipeline": (pipeline, 6),
    "association": (association, 6),
}


def run_row(arguments: list[str]) -> None:
    """Do the works of a row in turns, in a process of its own, and print the median seconds of each as JSON."""
    parser = argparse.ArgumentParser()
    for name, kind in (("row", str), ("annotations", Path), ("images", Path), ("files", Path), ("threads", int)):
        parser.add_argument(name, type=kind)
    given = parser.parse_args(arguments)
    import cv2
    import torch

    cv2.setNumThreads(given.threads)
    torch.set_num_threads(given.threads)
    make, rounds = ROWS[given.row]
    works = make(given)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            if turn:  # the first warms up
                taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    print(json.dumps({name: np.median(seconds, axis=0).tolist() for name, seconds in taken.items()}))


def in_checkout(checkout: Path, command: list[str], threads: int) -> str:
    """Run Python with the package of a checkout, and return the last line that it printed."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    environment = {**os.environ, **counts, "PYTHONPATH": str(checkout / "src"), "NO_ALBUMENTATIONS_UPDATE": "1"}
    command = [sys.executable, "-W", "ignore", *command]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"error: {checkout}: {' '.join(command)}: exit {result.returncode}\n{result.stderr[-2000:]}")
    return result.stdout.splitlines()[-1]


def speed(old: Array, new: Array) -> str:
    """Return the median of old / new over the pairs, with its 95 % bootstrap interval."""
    ratios = old / new
    medians = np.median(np.random.default_rng(0).choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{np.median(ratios):.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of a checkout")
    parser.add_argument("new", type=Path, help="folder of the other")
    parser.add_argument("--annotations", type=Path, required=True, help="of a COCO data set")
    parser.add_argument("--images", type=Path, required=True, help="its folder of images")
    parser.add_argument("--rows", default=",".join(ROWS), help="default: %(default)s")
    parser.add_argument("--pairs", type=int, default=10, help="runs of each checkout; default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    given = parser.parse_args()
    rows = given.rows.split(",")
    if unknown := [row for row in rows if row not in ROWS]:
        parser.error(f"--rows: no row is called {unknown[0]!r}; choose among {', '.join(ROWS)}")
    checkouts = [given.old.resolve(), given.new.resolve()]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / "old", Path(name) / "new"]
        if {"export", "pipeline"} & set(rows):
            for checkout, folder in zip(checkouts, folders, strict=True):
                for form, file in FORMS.items():
                    command = ["-m", "centernet", "export", "voc-lite", "--format", form, "--output"]
                    in_checkout(checkout, [*command, str(folder / file)], given.threads)
        print(f"{given.pairs} pairs, threads: {given.threads}\n")
        header = "| row | old, CPU ms | new, CPU ms | speed by processor time | by wall clock |"
        print(f"{header}\n|---|---|---|---|---|", flush=True)
        for row in rows:
            results: tuple[list[Seconds], list[Seconds]] = ([], [])
            for pair in range(given.pairs):
                for i in (1, 0) if pair % 2 else (0, 1):
                    command = [__file__, "row", row, *map(str, (given.annotations, given.images, folders[i]))]
                    printed = in_checkout(checkouts[i], [*command, str(given.threads)], given.threads)
                    results[i].append(json.loads(printed))
            for work in results[0][0]:
                (cpu, wall), (new_cpu, new_wall) = (np.array([one[work] for one in part]).T for part in results)
                ms = [f"{1000 * np.median(seconds):.1f}" for seconds in (cpu, new_cpu)]
                cells = [f"{row}: {work}", *ms, speed(cpu, new_cpu), speed(wall, new_wall)]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["row"]:
        run_row(sys.argv[2:])
    else:
        main()
