"""Processor time an image of `centernet detect --engine ray` with one and with two workers, against `centernet detect`.

All run the same ONNX file on one thread, and write JSON. They take turns; each is measured from when a sixth of the
images is done until five sixths are, which leaves out what a run takes to start and to end. Processor time is that of
all processes that a command has started, Ray's own among them. Linux alone.

python benchmarks/ray_engine.py photos --images 600 --rounds 3
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Container
from pathlib import Path
from statistics import median

from centernet.configuration import PACKAGED
from centernet.images import list_images

TICKS = os.sysconf("SC_CLK_TCK")
SHARD = 20
SUBREAPER = 36  # prctl: processes whose parent has ended become children of this one


def processes() -> dict[int, tuple[int, float]]:
    """Return parent and seconds of the processor of each process, by its id."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    return found


def measured(command: list[str], out: Path, images: int) -> tuple[float, float, float]:
    """Run a command. Returns seconds of the processor and on the clock an image, and the processor's for all else."""
    already, seconds, marks = processes().keys(), dict[int, float](), list[tuple[int, float, float]]()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while True:
        ended = process.poll() is not None
        count = done(out)
        seconds |= ours(already)
        if not ended and len(marks) < 2 and count >= images * (1, 5)[len(marks)] / 6:
            marks.append((count, sum(seconds.values()), time.monotonic()))
        if ended:
            break
        time.sleep(0.02)
    if process.returncode or len(marks) < 2:
        raise SystemExit(process.stderr.read() if process.stderr else "it was too quick to be measured")
    (first, *begin), (last, *end) = marks
    one, clock = ((b - a) / (last - first) for a, b in zip(begin, end, strict=True))
    return one, clock, sum(seconds.values()) - images * one


def done(out: Path) -> int:
    """Return how many images a run has finished: by its record, or by the shards that it has written."""
    record = out / ".centernet-progress"
    if record.is_file():
        return record.read_bytes().count(b"\n") - 1
    return SHARD * sum(1 for path in out.glob("shard-*"))


def ours(already: Container[int]) -> dict[int, float]:
    """Return the seconds of all processes that come from this one, but those that there were before."""
    now, root = processes(), os.getpid()
    known = {root}
    for pid in now:
        line = [pid]
        while line[-1] in now and line[-1] not in known:
            line.append(now[line[-1]][0])
        if line[-1] in known:
            known |= set(line)
    return {pid: now[pid][1] for pid in known if pid in now and pid not in already}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of images; they are repeated up to --images")
    parser.add_argument("--model", default=str(PACKAGED / "coco-lite" / "model.onnx"))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "images").mkdir()
        for number, path in enumerate(itertools.islice(itertools.cycle(list_images(given.folder)), given.images)):
            shutil.copy(path, work / "images" / f"{number:06d}{path.suffix}")
        common = [sys.executable, "-m", "centernet", "detect", str(work / "images"), "--model", given.model]
        ray = f"--engine ray --format jsonl --shard-size {SHARD} --workers".split()
        engines = {"local": ["--format", "json"], "ray, 1 worker": [*ray, "1"], "ray, 2 workers": [*ray, "2"]}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
        for turn in range(given.rounds):
            for name, own in engines.items():
                out = work / f"{turn}-{name}"
                found[name].append(measured([*common, "--threads", "1", *own, "--output", str(out)], out, given.images))
                one, clock, rest = found[name][-1]
                text = f"{1000 * one:.1f} ms of the processor an image, {1 / clock:.1f} images/s"
                print(f"round {turn + 1}, {name}: {text}, {rest:.1f} s of the processor for all else", flush=True)
    print("\n| engine | processor, ms an image | against local | images/s | start and end, s of the processor |")
    print("|---|---|---|---|---|")
    for name, values in found.items():
        ratio = median(own[0] / local[0] for own, local in zip(values, found["local"], strict=True))
        one, clock, rest = (median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {1000 * one:.1f} | {ratio:.3f} | {1 / clock:.1f} | {rest:.1f} |")


if __name__ == "__main__":
    main()
