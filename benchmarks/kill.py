"""Kill commands at random moments, look at what they leave, and give the same command again.

    python benchmarks/kill.py                      each command three times by SIGTERM and by SIGKILL
    python benchmarks/kill.py fit export --times 20

After each kill every file under a final name must open and be complete, no process may be left after 20 s, and the
exit code after SIGTERM is 143, unless the command was done before (0) or had not begun (-15). The same command
(`--resume` for detect, track and fit) has to end as one that was never killed ends, bit for bit. POSIX only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
import yaml
from PIL import Image

from centernet.cli.main import main as centernet_main
from centernet.data import Synthetic, SyntheticSequences

CONFIG = """
seed_everything: 0
model:
  num_classes: 6
  backbone: {class_path: ResNet, init_args: {name: resnet18, num_stages: 2}}
  neck: {class_path: FPN, init_args: {width: 8}}
  heads:
    heatmap: {class_path: HeatmapHead, init_args: {width: 8}}
    box: {class_path: LTRBHead, init_args: {width: 8}}
  preprocessing: {size: [64, 64]}
data:
  train: {class_path: Synthetic, init_args: {num_images: 8, size: [64, 64]}}
  val: {class_path: Synthetic, init_args: {num_images: 8, size: [64, 64], seed: 1}}
  batch_size: 4
  num_workers: 1
trainer: {max_epochs: 6, accelerator: cpu, enable_progress_bar: false, precision: 32-true}
"""


class Case(NamedTuple):
    """A command; `OUT` in its arguments is the folder of its output."""

    arguments: list[str]
    again: tuple[str, ...] = ()  # options of the second call


def cases(folder: Path) -> dict[str, Case]:
    """Write the inputs of all commands to a folder."""
    scenes = Synthetic(60, size=(120, 160), seed=1)
    scenes.write(folder / "voc", split="train")
    scenes.write(folder / "coco", format="coco")
    videos = SyntheticSequences(3, length=20, size=(128, 128), seed=2)
    for number, video in enumerate(videos.sequences):
        place = folder / "videos" / f"clip{number}"
        place.mkdir(parents=True)
        for index in range(video.start, video.stop):
            Image.fromarray(videos.image(index).read()[0]).save(place / f"{index - video.start:06d}.png")
    (folder / "tiny.yaml").write_text(CONFIG)
    images = str(folder / "voc" / "JPEGImages")
    formats = "images,json,csv,txt,crops"
    clips = [str(folder / "videos"), "--sequences", "--format", "mot,json,video"]
    detect = ["detect", images, "--output", "OUT", "--format", formats, "--score-threshold", ".05"]
    check = ["check", str(folder / "voc"), "--workers", "2", "--html", "OUT/report.html", "--fix-report", "OUT/a.json"]
    convert = ["convert-data", str(folder / "voc"), "--to", "yolo", "--image-files", "copy", "--output", "OUT"]
    return {
        "detect": Case(detect, ("--resume",)),
        "track": Case(["track", *clips, "--output", "OUT", "--score-threshold", ".1"], ("--resume",)),
        "fit": Case(["fit", "--config", str(folder / "tiny.yaml"), "--output", "OUT"], ("--resume",)),
        "convert-data": Case(convert),
        "check": Case(check),
        "export": Case(["export", "voc-lite", "--format", "onnx", "--output", "OUT/model.onnx"]),
    }


class Process:
    """A command in a session of its own, forked from this process, which has loaded all that commands load."""

    def __init__(self, case: Case, out: Path, log: Path, *, again: bool = False) -> None:
        arguments = [text.replace("OUT", str(out)) for text in case.arguments] + [*case.again] * again
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        os.setsid()
        number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(number, 1), os.dup2(number, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["centernet", *arguments]
        code = 1
        try:
            code = centernet_main()
            sys.stdout.flush()
        finally:
            os._exit(code)

    def wait(self) -> int:
        """Wait for its end. Returns the exit code, or the negative number of the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


NEEDS = {
    "detect": ("centernet.cli.detect", "centernet.inference.torch_runtime"),
    "track": ("centernet.cli.track", "centernet.inference.torch_runtime"),
    "fit": ("centernet.cli.fit",),
    "convert-data": ("centernet.cli.convert_data", "centernet.data.audit_subject", "centernet.data.convert"),
    "check": ("centernet.cli.check", "centernet.data.audit"),
    "export": (
        "onnx",
        "onnxscript",
        "onnxruntime",
        "torch.onnx",
        "centernet.export.exporting",
        "centernet.export.onnx",
    ),
}
"""Modules that each command imports, before it is forked."""


def left_of(session: int, seconds: float = 20.0) -> list[int]:
    """Return the processes of a session that are still there after a while."""
    end = time.monotonic() + seconds
    while True:
        found = subprocess.run(
            ["pgrep", "-s", str(session)], capture_output=True, text=True, check=False
        ).stdout.split()
        if not found or time.monotonic() > end:
            return [int(number) for number in found]
        time.sleep(0.2)


