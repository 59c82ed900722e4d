"""Time `track` of this checkout and of others, which take turns: frames a second from video to video.

python benchmarks/track_speed.py --sequence SHARED/data/mot/MOT17-02-FRCNN --against OLD --pairs 10
python benchmarks/track_speed.py --sequence SHARED/data/mot/MOT17-02-FRCNN --yolo /tmp/peer/bin/python --frames 50

A clip of 1280×720, H.264, is made of the sequence: its frames, enlarged, one after the other, while the view moves to
and fro over them. Each run is a process of its own: it opens voc-lite, exported to ONNX by its own checkout, and reads,
detects, tracks and draws all frames, and writes them (`mot,video`) in the rows that say so; starting and opening the
model are not timed. The speed is old / new seconds, so more than 1 is faster: the median of the pairs and its 95 %
bootstrap interval. Boxes are those of all frames. A checkout against itself shows what is chance.

The other of `--yolo` is `YOLO.track` of the ultralytics package, AGPL software and no dependency, in an environment
that has it with onnx, onnxruntime, onnxslim and lap: YOLO11n of random weights, exported to ONNX at each of `--sizes`,
with ByteTrack at the same thresholds; what it writes is Motion JPEG, as that package does, and no table. Random weights
find nothing: norms are fitted to frames of the clip, logits of one class are spread, and its bias is chosen so that as
many boxes are drawn as ours. Its session gets as many threads as ours, and would else take all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from two_checkouts import in_checkout, speed

HERE = Path(__file__).resolve().parents[1]
SIZE = 720, 1280
SCORES = {"high": 0.3, "new": 0.4, "low": 0.1}
PEER = """
import json, sys, time
from pathlib import Path

import cv2, onnxruntime, torch
from ultralytics import YOLO

act, clip, model, folder, tracker, size, number = sys.argv[1:]  # number of boxes, or of threads
size, number, low = int(size), int(number), 0.1
options = dict(imgsz=size, conf=low, classes=[0], tracker=tracker, device="cpu", stream=True, rect=False,
               verbose=False)


def tracked(yolo, **further):
    count = boxes = 0
    for result in yolo.track(clip, **options, **further):
        count, boxes = count + 1, boxes + len(result.boxes)
        if act == "draw":
            result.plot()
    return count, boxes


if act == "make":  # a network that draws `number` boxes
    torch.manual_seed(0)
    yolo = YOLO("yolo11n.yaml")
    network, video = yolo.model, cv2.VideoCapture(clip)
    frames = [cv2.resize(video.read()[1], (size, size))[..., ::-1].copy() for _ in range(4)]
    images = torch.stack([torch.from_numpy(frame) for frame in frames]).permute(0, 3, 1, 2) / 255
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    ends = [branch[-1] for branch in network.model[-1].cv3]
    seen = []
    hooks = [end.register_forward_hook(lambda module, inputs, output: seen.append(output[:, 0].std())) for end in ends]
    with torch.no_grad():
        network.train()(images)
        network.eval()
        for hook in hooks:
            hook.remove()
        for end, spread in zip(ends, seen):
            end.weight.mul_(1.5 / spread)
            end.bias.fill_(-30)
    for norm, momentum in zip(norms, kept):
        norm.momentum = momentum
    few, many = -20.0, 5.0
    for _ in range(14):
        middle = (few + many) / 2
        for end in ends:
            end.bias.data[0] = middle
        yolo.save(model + ".pt")
        boxes = tracked(YOLO(model + ".pt"))[1]
        few, many = (middle, many) if boxes < number else (few, middle)
        if abs(boxes - number) <= 0.03 * number:
            break
    Path(YOLO(model + ".pt").export(format="onnx", imgsz=size)).rename(model)
    print(json.dumps(boxes))
else:
    session = onnxruntime.InferenceSession

    def limited(path, given=None, **further):
        given = given or onnxruntime.SessionOptions()
        given.intra_op_num_threads = number
        return session(path, given, **further)

    onnxruntime.InferenceSession = limited
    cv2.setNumThreads(number)
    torch.set_num_threads(number)
    yolo = YOLO(model, task="detect")
    for result in yolo.track(folder + "/first.png", **options):  # opens and warms up
        pass
    wall, cpu = time.perf_counter(), time.process_time()
    count, boxes = tracked(yolo, save=act == "write", project=folder, name="tracks", exist_ok=True)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, count, boxes]))
