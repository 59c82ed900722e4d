"""A small network learns KITTI's frames by heart: how far its boxes in space are from the labels, and drawings of both.

python benchmarks/boxes3d.py --root SHARED/data/kitti_tracking --sequences 0001 0016 --output boxes3d
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from centernet import Detections, Detector, build_centernet
from centernet.birds_eye import birds_eye
from centernet.boxes3d import MEASURED, alpha_of, in_space, wrapped
from centernet.data import KITTITracking, Resize
from centernet.data.batch import collate
from centernet.drawing import draw

REACH = 40
"""Metres to which objects are compared."""


def config(size: list[int], width: int) -> dict:
    def head(kind: str, **options: object) -> dict:
        return {"class_path": kind, "init_args": {"width": width, **options}}

    return {
        "model": {
            "class_names": ["Car", "Pedestrian", "Cyclist"],
            "backbone": {"class_path": "ShuffleNetV2", "init_args": {"width": "0.5"}},
            "neck": {"class_path": "LiteFPN", "init_args": {"widths": [width, 48, 64, 96]}},
            "heads": {"heatmap": head("HeatmapHead"), "box": head("LTRBHead"), "box3d": head("Box3DHead")},
            "preprocessing": {"size": size},
        }
    }


def train(model: torch.nn.Module, dataset: KITTITracking, steps: int, lr: float) -> None:
    """Fit all frames at once, as they are."""
    rng, network = np.random.default_rng(0), model.network
    samples = [Resize()(dataset[index], rng, network.preprocessing) for index in range(len(dataset))]
    batch = collate(samples, pad_value=network.preprocessing.pad_value)
    images = network.normalize(batch.images)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    network.train()
    start = time.perf_counter()
    for step in range(steps):
        if step == steps * 4 // 5:  # norms as they are in use
            network.eval()
        terms = network.losses(network(images), batch)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == steps - 1:
            told = ", ".join(f"{name} {value.item():.3f}" for name, value in terms.items())
            print(f"step {step} after {time.process_time():.0f} s of CPU: {told}", flush=True)
    print(
        f"{steps} steps in {time.perf_counter() - start:.0f} s, {time.process_time():.0f} s of CPU in all", flush=True
    )
    network.eval()


def truth_of(dataset: KITTITracking, index: int) -> tuple[Detections, np.ndarray]:
    """Return the labels as detections with boxes in space, and the camera's matrix."""
    annotation = dataset.annotation(index)
    data = annotation.data
    rows = np.flatnonzero(~annotation.ignore & (data["dimensions"] > 0).all(axis=1))
    projection = data["projection"][rows[0]].astype(np.float64)
    centers = data["ruler"][rows, 0]
    values = (
        data["location"][rows, 2] + projection[2, 3],
        data["dimensions"][rows],
        alpha_of(data["rotation_y"][rows], centers[:, 0], projection),
    )
    columns = dict(zip(MEASURED, values, strict=True)) | {"projected_center": centers}
    found = Detections(
        annotation.boxes[rows],
        annotation.labels[rows],
        np.ones(len(rows)),
        class_names=dataset.class_names,
        data=columns,
    )
    return in_space(found, projection), projection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--sequences", nargs="+")
    parser.add_argument("--output", type=Path, default=Path("boxes3d"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--size", type=int, nargs=2, default=[128, 416])
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    dataset = KITTITracking(given.root, given.sequences, boxes3d=True)
    model = build_centernet(config(given.size, given.width))
    train(model, dataset, given.steps, given.lr)
    given.output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(given.output / "model")

    errors, objects = [], 0
    detector = Detector(model, score_threshold=0.3)
    for index in range(len(dataset)):
        truth, projection = truth_of(dataset, index)
        image = dataset[index].image
        found = in_space(detector(image), projection)
        near = np.flatnonzero(truth.data["location"][:, 2] < REACH)
        objects += len(near)
        taken: set[int] = set()
        for row in near.tolist():
            apart = np.linalg.norm(found.data["location"] - truth.data["location"][row], axis=1)
            apart[found.labels != truth.labels[row]] = np.inf
            apart[list(taken)] = np.inf
            best = int(apart.argmin()) if len(apart) else -1
            if best >= 0 and apart[best] < 2:
                taken.add(best)
                turn = abs(float(wrapped(found.data["rotation_y"][best] - truth.data["rotation_y"][row])))
                size = np.abs(found.data["dimensions"][best] - truth.data["dimensions"][row]).max()
                errors.append([apart[best], turn, size])
        name = dataset.path(index)
        drawn = np.concatenate([draw(image, found), draw(image, truth)])
        view = birds_eye(found, truth=truth, size_hw=(drawn.shape[0], drawn.shape[0]))
        both = np.concatenate([drawn, view], axis=1)
        cv2.imwrite(str(given.output / f"{name.parent.name}_{name.stem}.jpg"), both[..., ::-1])
    table = np.array(errors).reshape(-1, 3)
    near = int((table[:, 0] < 0.5).sum())
    print(f"{objects} labelled objects to {REACH} m; found within 2 m: {len(table)}, within .5 m: {near}")
    for name, values, unit in zip(("centre", "rotation_y", "dimensions"), table.T, ("m", "rad", "m"), strict=True):
        if len(values):
            middle, most = np.quantile(values, [0.5, 0.9])
            print(f"{name}: median {middle:.3f} {unit}, 90 % within {most:.3f}, worst {values.max():.3f}")


if __name__ == "__main__":
    main()
