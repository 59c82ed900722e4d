"""Time `track` of two checkouts of this repository, which take turns: frames a second from video to video.

python benchmarks/track_speed.py --sequence SHARED/data/mot/MOT17-02-FRCNN --against OLD --pairs 10

A clip of 1280×720, H.264, is made of the sequence: its frames, enlarged, one after the other, while the view moves to
and fro over them. Each run is a process of its own: it opens voc-lite, exported to ONNX by its own checkout, and reads,
detects, tracks, draws and writes (`mot,video`) all frames; starting and opening the model are not timed. The speed is
old / new seconds, so more than 1 is faster: the median of the pairs and its 95 % bootstrap interval. Boxes are those of
all frames. A checkout against itself shows what is chance.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from two_checkouts import in_checkout, speed

HERE = Path(__file__).resolve().parents[1]
SIZE = 720, 1280


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
    from centernet.inference import Detector, MotWriter, VideoWriter, track
    from centernet.inference.tracking import make_tracker

    clip, model, folder, threads = arguments[0], arguments[1], Path(arguments[2]), int(arguments[3])
    cv2.setNumThreads(threads)
    detector = Detector(model, score_threshold=0.0, threads=threads, classes=["person"])
    tracker = make_tracker(detector, 30, preset="default", high_score=0.3, new_score=0.4, low_score=0.1)
    detector(np.zeros((*SIZE, 3), np.uint8))
    count = boxes = 0
    wall, cpu = time.perf_counter(), time.process_time()
    with MotWriter(folder / "tracks.txt") as table, VideoWriter(folder / "tracks", frame_rate=30) as video:
        for frame, tracks in track(detector, tracker, clip):
            table.write(frame, tracks)
            video.write(frame, tracks)
            count, boxes = count + 1, boxes + len(tracks)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, count, boxes]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", type=Path, required=True, help="of MOTChallenge")
    parser.add_argument("--against", type=Path, required=True, metavar="PATH", help="folder of the other checkout")
    parser.add_argument("--pairs", type=int, default=10, help="runs of each checkout; default: %(default)s")
    parser.add_argument("--frames", type=int, default=120, help="of the clip; default: %(default)s")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the network; default: 1 2")
    given = parser.parse_args()
    checkouts = [given.against.resolve(), HERE]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, models = folder / "clip.mp4", [folder / "old.onnx", folder / "new.onnx"]
        make_clip(given.sequence, clip, given.frames)
        for checkout, model in zip(checkouts, models, strict=True):
            in_checkout(checkout, ["-m", "centernet", "export", "voc-lite", "--output", str(model)], 1)
        print(f"{given.pairs} pairs, {given.frames} frames of {SIZE[1]}×{SIZE[0]}, {os.cpu_count()} cores\n")
        print("| threads | frames/s, old | new | CPU ms a frame, old | new | boxes, old | new | speed | by CPU time |")
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for threads in given.threads:
            results: tuple[list[list[float]], list[list[float]]] = ([], [])
            for pair in range(given.pairs):
                for i in (1, 0) if pair % 2 else (0, 1):
                    command = [__file__, "run", str(clip), str(models[i]), str(folder), str(threads)]
                    results[i].append(json.loads(in_checkout(checkouts[i], command, threads)))
            old, new = (np.array(part).T for part in results)
            rates = [f"{np.median(one[2] / one[0]):.1f}" for one in (old, new)]
            cpu = [f"{1000 * np.median(one[1] / one[2]):.1f}" for one in (old, new)]
            boxes = [f"{np.median(one[3]):.0f}" for one in (old, new)]
            cells = [str(threads), *rates, *cpu, *boxes, speed(old[0], new[0]), speed(old[1], new[1])]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:])
    else:
        main()
