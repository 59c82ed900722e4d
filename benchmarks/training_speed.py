"""Time a training step (forward, loss, backward, update) of networks, each in a process of its own, taking turns.

Ours with their own loss on random objects, the packaged model as `centernet finetune` freezes it, and with all that it
has learning. Of other programs the network alone, the mean square of its outputs in place of a loss: YOLO11n and
YOLO26n, built from their YAML (80 classes). They are AGPL software and no dependency: give the Python of an environment
that has it. Images a second of the processors' time, in which other work on the machine does not count, and by the
clock.

python3 -m venv /tmp/peer && /tmp/peer/bin/pip install ultralytics
python benchmarks/training_speed.py --peer-python /tmp/peer/bin/python --threads 1 2
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PEER = """
import sys, time, torch
from ultralytics.nn.tasks import DetectionModel
name, size, batch, threads = sys.argv[1], *map(int, sys.argv[2:5])
torch.set_num_threads(threads)
model = DetectionModel(name + ".yaml", ch=3, nc=80, verbose=False).train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4)
images = torch.rand(batch, 3, size, size)
def total(x):
    if isinstance(x, torch.Tensor):
        return x.float().square().mean() if x.requires_grad else 0.0
    return sum(total(y) for y in (x.values() if isinstance(x, dict) else x))
for line in sys.stdin:
    used, began = time.process_time(), time.perf_counter()
    total(model(images)).backward()
    optimizer.step()
    optimizer.zero_grad()
    print("step", time.process_time() - used, time.perf_counter() - began, flush=True)
"""
OWN = {  # name → where the network is from, and how many stages of its backbone are frozen; None: as configured
    "coco-lite, backbone frozen (finetune: alike, below 1,000 images)": ("coco-lite", 4),
    "coco-lite, frozen to stride 8 (finetune: else)": ("coco-lite", 2),
    "coco-lite, all live": ("coco-lite", 0),
    "configs/coco_lite.yaml (norms live)": ("configs/coco_lite.yaml", None),
    "bccd_mobilenet_v2": ("configs/bccd_mobilenet_v2.yaml", None),
    "bccd_resnet18_scratch": ("configs/bccd_resnet18_scratch.yaml", None),
}


def own_step(source: str, frozen: int | None, size: int, batch: int) -> Callable[[], None]:
    """Return a step on five random objects an image."""
    import torch

    from centernet.data.batch import Batch
    from centernet.network import load_network
    from centernet.network.build import build_network

    network = (
        load_network(source)
        if frozen is not None
        else build_network(source, overrides=["model.backbone.init_args.pretrained=false"])
    )
    if frozen is not None:
        network.requires_grad_(True)
        network.backbone.freeze(frozen)
    network.train()
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, size * 0.7, (batch, 5, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(16, size * 0.3, (batch, 5, 2))], axis=-1)
    batched = Batch(
        images=torch.tensor(rng.integers(256, size=(batch, 3, size, size)), dtype=torch.uint8),
        boxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.tensor(rng.integers(network.num_classes, size=(batch, 5))),
        ignore=torch.zeros(batch, 5, dtype=torch.bool),
        counts=torch.full((batch,), 5),
        ids=torch.full((batch, 5), -1),
        annotations=[],
    )
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-4)

    def step() -> None:
        terms = network.losses(network(network.normalize(batched.images)), batched)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def serve(name: str, size: int, batch: int, threads: int) -> None:
    """Take a step for each line of the standard input."""
    import torch

    torch.set_num_threads(threads)
    step = own_step(*OWN[name], size, batch)
    for _ in sys.stdin:
        used, began = time.process_time(), time.perf_counter()
        step()
        print("step", time.process_time() - used, time.perf_counter() - began, flush=True)


def start(command: list[str], threads: int, folder: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "YOLO_CONFIG_DIR": folder, "YOLO_OFFLINE": "1"}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[1],
    )


def ask(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Have a step taken; seconds of the processors and by the clock."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("step "):
            used, took = map(float, line.split()[1:])
            return used, took
    raise SystemExit(f"error: {process.args[:2]!r} ended; what it said is above")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required="--serve" not in sys.argv, help="of an environment with ultralytics")
    parser.add_argument("--yolo", nargs="+", default=["yolo11n", "yolo26n"], help="that --peer-python builds")
    parser.add_argument("--own", nargs="+", default=list(OWN), choices=list(OWN))
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--serve", choices=list(OWN), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.size, given.batch, given.threads[0])
        return
    print(f"{platform.processor() or platform.machine()}, {given.size} px, batch {given.batch}, float32, AdamW")
    for threads in given.threads:
        with tempfile.TemporaryDirectory() as folder:
            numbers = [str(given.size), str(given.batch), str(threads)]
            commands = {name: [given.peer_python, "-c", PEER, name, *numbers] for name in given.yolo}
            for name in given.own:
                options = ["--size", numbers[0], "--batch", numbers[1], "--threads", numbers[2]]
                commands[name] = [sys.executable, __file__, "--serve", name, *options]
            processes = [start(command, threads, folder) for command in commands.values()]
            times = np.array([[ask(process) for process in processes] for _ in range(given.rounds + 1)])[1:]
            for process in processes:
                process.communicate()
        report(list(commands), times, given.batch, threads)


def report(names: list[str], times: np.ndarray, batch: int, threads: int) -> None:
    """Print images a second, and the ratio to the first, round by round."""
    first = names[0]
    print(
        f"\n| {threads} threads | images a processor second | × {first} | images a second | × {first} |\n|{'---|' * 5}"
    )
    for i, name in enumerate(names):
        cells = []
        for kind in (0, 1):
            cells += [f"{batch / np.median(times[:, i, kind]):.1f}"]
            cells += [f"{np.median(times[:, 0, kind] / times[:, i, kind]):.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
