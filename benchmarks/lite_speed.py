"""The model in the box against YOLO11n: one thread, ONNX Runtime, the same input sizes, one run, taking turns.

Ours with decode in the graph, exported by `to_onnx`; the peer's network alone, without NMS, built from its YAML (80
classes, random weights: speed does not depend on them). The peer is AGPL software and no dependency: give the Python of
an environment that has it, and it is exported there.

python3 -m venv /tmp/peer && /tmp/peer/bin/pip install ultralytics onnx
python benchmarks/lite_speed.py --peer-python /tmp/peer/bin/python
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from centernet import CenterNet

PEER = """
import sys
from ultralytics import YOLO
model = YOLO("yolo11n.yaml")
print(model.export(format="onnx", imgsz=int(sys.argv[1]), simplify=False, nms=False), file=sys.stderr)
"""


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def export_peer(python: str, size: int, folder: Path) -> Path:
    """YOLO11n at `size`, exported by its own package in its own environment."""
    work = folder / str(size)
    work.mkdir()
    environment = {**os.environ, "YOLO_CONFIG_DIR": str(work), "YOLO_OFFLINE": "1"}
    result = subprocess.run(
        [python, "-c", PEER, str(size)], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    files = list(work.glob("*.onnx"))
    if not files:
        raise SystemExit(f"error: {python} exported nothing at {size} px: {result.stderr[-800:]}")
    return files[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="of an environment with ultralytics and onnx")
    parser.add_argument("--peer-folder", type=Path, help="or a folder with y_SIZE.onnx, exported before")
    parser.add_argument("--model", default="voc-lite")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 416, 512])
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    if not given.peer_python and not given.peer_folder:
        parser.error("give --peer-python or --peer-folder")
    torch.set_num_threads(1)
    model = CenterNet.from_pretrained(given.model).eval()
    print(f"{platform.processor() or platform.machine()}, onnxruntime {onnxruntime.__version__}, one thread")
    print(
        "| input | ours, ms (with decode) | YOLO11n, ms (without NMS) | ours / YOLO11n, median of pairs | best / best |"
    )
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in given.sizes:
            pictures = torch.rand(1, 3, size, size)
            ours = session(model.to_onnx(folder / f"ours_{size}.onnx", pictures))
            peer = session(
                given.peer_folder / f"y_{size}.onnx"
                if given.peer_folder
                else export_peer(given.peer_python, size, folder)
            )
            feeds = {s: {s.get_inputs()[0].name: pictures.numpy()} for s in (ours, peer)}

            def milliseconds(
                network: onnxruntime.InferenceSession, feeds: dict[onnxruntime.InferenceSession, dict[str, np.ndarray]]
            ) -> float:
                start = time.thread_time()
                network.run(None, feeds[network])
                return 1e3 * (time.thread_time() - start)

            for network in (ours, peer) * 3:
                milliseconds(network, feeds)
            pairs = []
            for _ in range(given.rounds):
                before, own, again, after = (milliseconds(s, feeds) for s in (peer, ours, ours, peer))
                pairs.append((min(own, again), min(before, after)))
            ratio = statistics.median(own / other for own, other in pairs)
            mine, theirs = ([pair[place] for pair in pairs] for place in (0, 1))
            print(
                f"| {size} | {statistics.median(mine):.1f} | {statistics.median(theirs):.1f} | **{ratio:.3f}** "
                f"| {min(mine) / min(theirs):.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
