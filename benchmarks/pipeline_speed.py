"""Time the way from a folder of JPEGs to detections: `Detector`, and a plain loop.

The plain loop is Pillow, torchvision, eager forward and decode. Both take turns in one run, over the same files;
processor time counts all threads of the process.

python benchmarks/pipeline_speed.py --images SHARED/data/coco/images
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision import transforms

from centernet import CenterNet, Detector
from centernet.images import list_images


def plain_loop(model: CenterNet, files: list[Path]) -> int:
    """Count the objects by the first loop that comes to mind, which leaves boxes in input pixels."""
    preprocessing = model.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize(preprocessing.size),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    objects = 0
    with torch.inference_mode():
        for file in files:
            image = transform(Image.open(file).convert("RGB"))
            found = model.decode_detections(model(image[None]), num_detections=100)
            objects += int((found["scores"] >= 0.3).sum())
    return objects


def clocked(work: Callable[[], int]) -> tuple[float, float, int]:
    """Return the wall and processor seconds of a call, and its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    objects = work()
    return time.perf_counter() - wall, time.process_time() - cpu, objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG files")
    parser.add_argument("--model", default="voc-lite", help="of the plain loop; a name or a folder")
    parser.add_argument("--onnx", help="the same as a file; written anew when left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=100, help="files a round")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = CenterNet.from_pretrained(given.model)
    files = list_images(given.images)[: given.limit]
    with tempfile.TemporaryDirectory() as folder:
        onnx = given.onnx or model.to_onnx(Path(folder) / "model.onnx")
        detector = Detector(onnx, threads=given.threads)
        ways: dict[str, Callable[[], int]] = {
            "plain loop": lambda: plain_loop(model, files),
            "Detector": lambda: sum(len(found) for found in detector(files)),
        }
        taken: dict[str, list[Any]] = {name: [] for name in ways}
        for i in range(given.rounds + 1):  # the first warms up
            for name, work in ways.items():
                result = clocked(work)
                if i:
                    taken[name].append(result)
    print(f"{len(files)} files, {given.threads} threads, median of {given.rounds} rounds; milliseconds an image")
    print(f"{'':12}{'wall':>8}{'CPU':>8}{'objects':>9}")
    for name, rows in taken.items():
        wall, cpu = (1000 * statistics.median(row[i] for row in rows) / len(files) for i in (0, 1))
        print(f"{name:12}{wall:8.1f}{cpu:8.1f}{rows[0][2]:9}")
    pairs = list(zip(*taken.values(), strict=True))
    wall, cpu = (statistics.median(plain[i] / ours[i] for plain, ours in pairs) for i in (0, 1))
    print(f"Detector is {wall:.2f}× as fast by the wall clock, {cpu:.2f}× by processor time (median of paired rounds)")


if __name__ == "__main__":
    main()
