"""Compare starts of `centernet finetune`: AP before any step and over image passes and seconds, by data and seed.

Each run is the configuration that the command writes, with another start, seed or number of training images. The start
`auto` is the command's own choice, `imagenet` the network of voc-lite with a backbone from ImageNet (`--weights`).
Its row of 0 passes is `centernet validate` of the start on that configuration, where nothing of it would be untrained.

python benchmarks/finetuning.py --data SHARED/data/raccoon --starts auto voc-lite --seeds 0 1 2 --images 0 40 10
python benchmarks/finetuning.py --data SHARED/data/helmet SHARED/data/bccd --passes 2400
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

COMMAND = [sys.executable, "-W", "ignore", "-m", "centernet"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data sets with the splits train and val")
    parser.add_argument("--starts", nargs="+", default=["auto"], help="auto, imagenet, names, folders or checkpoints")
    parser.add_argument("--weights", help="of MobileNetV2 on ImageNet, for the start imagenet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, nargs="+", default=[0], help="to train on, drawn by the seed; 0: all")
    parser.add_argument("--passes", type=int, default=0, help="of images; 0: as the command has it")
    parser.add_argument("--size", type=int, help="of the input; as the command has it where left out")
    parser.add_argument("--output", type=Path, default=Path("runs/finetuning"))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for data in given.data:
        for start in given.starts:
            for images in given.images:
                for seed in given.seeds:
                    folder = given.output / f"{data.name}-{Path(start).name}-{images or 'all'}-{seed}"
                    name = {"data": data.name, "start": start, "images": images or "all", "seed": seed}
                    rows += [name | row for row in train(data, start, images, seed, folder, given)]
                    (given.output / "rows.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))


def train(data: Path, start: str, images: int, seed: int, folder: Path, given: argparse.Namespace) -> list[Any]:
    """Write the configuration, evaluate the start, train; one row a validation."""
    model = [] if start == "auto" else ["--model", "voc-lite" if start == "imagenet" else start]
    size = ["--size", str(given.size)] if given.size else []
    run(["finetune", str(data), *model, *size, "--workers", "0", "--dry-run", "--output", str(folder)], folder)
    path = folder / "finetune.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["seed_everything"] = seed
    if start == "imagenet":
        config["start_from"] = None
        config["model"]["backbone"]["init_args"]["weights"] = given.weights
    said = (folder / "log.txt").read_text(encoding="utf-8")
    number = next(int(line.split(" images")[0].replace(",", "")) for line in said.splitlines() if " images, " in line)
    epochs = config["trainer"]["max_epochs"]
    if images:
        part = {"dataset": config["data"]["train"], "count": images, "seed": seed}
        config["data"]["train"] = {"class_path": "RandomSubset", "init_args": part}
        epochs, number = min(round(epochs * number / images), 120), images
    if given.passes:
        epochs = max(1, round(given.passes / number))
    config["trainer"] |= {"max_epochs": epochs, "check_val_every_n_epoch": max(1, epochs // 8)}
    config["log_images"] = {"every_n_epochs": 0}
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    rows: list[dict[str, Any]] = []
    if config["start_from"] and run(["validate", "--config", str(path), "--output", str(folder)], folder) is not None:
        figures = json.loads(newest(folder, "figures.json").read_text(encoding="utf-8"))
        rows.append({"passes": 0, "AP": figures["AP"], "AP50": figures["AP50"]})
    seconds = run(["fit", "--config", str(path), "--output", str(folder)], folder)
    if seconds is None:
        sys.exit(f"error: the training failed; see {folder}/log.txt")
    step_images = min(config["data"]["batch_size"], number)
    with newest(folder, "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("val/AP"):
                passes = (int(row["step"]) + 1) * step_images
                rows.append({"passes": passes, "AP": float(row["val/AP"]), "AP50": float(row["val/AP50"])})
    rows[-1] |= {"seconds": seconds[0], "processor_seconds": seconds[1]}
    return rows


def run(arguments: list[str], folder: Path) -> tuple[float, float] | None:
    """Run a command, its words in log.txt; seconds by the clock and of all processors, None where it failed."""
    folder.mkdir(parents=True, exist_ok=True)
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log.txt").open("a" if arguments[0] != "finetune" else "w") as log:
        code = subprocess.run([*COMMAND, *arguments], stdout=log, stderr=log, check=False).returncode
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return (time.perf_counter() - began, spent) if code == 0 else None


def newest(folder: Path, name: str) -> Path:
    """Return the file of this name that was written last."""
    return max(folder.rglob(name), key=lambda path: path.stat().st_mtime)


def table(rows: list[dict[str, Any]]) -> str:
    """Return as Markdown each run's AP before any step, its best and its last."""
    lines = [
        "| data | start | images | seed | before | best | at | last AP / AP50 | s | processor s |",
        "|---" * 10 + "|",
    ]
    runs: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        runs.setdefault((row["data"], row["start"], row["images"], row["seed"]), []).append(row)
    for name, curve in runs.items():
        before = f"{curve[0]['AP']:.3f} / {curve[0]['AP50']:.3f}" if not curve[0]["passes"] else "–"
        best, last = max(curve, key=lambda row: row["AP"]), curve[-1]
        cells = [*name, before, f"{best['AP']:.3f} / {best['AP50']:.3f}", f"{best['passes']:,}"]
        cells += [f"{last['AP']:.3f} / {last['AP50']:.3f}", round(last["seconds"]), round(last["processor_seconds"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
