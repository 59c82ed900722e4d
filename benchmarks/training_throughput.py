"""Measure training throughput, the whole step with data, against a plain loop around the same network.

The plain loop reads with Pillow, augments with torchvision (a random crop, flip, colours), renders the heatmap of each
image on the processor by a Python loop over its objects, as the original does, and computes the losses from those
maps. Both see images of one set, size, batch and optimiser, in one process without workers, taking turns.

python benchmarks/training_throughput.py --annotations SHARED/data/voc2007/train.json \
    --images SHARED/data/voc2007/JPEGImages
"""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from centernet import CenterNet, build_centernet
from centernet.boxes import elementwise_iou
from centernet.data import COCO, Augment, DataModule
from centernet.ops import focal_loss, gather_at
from centernet.training.trainer import choose_precision

if TYPE_CHECKING:
    from centernet.network import Network

MODEL = {
    "backbone": {"class_path": "MobileNetV2", "init_args": {"padding": "same"}},
    "neck": {"class_path": "LiteFPN"},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 64, "convolution": "separable"}},
        "box": {"class_path": "LTRBHead", "init_args": {"width": 64, "convolution": "separable"}},
    },
}


def network(num_classes: int, size: int) -> CenterNet:
    """Return the light network with random weights, in training mode."""
    more = {"num_classes": num_classes, "preprocessing": {"size": [size, size]}}
    return build_centernet({"model": {**MODEL, **more}}).train()


def plain_batches(dataset: COCO, size: int, batch: int) -> Iterator[tuple[Tensor, Tensor, list[Tensor]]]:
    """Yield normalised images, heatmaps and boxes, made image by image and object by object."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.4, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.02),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    grid = size // 4
    for start in itertools.count(0, batch):
        images, maps, boxes = [], [], []
        for i in range(batch):
            annotation = dataset.annotation((start + i) % len(dataset))
            with Image.open(annotation.path) as file:
                pixels = file.convert("RGB")
            given = tv_tensors.BoundingBoxes(
                annotation.boxes, format="XYXY", canvas_size=(annotation.height, annotation.width)
            )
            image, moved = transform(pixels, given)
            heatmap = np.zeros((len(dataset.class_names), grid, grid), np.float32)
            kept = []
            for box, label in zip(moved.numpy(), annotation.labels, strict=True):
                if box[2] - box[0] < 1 or box[3] - box[1] < 1 or label < 0:
                    continue
                draw(heatmap[label], box / 4)
                kept.append(box)
            images.append(image)
            maps.append(torch.from_numpy(heatmap))
            boxes.append(torch.from_numpy(np.array(kept, np.float32).reshape(-1, 4)))
        yield torch.stack(images), torch.stack(maps), boxes


def draw(heatmap: np.ndarray, box: np.ndarray) -> None:
    """Draw one ellipse on one class's map; the larger value is kept."""
    rh, rw = int((box[3] - box[1]) / 2 * 0.54), int((box[2] - box[0]) / 2 * 0.54)
    cx, cy = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    ys, xs = np.ogrid[-rh : rh + 1, -rw : rw + 1]
    sigma_y, sigma_x = (2 * rh + 1) / 6, (2 * rw + 1) / 6
    blob = np.exp(-(xs * xs / (2 * sigma_x**2) + ys * ys / (2 * sigma_y**2))).astype(np.float32)
    height, width = heatmap.shape
    left, right, top, bottom = min(cx, rw), min(width - cx, rw + 1), min(cy, rh), min(height - cy, rh + 1)
    if right <= 0 or bottom <= 0:
        return
    window = heatmap[cy - top : cy + bottom, cx - left : cx + right]
    np.maximum(window, blob[rh - top : rh + bottom, rw - left : rw + right], out=window)


def plain_loss(model: Network, encoded: dict[str, Tensor], heatmap: Tensor, boxes: list[Tensor]) -> Tensor:
    """Return the focal loss on the rendered maps plus the box loss at the centre cells, object by object."""
    grid = heatmap.shape[-1]
    head: Any = model.heads["box"]
    losses = []
    for i, own in enumerate(boxes):
        for box in own:
            x = min(int((box[0] + box[2]) / 8), grid - 1)
            y = min(int((box[1] + box[3]) / 8), grid - 1)
            raw = gather_at(encoded["box"][i : i + 1], torch.tensor([[y * grid + x]]))[0]
            predicted = head.boxes(raw, torch.tensor([float(x)]), torch.tensor([float(y)]))
            losses.append(1 - elementwise_iou(predicted, box[None], kind="giou"))
    box_loss = torch.stack(losses).mean() if losses else encoded["box"].sum() * 0
    return focal_loss(encoded["heatmap"], heatmap) + 5 * box_loss


def batches_of(dataset: COCO, model: CenterNet, batch: int) -> Iterator[Any]:
    """Yield the batches of our loader, epoch after epoch, without end."""
    data = DataModule(
        dataset, batch_size=batch, num_workers=0, preprocessing=model.preprocessing, augmentation=Augment()
    )
    return itertools.chain.from_iterable(data.train_dataloader() for _ in itertools.count())


def own_step(
    model: Network, batches: Iterator[Any], precision: str, shares: list[float] | None = None
) -> Callable[[], None]:
    """Return our whole step, data included; `shares` gains the seconds that targets and losses take in each."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step() -> None:
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            encoded = model(model.normalize(batch.images))
            before = time.thread_time()
            loss = torch.stack(list(model.losses(encoded, batch).values())).sum()
            middle = time.thread_time() - before
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if shares is not None:
            # The loss's own backward, measured on its inputs alone.
            maps = {name: value.detach().requires_grad_() for name, value in encoded.items()}
            total = torch.stack(list(model.losses(maps, batch).values())).sum()
            before = time.thread_time()
            total.backward()
            shares.append(middle + time.thread_time() - before)

    return step


def plain_step(model: Network, batches: Iterator[tuple[Tensor, Tensor, list[Tensor]]]) -> Callable[[], None]:
    """Return the step of the plain loop."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step() -> None:
        images, heatmap, boxes = next(batches)
        loss = plain_loss(model, model(images), heatmap, boxes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset = COCO(given.annotations, given.images)
    model = network(len(dataset.class_names), given.size)
    chosen = choose_precision("cpu")
    batches = batches_of(dataset, model, given.batch)
    shares: list[float] = []

    def ours(precision: str) -> Callable[[], None]:
        return own_step(copy.deepcopy(model.network), batches, precision, shares if precision == chosen else None)

    contestants: dict[str, Callable[[], None]] = {}
    plain = copy.deepcopy(model.network).to(memory_format=torch.contiguous_format)
    contestants["plain loop, float32"] = plain_step(plain, plain_batches(dataset, given.size, given.batch))
    contestants["ours, float32"] = ours("32-true")
    if chosen != "32-true":
        contestants[f"ours, {chosen} (chosen here)"] = ours(chosen)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(given.rounds + 1):
        for name, step in contestants.items():
            start = time.thread_time()
            step()
            if turn:  # the first warms up
                times[name].append(time.thread_time() - start)
    base = statistics.median(times["plain loop, float32"])
    print(f"\n{given.size} px, batch of {given.batch}, one thread, processor time, {given.rounds} rounds")
    print("| loop | images/s | against the plain loop |\n|---|---|---|")
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"| {name} | {given.batch / middle:.1f} | {base / middle:.2f}× |")
    part = statistics.median(shares) / max(statistics.median(times[list(times)[-1]]), math.ulp(1))
    print(f"\ntargets and losses, forward and backward, as a share of our step ({chosen}): {100 * part:.1f} %")


if __name__ == "__main__":
    main()