"""


def make_clip(sequence: Path, path: Path, length: int) -> None:
    """Write a video of so many frames."""
    import av

    from centernet.inference import frames

    height, width = SIZE
    margin = 40
    large = [cv2.resize(frame.image, (width + margin, height + margin)) for frame in frames(sequence)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "20", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(length):
            x, y = (round(margin * (0.5 + 0.5 * np.sin(number / period))) for period in (17, 29))
            view = large[number // 15 % len(large)][y : y + height, x : x + width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def run(arguments: list[str]) -> None:
    """Track a clip, and print the seconds of the wall clock and of the processor, frames and boxes, as JSON."""
    from centernet.drawing import Trails, draw
    from centernet.inference import Detector, MotWriter, VideoWriter, track
    from centernet.inference.tracking import make_tracker

    clip, model, folder, threads, act = arguments[0], arguments[1], Path(arguments[2]), int(arguments[3]), arguments[4]
    cv2.setNumThreads(threads)
    detector = Detector(model, score_threshold=0.0, threads=threads, classes=["person"])
    tracker = make_tracker(detector, 30, preset="default", **{f"{name}_score": score for name, score in SCORES.items()})
    detector(np.zeros((*SIZE, 3), np.uint8))
    count = boxes = 0
    wall, cpu = time.perf_counter(), time.process_time()
    with ExitStack() as stack:
        writers: list[Any] = []
        if act == "write":
            writers = [MotWriter(folder / "tracks.txt"), VideoWriter(folder / "tracks", frame_rate=30)]
        for writer in writers:
            stack.enter_context(writer)
        trails = Trails()
        for frame, tracks in track(detector, tracker, clip):
            if act == "draw":
                draw(trails.draw(frame.image, tracks), tracks)
            for writer in writers:
                writer.write(frame, tracks)
            count, boxes = count + 1, boxes + len(tracks)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, count, boxes]))


def in_peer(python: str, arguments: list[str], folder: Path, threads: int) -> str:
    """Run `PEER` in an environment of its own, and return the last line that it printed."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    environment = {**os.environ, **counts, "YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [python, "-W", "ignore", "-c", PEER, *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"error: {python}: {arguments}: exit {result.returncode}\n{result.stderr[-2000:]}")
    return result.stdout.splitlines()[-1]


def yolo_runs(given: argparse.Namespace, folder: Path, boxes: int) -> dict[str, Callable[[str, int], str]]:
    """Make the peer's files, which draw so many boxes. Returns its runs, by name, of a number of threads."""
    tracker = folder / "tracker.yaml"
    names = {"track_high_thresh": "high", "new_track_thresh": "new", "track_low_thresh": "low"}
    lines = [f"{key}: {SCORES[name]}" for key, name in names.items()]
    others = ("tracker_type: bytetrack", "track_buffer: 30", "match_thresh: 0.8", "fuse_score: True")
    tracker.write_text("\n".join([*others, *lines]))
    first = cv2.VideoCapture(str(folder / "clip.mp4")).read()[1]
    cv2.imwrite(str(folder / "first.png"), first)

    def arguments(act: str, size: int, number: int) -> list[str]:
        files = (folder / "clip.mp4", folder / f"yolo11n_{size}.onnx", folder, tracker)
        return [act, *map(str, files), str(size), str(number)]

    runs: dict[str, Callable[[str, int], str]] = {}
    for size in given.sizes:
        in_peer(given.yolo, arguments("make", size, boxes), folder, os.cpu_count() or 1)
        runs[f"YOLO11n, {size} px"] = lambda act, n, size=size: in_peer(given.yolo, arguments(act, size, n), folder, n)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", type=Path, required=True, help="of MOTChallenge")
    parser.add_argument("--against", type=Path, metavar="PATH", help="folder of the other checkout")
    parser.add_argument("--yolo", metavar="PYTHON", help="of an environment with ultralytics")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320, 640], help="of YOLO's input; default: 320 640")
    parser.add_argument("--pairs", type=int, default=10, help="runs of each; default: %(default)s")
    parser.add_argument("--frames", type=int, default=120, help="of the clip; default: %(default)s")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the network; default: 1 2")
    given = parser.parse_args()
    if not (given.against or given.yolo):
        parser.error("give one to compare with: --against or --yolo")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "clip.mp4"
        make_clip(given.sequence, clip, given.frames)

        def of_checkout(checkout: Path, model: Path) -> Callable[[str, int], str]:
            in_checkout(checkout, ["-m", "centernet", "export", "voc-lite", "--output", str(model)], 1)
            files = [str(clip), str(model), str(folder)]
            return lambda act, threads: in_checkout(checkout, [__file__, "run", *files, str(threads), act], threads)

        ours, others = of_checkout(HERE, folder / "new.onnx"), {}
        if given.against:
            others["the other checkout"] = of_checkout(given.against.resolve(), folder / "old.onnx")
        if given.yolo:
            others |= yolo_runs(given, folder, json.loads(ours("read", 2))[3])
        print(f"{given.pairs} pairs, {given.frames} frames of {SIZE[1]}×{SIZE[0]}, {os.cpu_count()} cores\n")
        print(
            "| other | what | threads | frames/s, other | new | CPU ms a frame, other | new | boxes, other | new ",
            end="",
        )
        print("| speed | by CPU time |\n|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for other, act, threads in product(others, ("draw", "write"), given.threads):
            results: tuple[list[list[float]], list[list[float]]] = ([], [])
            for pair in range(given.pairs):
                for i in (1, 0) if pair % 2 else (0, 1):
                    results[i].append(json.loads((others[other], ours)[i](act, threads)))
            old, new = (np.array(part).T for part in results)
            rates = [f"{np.median(one[2] / one[0]):.1f}" for one in (old, new)]
            cpu = [f"{1000 * np.median(one[1] / one[2]):.1f}" for one in (old, new)]
            boxes = [f"{np.median(one[3]):.0f}" for one in (old, new)]
            cells = [other, act, str(threads), *rates, *cpu, *boxes, speed(old[0], new[0]), speed(old[1], new[1])]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:])
    else:
        main()
