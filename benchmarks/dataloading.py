"""Measure images a second of the training pipeline against PIL + torchvision and cv2 + albumentations, same work.

python benchmarks/dataloading.py --annotations SHARED/data/coco/annotations.json
python benchmarks/dataloading.py --annotations SHARED/data/coco/annotations.json --enlarge

Every pipeline decodes, takes a random window of .6 to 1.4 images around a point up to .3 from the middle, mirrors one
in two, changes brightness, contrast, saturation and hue, moves the boxes, and makes a uint8 tensor of a batch. CPU time
of one process and one thread. The pipelines take turns with every batch, so that all of them see the same machine.

With --enlarge the images are of 3000 × 2250, twelve of the given ones side by side in each, as JPEG of quality 90 in
a temporary folder: as detailed as photographs of that size are (about two bits a pixel).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from centernet.data import COCO, Augment, DetectionDataset, Mosaic, Transform
from centernet.data.cache import Cached
from centernet.data.convert import convert
from centernet.data.loading import BatchKey, BatchReader
from centernet.images import Preprocessing

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
SCALE, SHIFT, AMOUNT, HUE = (1 / 1.4, 1 / 0.6), 0.3, 0.4, 0.02
Pipeline = Callable[[int, list[int]], Any]


def ours(dataset: DetectionDataset, size: int, transform: Transform) -> Pipeline:
    reader = BatchReader(dataset, transform, Preprocessing((size, size)), training=True)
    return lambda epoch, indices: reader[BatchKey(epoch, 0, indices)]


def with_torchvision(dataset: DetectionDataset, size: int, *, tensors: bool) -> Pipeline:
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    geometry = [
        v2.Resize(None, max_size=size),
        v2.CenterCrop(size),
        v2.RandomAffine(0, (SHIFT, SHIFT), SCALE, fill=114),
    ]
    rest = [v2.RandomHorizontalFlip(0.5), v2.ColorJitter(AMOUNT, AMOUNT, AMOUNT, HUE)]
    boxes = [v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes()]
    to_tensor = [v2.PILToTensor()]
    steps = [*to_tensor, *geometry, *rest, *boxes] if tensors else [*geometry, *rest, *boxes, *to_tensor]
    pipeline = v2.Compose(steps)

    def one(index: int) -> Any:
        truth = dataset.annotation(index)
        with Image.open(truth.path) as file:
            image = file.convert("RGB")
        canvas = (truth.height, truth.width)
        given = tv_tensors.BoundingBoxes(truth.boxes.copy(), format="XYXY", canvas_size=canvas)
        return pipeline({"image": image, "boxes": given, "labels": torch.from_numpy(truth.labels.copy())})["image"]

    return lambda epoch, indices: torch.stack([one(index) for index in indices])


def with_albumentations(dataset: DetectionDataset, size: int, *, affine_first: bool, area: bool) -> Pipeline:
    import albumentations as A

    fit = [
        A.LongestMaxSize(size, area_for_downscale="image" if area else None),
        A.PadIfNeeded(size, size, border_mode=cv2.BORDER_CONSTANT, fill=114),
    ]
    affine = A.Affine(scale=SCALE, translate_percent=(-SHIFT, SHIFT), keep_ratio=True, fill=114, p=1)
    amount = (1 - AMOUNT, 1 + AMOUNT)
    rest = [A.HorizontalFlip(p=0.5), A.ColorJitter(amount, amount, amount, (-HUE, HUE), p=1)]
    pipeline = A.Compose(
        [affine, *fit, *rest] if affine_first else [*fit, affine, *rest],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"], min_visibility=0.25),
    )

    def one(index: int) -> Any:
        truth = dataset.annotation(index)
        image = cv2.cvtColor(cv2.imread(str(truth.path)), cv2.COLOR_BGR2RGB)
        image = pipeline(image=image, bboxes=truth.boxes, labels=truth.labels)["image"]
        return torch.from_numpy(image).permute(2, 0, 1)

    return lambda epoch, indices: torch.stack([one(index) for index in indices])


def at_an_eighth(dataset: DetectionDataset) -> Pipeline:
    """Return the reading at 1/8: what libjpeg takes for the entropy-coded data, the least that any reading costs."""

    def one(index: int) -> Any:
        return cv2.imread(str(dataset.path(index)), cv2.IMREAD_REDUCED_COLOR_8)

    return lambda epoch, indices: [one(index) for index in indices]


def enlarged(dataset: DetectionDataset, folder: Path, count: int) -> COCO:
    """Make images of 3000 × 2250, each of twelve of the data set, four across and three down."""
    (folder / "images").mkdir()
    width, height = 750, 750
    images, annotations = [], []
    for number in range(count):
        canvas = np.empty((3 * height, 4 * width, 3), dtype=np.uint8)
        for place in range(12):
            sample = dataset[(number * 12 + place * 5) % len(dataset)]
            left, top = place % 4 * width, place // 4 * height
            canvas[top : top + height, left : left + width] = cv2.resize(
                sample.image, (width, height), interpolation=cv2.INTER_CUBIC
            )
            scale = np.array([width, height] * 2) / np.array([*sample.size_hw[::-1]] * 2)
            for x1, y1, x2, y2 in (sample.boxes * scale).tolist():
                box = [x1 + left, y1 + top, x2 - x1, y2 - y1]
                annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box})
        name = f"{number}.jpg"
        cv2.imwrite(str(folder / "images" / name), canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append({"id": number, "file_name": name, "width": 4 * width, "height": 3 * height})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return COCO(folder / "annotations.json", folder / "images")


def measure(pipelines: dict[str, Pipeline], count: int, batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds an image, by pipeline, for each round over the data."""
    result: dict[str, list[float]] = {name: [] for name in pipelines}
    for epoch in range(rounds + 1):
        spent = dict.fromkeys(pipelines, 0.0)
        for start in range(0, count, batch_size):
            indices = list(range(start, min(start + batch_size, count)))
            for name, pipeline in pipelines.items():
                begin = time.process_time()
                pipeline(epoch, indices)
                spent[name] += time.process_time() - begin
        for name, seconds in spent.items():
            result[name].append(seconds / count)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True, help="of a COCO data set")
    parser.add_argument("--images", help="its folder of images")
    parser.add_argument("--enlarge", action="store_true", help="measure with images of 3000 × 2250 made of these")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")

    with tempfile.TemporaryDirectory() as name:
        dataset: DetectionDataset = COCO(given.annotations, given.images)
        if given.enlarge:
            dataset = enlarged(dataset, Path(name), given.count)
        count, size = min(given.count, len(dataset)), given.size
        sizes = np.array([(a.height, a.width) for a in map(dataset.annotation, range(count))])
        data = sum(dataset.path(index).stat().st_size for index in range(count))
        shrinks = bool(np.median(sizes.max(axis=1)) > 2 * size)  # what albumentations does by default would alias
        inputs = [Preprocessing((size, size))]
        in_memory = Cached(dataset, 4.0, transform=Augment(), inputs=inputs)
        mosaics = Cached(dataset, 4.0, transform=Mosaic(), inputs=inputs)
        side = math.ceil(size / Augment().scale[0])  # what the closest window shows of an image
        begin = time.process_time()
        (annotations,) = convert({"train": dataset}, Path(name) / "small", to="coco", shrink=side).files
        storing = (time.process_time() - begin) / len(dataset)
        small = COCO(annotations)
        stored = sum(small.path(index).stat().st_size for index in range(count))
        pipelines = {
            "a: PIL + torchvision v2, PIL images": with_torchvision(dataset, size, tensors=False),
            "a: PIL + torchvision v2, tensors": with_torchvision(dataset, size, tensors=True),
            "b: cv2 + albumentations, fitted first": with_albumentations(
                dataset, size, affine_first=False, area=shrinks
            ),
            "b: cv2 + albumentations, affine first": with_albumentations(
                dataset, size, affine_first=True, area=shrinks
            ),
        }
        others = list(pipelines)
        if shrinks:
            pipelines["b, shrunk without averaging (aliases)"] = with_albumentations(
                dataset, size, affine_first=False, area=False
            )
        pipelines |= {
            "centernet, Augment": ours(dataset, size, Augment()),
            "centernet, cache: memory": ours(in_memory, size, Augment()),
            f"centernet, stored by --shrink {side}": ours(small, size, Augment()),
            "centernet, Mosaic, always four in one": ours(dataset, size, Mosaic(mosaic=1, mixup=0)),
            "centernet, the same, cache: memory": ours(mosaics, size, Mosaic(mosaic=1, mixup=0)),
            f"centernet, the same, stored by --shrink {side}": ours(small, size, Mosaic(mosaic=1, mixup=0)),
            "nothing but reading the files at 1/8": at_an_eighth(dataset),
        }
        result = measure(pipelines, count, given.batch_size, given.rounds)
        kept = in_memory.used

    height, width = np.median(sizes, axis=0).astype(int)
    bits = 8 * data / sizes.prod(axis=1).sum()
    print(f"{count} images to {size} × {size}, median {width} × {height}, {bits:.2f} bits a pixel.")
    print(f"{given.rounds} rounds after one to warm up. MiB an image: {data / 2**20 / count:.2f} as a file, "
          f"{stored / 2**20 / count:.2f} shrunk, {kept / 2**20 / count:.2f} in memory.\n")  # fmt: skip
    times = {name: np.array(seconds[1:]) for name, seconds in result.items()}
    best = np.min([times[name] for name in others], axis=0)
    print("| pipeline | ms an image | images/s | against the better of a and b (all rounds) |\n|---|---|---|---|")
    for name, seconds in times.items():
        ratios = best / seconds
        spread = f"×{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        print(f"| {name} | {np.median(seconds) * 1e3:.2f} | {1 / np.median(seconds):.0f} | {spread} |")
    first = result["centernet, cache: memory"][0]
    print(f"\nFilling the cache takes {first * 1e3:.2f} ms an image, --shrink {storing * 1e3:.2f} ms.")


if __name__ == "__main__":
    main()
