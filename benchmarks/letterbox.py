"""The objects that files of every format find in photographs of any size, against those that PyTorch finds.

python benchmarks/letterbox.py --images SHARED/data/coco/images --formats onnx torchscript openvino pt2

The images are given as arrays, then mosaics of 12 megapixels made of them, and then the images' own paths, from which
large JPEG files are decoded at a part of their size: `path` compares each form of the model with itself. An object of a
score of at least .32 on either side is matched where the other has one of its class with an IoU of at least .9 and a
score that differs by no more than .02. Files resize in their graphs where the format has a letterbox. Exits with 1
where an object is unmatched.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet import Detections, Detector
from centernet.boxes import iou
from centernet.export import FORMATS, ExportOptions, export
from centernet.images import list_images, read_image
from centernet.network import load_network

SCORE, IOU, APART = 0.32, 0.9, 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="folder of photographs")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--model", default="voc-lite", help="a name, a folder or a checkpoint")
    parser.add_argument("--mosaics", type=int, default=5, help="default: %(default)s")
    given = parser.parse_args()
    files = list_images(given.images)
    arrays = [read_image(file) for file in files]
    mosaics = [mosaic(arrays[i :: given.mosaics]) for i in range(given.mosaics)]
    network = load_network(given.model)
    print("| form | images | number | objects | unmatched | largest difference of scores |\n|---|---|---|---|---|---|")
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        forms: dict[str, Callable[[], Any]] = {"PyTorch": lambda: network}
        for name in given.formats:
            options = ExportOptions(letterbox="letterbox" in FORMATS[name].options)
            path = Path(folder) / f"model{FORMATS[name].suffix}"
            forms[name] = lambda path=path, options=options: export(network, path, options)
        eager: dict[str, list[Detections]] = {}
        for name, make in forms.items():
            detector = Detector(make(), score_threshold=SCORE - APART, num_detections=100, batch_size=1)
            found = {
                kind: [detector(source) for source in sources]
                for kind, sources in {"array": arrays, "mosaic": mosaics, "path": files}.items()
            }
            eager = eager or found
            pairs = {kind: (found[kind], eager[kind]) for kind in ("array", "mosaic") if name != "PyTorch"}
            for kind, (own, other) in {**pairs, "path": (found["path"], found["array"])}.items():
                objects, unmatched, apart = compare(own, other)
                print(f"| {name} | {kind} | {len(own)} | {objects} | {unmatched} | {apart:.4f} |", flush=True)
                lost += unmatched
    return int(lost > 0)


def mosaic(images: Sequence[NDArray[np.uint8]], size_hw: tuple[int, int] = (3000, 4000)) -> NDArray[np.uint8]:
    """Return images in rows from the top left, repeated and cut at the edges."""
    canvas = np.zeros((*size_hw, 3), np.uint8)
    top = number = 0
    while top < size_hw[0]:
        left = tallest = 0
        while left < size_hw[1]:
            image = images[number % len(images)]
            place = canvas[top : top + image.shape[0], left : left + image.shape[1]]
            place[:] = image[: place.shape[0], : place.shape[1]]
            left, tallest, number = left + image.shape[1], max(tallest, image.shape[0]), number + 1
        top += tallest
    return canvas


def compare(first: Sequence[Detections], second: Sequence[Detections]) -> tuple[int, int, float]:
    """Return the objects of both sides, those of them without a partner, and how far partners' scores are apart."""
    objects, unmatched, largest = 0, 0, 0.0
    for one, other in [*zip(first, second, strict=True), *zip(second, first, strict=True)]:
        clear = one.filter(score_threshold=SCORE)
        objects += len(clear)
        same = (iou(clear.bboxes, other.bboxes) >= IOU) & (clear.labels[:, None] == other.labels)
        apart = np.where(same, np.abs(clear.scores[:, None] - other.scores), np.inf).min(axis=1, initial=np.inf)
        unmatched += int((apart > APART).sum())
        largest = max(largest, float(apart[np.isfinite(apart)].max(initial=0)))
    return objects, unmatched, largest


if __name__ == "__main__":
    sys.exit(main())