def read(path: Path) -> Any:
    """Read a file wholly, an error where it is not whole; what is returned tells it from others."""
    data = path.read_bytes()
    if path.suffix == ".json":
        json.loads(data)
    elif path.suffix in (".yaml", ".yml"):
        yaml.safe_load(data)
        # where a run went on from, and what it knew by then of its data
        known = rb"(?m)^ *(ckpt_path|num_detections): .*\n|^  class_names:( null)?\n(  - .*\n)*"
        return re.sub(known, b"", data)
    elif path.suffix in (".jpg", ".png"):
        Image.open(path).load()
    elif path.suffix == ".csv":
        rows = list(csv.reader(data.decode().splitlines()))
        assert data.endswith(b"\n") and len(set(map(len, rows))) == 1, "a row is cut off"
    elif path.suffix == ".txt":
        assert not data or data.endswith(b"\n"), "a row is cut off"
    elif path.suffix == ".html":
        assert data.rstrip().endswith(b"</html>"), "it is cut off"
    elif path.suffix == ".ckpt":
        state = torch.load(path, weights_only=True)
        return {name: value.numpy().tobytes() for name, value in state["state_dict"].items()}
    elif path.suffix == ".onnx":
        import onnx

        onnx.checker.check_model(onnx.load_from_string(data))
    elif path.suffix in (".mp4", ".webm"):
        video, count = cv2.VideoCapture(str(path)), 0
        while video.read()[0]:
            count += 1
        return count
    return data


def results(out: Path) -> dict[str, Any]:
    """Read all files under final names; of several runs of `fit` the last."""
    runs = sorted(out.glob("tiny/version_*"))
    root = runs[-1] if runs else out
    found = {}
    for path in sorted(root.rglob("*")) if root.exists() else []:
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts):
            found[path.relative_to(root).as_posix()] = read(path)
    return found


def differences(expected: dict[str, Any], got: dict[str, Any], out: Path, reference: Path) -> list[str]:
    """Return the names of files that differ, but for the folder that stands in them."""
    unlike = [name for name in expected.keys() | got.keys() if name not in expected or name not in got]
    for name in expected.keys() & got.keys():
        one, other = expected[name], got[name]
        if isinstance(one, bytes) and isinstance(other, bytes):
            one = one.replace(str(reference).encode(), b"OUT")
            other = other.replace(str(out).encode(), b"OUT")
            if name.startswith("report."):  # the title names the run; one without a checkpoint lies beside the new one
                other = re.sub(rb"tiny, version_\d+", b"tiny, version_0", other)
            lines = [pair for pair in zip(one.splitlines(), other.splitlines(), strict=False) if pair[0] != pair[1]]
            unlike += [f"{name}: {lines[0] if lines else 'an end that lacks'}"[:300]] * (one != other)
        else:
            unlike += [name] * (one != other)
    return sorted(unlike)


def kill(
    name: str, case: Case, folder: Path, number: signal.Signals, after: float, reference: Path, expected: dict[str, Any]
) -> str:
    """Kill a command after so many seconds, and give it again. Returns what is wrong, or nothing."""
    out, log = folder / "out", folder / "log"
    folder.mkdir(exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    old = b""
    if name == "export":  # one of before, which has to stay until the new one is there
        out.mkdir()
        old = (reference / "model.onnx").read_bytes()
        (out / "model.onnx").write_bytes(old)
    process = Process(case, out, log)
    time.sleep(after)
    os.kill(process.pid, number)
    code = process.wait()
    if left := left_of(process.pid):
        return f"processes are left: {left}"
    if number == signal.SIGTERM and code not in (143, -15, 0):
        return f"exit code {code}: {log.read_text()[-300:]}"
    if b"Traceback" in log.read_bytes():
        return log.read_text()[-500:]
    try:
        found = results(out)
    except Exception as error:
        return f"not whole: {type(error).__name__} {error}"
    if code == 0 and differences(expected, found, out, reference):
        return f"exit code 0, but not done: {differences(expected, found, out, reference)}"
    if name == "convert-data" and found:  # it was done: the folder is there wholly or not at all
        return ", ".join(differences(expected, found, out, reference))
    if code := Process(case, out, log, again=True).wait():
        return f"again: exit code {code}: {log.read_text()[-300:]}"
    if unlike := differences(expected, results(out), out, reference):
        return f"again: other than one that was never killed: {unlike}"
    parts = [str(path) for path in out.parent.rglob(".centernet*")]
    return (
        f"left behind: {parts}" if parts and name != "fit" else ""
    )  # a run without a checkpoint lies beside the new one


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", help="default: all")
    parser.add_argument("--times", type=int, default=3, help="kills of each command by each signal")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw, wrong = random.Random(given.seed), 0
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for module in (module for name in given.commands or NEEDS for module in NEEDS[name]):
        import_module(module)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        all_cases: dict[str, Case] = cases(folder)
        for name in given.commands or all_cases:
            case, reference = all_cases[name], folder / f"reference_{name}"
            begin = time.monotonic()
            if code := Process(case, reference, folder / "log").wait():
                raise SystemExit(f"{name}: exit code {code}: {(folder / 'log').read_text()}")
            seconds, expected = time.monotonic() - begin, results(reference)
            for number in (signal.SIGTERM, signal.SIGKILL):
                for _ in range(given.times):
                    after = draw.uniform(0.02 * seconds, seconds)
                    problem = kill(name, case, folder / "killed", number, after, reference, expected)
                    wrong += bool(problem)
                    print(
                        f"{name} {number.name} after {after:.1f} of {seconds:.1f} s: {problem or 'right'}", flush=True
                    )
    raise SystemExit(f"{wrong} wrong" if wrong else 0)


if __name__ == "__main__":
    main()
