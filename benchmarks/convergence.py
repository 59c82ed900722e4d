"""Compare the original recipe with ours: AP over image passes and seconds, and what each ingredient brings.

Every run has the same backbone weights, neck, head widths, data, input size, passes and evaluation; only the recipe
differs. The original's: its radius, size and offset by L1 at the centre cell, Adam at 1.25e-4 for a batch of 32 with
steps, its augmentation, no averaging. Each run is `centernet fit` on a configuration written beside its log. With
`--teacher` every run is trained a second time with that frozen model as its teacher, and is a row of its own.

python benchmarks/convergence.py run --data voc --root SHARED/data/voc2007 --weights BACKBONE.safetensors \
    --size 256 --epochs 40 --seeds 0 1 --runs original "a quarter of the learning rate" --output runs/convergence
python benchmarks/convergence.py report runs/convergence --plot docs/images/convergence_voc.png
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch.callbacks import Callback

WIDTH = {"width": 64, "convolution": "separable"}

OURS: dict[str, Any] = {
    "model": {
        "backbone": {"class_path": "MobileNetV2", "init_args": {"padding": "same", "frozen_stages": 2}},
        "neck": {"class_path": "LiteFPN", "init_args": {}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {**WIDTH, "weight": 2.0}},
            "box": {"class_path": "LTRBHead", "init_args": {**WIDTH, "quality": 1.0}},
        },
        "preprocessing": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    },
    "data": {
        "augmentation": {"class_path": "Mosaic", "init_args": {"mosaic": 0.6, "mixup": 0.1, "close": 0.0}},
        "cache": "memory",
    },
    "optimization": {"lr": 8e-3, "reference_batch": 32, "backbone_lr_factor": 0.1},
    "ema_decay": 0.9995,
}

ORIGINAL_HEATMAP = {
    "class_path": "HeatmapHead",
    "init_args": {**WIDTH, "radius": "original", "min_overlap": 0.7, "logit_clamp": 1e-4},
}
SIZE_OFFSET = {"class_path": "SizeOffsetHead", "init_args": dict(WIDTH)}
ADAM = {
    "optimizer": "torch.optim.Adam",
    "lr": 1.25e-4,
    "reference_batch": 32,
    "weight_decay": 0.0,
    "backbone_lr_factor": 1.0,
    "warmup": 0.0,
    "schedule": "step",
    "milestones": [0.643, 0.857],
}
ALL_LEARN = {"model": {"backbone": {"init_args": {"frozen_stages": 0}}}}
ORIGINAL: dict[str, Any] = {
    **ALL_LEARN,
    "model": {**ALL_LEARN["model"], "heads": {"heatmap": ORIGINAL_HEATMAP, "box": SIZE_OFFSET}},
    "data": {"augmentation": {"class_path": "Augment", "init_args": {}}},
    "optimization": ADAM,
    "ema_decay": 0,
}


def _box(**options: Any) -> dict[str, Any]:
    return {"model": {"heads": {"box": {"init_args": options}}}}


def _heatmap(**options: Any) -> dict[str, Any]:
    return {"model": {"heads": {"heatmap": {"init_args": options}}}}


# Run → what it changes in OURS. A run's name may end in "/8": the same with an eighth of the epochs.
RUNS: dict[str, dict[str, Any]] = {
    "ours": {},
    "original": ORIGINAL,
    "original, our optimiser and average": {
        **ORIGINAL,
        "optimization": OURS["optimization"],
        "ema_decay": 0.9995,
    },
    "without mosaic and mixup": {"data": {"augmentation": {"class_path": "Augment", "init_args": {}}}},
    "box from the centre cell alone": _box(sampling="center"),
    "box from 3×3 centre cells": _box(sampling="center3x3"),
    "box by IoU loss without enclosure": _box(loss="iou"),
    "box by CIoU": _box(loss="ciou"),
    "size and offset by L1": {"model": {"heads": {"box": SIZE_OFFSET}}},
    "round blobs of the original radius": _heatmap(radius="original"),
    "quality focal loss": _heatmap(loss="quality_focal"),
    "heatmap weight 1": _heatmap(weight=1.0),
    "without quality": _box(quality=0.0),
    "without averaged weights": {"ema_decay": 0},
    "backbone learns wholly, at the full rate": {**ALL_LEARN, "optimization": {"backbone_lr_factor": 1.0}},
    "frozen statistics in the backbone": {"model": {"backbone": {"init_args": {"frozen_norms": True}}}},
    "half the learning rate": {"optimization": {"lr": 4e-3}},
    "a quarter of the learning rate": {"optimization": {"lr": 2e-3}},
}


class Seconds(Callback):
    """Logs `val/seconds`: wall time of training so far, without validation."""

    def __init__(self) -> None:
        self.total, self._start = 0.0, 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._start:
            self.total += time.perf_counter() - self._start
            self._start = 0.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._start:
            self.total += time.perf_counter() - self._start
            self._start = 0.0

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("val/seconds", self.total)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it; another `class_path` replaces the part and its arguments wholly."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        old = result.get(key)
        other = isinstance(value, dict) and "class_path" in value
        result[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) and not other else value
    return result


def configuration(name: str, seed: int, given: argparse.Namespace, *, taught: bool = False) -> dict[str, Any]:
    """Return the whole configuration of a run, `taught` with the teacher."""
    name, _, part = name.partition("/")
    epochs = given.epochs // int(part or 1)
    config = merged(OURS, RUNS[name])
    config["seed_everything"] = seed
    model, data = config["model"], config["data"]
    model["backbone"]["init_args"]["weights"] = given.weights
    root = Path(given.root)
    if given.data == "voc":
        sets = {split: _coco(root / f"{split}.json", root / "JPEGImages") for split in ("train", "val")}
        categories = json.loads((root / "val.json").read_text())["categories"]
        model["class_names"] = [category["name"] for category in sorted(categories, key=lambda c: c["id"])]
    else:
        model["class_names"] = ["RBC", "WBC", "Platelets"]
        names = {"class_names": model["class_names"]}
        sets = {
            split: {"class_path": "VOC", "init_args": {"root": str(root), "split": split, **names}}
            for split in ("train", "val")
        }
    # Evaluated at the size that it is trained at.
    model["preprocessing"]["size"] = [given.size, given.size]
    config["data"] = {**data, **sets, "num_workers": given.workers, "batch_size": given.batch_size}
    config["trainer"] = {
        "max_epochs": epochs,
        "check_val_every_n_epoch": max(1, epochs // given.points),
        "num_sanity_val_steps": 0,
        "callbacks": [{"class_path": "convergence.Seconds"}],
    }
    config["log_images"] = {"every_n_epochs": 0}
    if taught:
        config |= {"teacher": given.teacher, "teacher_weight": given.teacher_weight}
    return config


def _coco(annotations: Path, images: Path) -> dict[str, Any]:
    return {"class_path": "COCO", "init_args": {"annotations": str(annotations), "images": str(images)}}


def run(given: argparse.Namespace) -> None:
    """Train every run with every seed, `jobs` at a time, and gather the curves in `curves.json`."""
    output = Path(given.output)
    output.mkdir(parents=True, exist_ok=True)
    unknown = [name for name in given.runs if name.partition("/")[0] not in RUNS]
    if unknown:
        sys.exit(f"error: no run is called {unknown[0]!r}; choose among: {'; '.join(RUNS)}")
    ways = [False] if given.teacher is None else [False, True]
    wanted = [(name, seed, taught) for seed in given.seeds for name in given.runs for taught in ways]

    def one(job: tuple[str, int, bool]) -> list[dict[str, Any]]:
        run, seed, taught = job
        name = f"{run}, teacher {Path(given.teacher).name} ({given.teacher_weight:g})" if taught else run
        folder = output / f"{''.join(c if c.isalnum() else '_' for c in name)}-{seed}"
        folder.mkdir(exist_ok=True)
        config = configuration(run, seed, given, taught=taught)
        (folder / "fit.yaml").write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False))
        command = [sys.executable, "-W", "ignore", __file__, "fit", "--config", str(folder / "fit.yaml")]
        with (folder / "log.txt").open("w") as log:
            code = subprocess.run([*command, "--output", str(folder)], stdout=log, stderr=log, check=False).returncode
        print(f"{name}, seed {seed}: {'ended' if code == 0 else f'exit {code}, see {folder}/log.txt'}", flush=True)
        return curve(name, seed, folder)

    with ThreadPoolExecutor(given.jobs) as pool:
        rows = [row for part in pool.map(one, wanted) for row in part]
    path = output / "curves.json"
    kept = json.loads(path.read_text()) if path.is_file() else []
    done = {(row["run"], row["seed"]) for row in rows}
    path.write_text(json.dumps([row for row in kept if (row["run"], row["seed"]) not in done] + rows, indent=0))
    print(table(json.loads(path.read_text())))
    print(f"curves: {path}")


def curve(name: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Return one row a validation: run, seed, passes, seconds, AP, AP50."""
    batch = yaml.safe_load((folder / "fit.yaml").read_text())["data"]["batch_size"]
    logs = sorted(folder.glob("fit/version_*/metrics.csv"), key=lambda path: path.stat().st_mtime)
    rows = []
    with logs[-1].open(newline="") as file:
        for row in csv.DictReader(file):
            if row.get("val/AP"):
                rows.append(
                    {
                        "run": name,
                        "seed": seed,
                        "passes": (int(row["step"]) + 1) * batch,
                        "seconds": float(row["val/seconds"]),
                        "AP": float(row["val/AP"]),
                        "AP50": float(row["val/AP50"]),
                    }
                )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return as Markdown each run's last and best AP, mean over seeds and each seed's own."""
    lines = [
        "| run | seeds | passes | AP at the end | AP50 | of each seed | training seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["run"] for row in rows):
        last = {row["seed"]: row for row in rows if row["run"] == name}
        ends = list(last.values())
        mean = {key: sum(row[key] for row in ends) / len(ends) for key in ("AP", "AP50", "seconds", "passes")}
        each = ", ".join(f"{row['AP']:.3f}" for row in ends)
        lines.append(
            f"| {name} | {len(ends)} | {mean['passes']:,.0f} | **{mean['AP']:.3f}** | {mean['AP50']:.3f} | {each} "
            f"| {mean['seconds']:.0f} |"
        )
    return "\n".join(lines)


def report(given: argparse.Namespace) -> None:
    """Print the table of a folder's `curves.json`, and draw its plot."""
    rows = json.loads((Path(given.folder) / "curves.json").read_text())
    if given.runs:
        rows = [row for row in rows if row["run"] in given.runs]
    print(table(rows))
    if not given.plot:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    names = list(dict.fromkeys(row["run"] for row in rows))
    for number, name in enumerate(names):
        for seed in dict.fromkeys(row["seed"] for row in rows if row["run"] == name):
            points = [row for row in rows if row["run"] == name and row["seed"] == seed]
            for axis, key, scale in zip(axes, ("passes", "seconds"), (1e-3, 1.0), strict=True):
                axis.plot(
                    [row[key] * scale for row in points],
                    [row["AP"] for row in points],
                    color=f"C{number}",
                    marker=".",
                    label=name if axis is axes[0] and seed == points[0]["seed"] == rows[0]["seed"] else None,
                )
    axes[0].set(xlabel="image passes, thousands", ylabel="AP on validation images")
    axes[1].set(xlabel="seconds of training, several runs at once")
    axes[0].legend()
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(given.plot, dpi=80)
    print(f"plot: {given.plot}")


def main() -> None:
    if sys.argv[1:2] == ["fit"]:  # a run's own process
        import logging

        from centernet.cli.fit import run as fit

        logging.basicConfig(level=logging.INFO)
        arguments, sys.argv = sys.argv[2:], sys.argv[:1]
        fit(arguments, "fit")
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="train, and gather the curves")
    runs.add_argument("--data", choices=("voc", "bccd"), required=True)
    runs.add_argument("--root", required=True)
    runs.add_argument("--weights", required=True)
    runs.add_argument("--size", type=int, default=256)
    runs.add_argument("--epochs", type=int, default=40)
    runs.add_argument("--batch-size", type=int, default=32, help="the learning rates, said for 32, follow it")
    runs.add_argument("--seeds", type=int, nargs="+", default=[0])
    runs.add_argument("--runs", nargs="+", default=["original", "ours", "ours/8"])
    runs.add_argument("--teacher", help="train every run with this model as its teacher, too")
    runs.add_argument("--teacher-weight", type=float, default=1.0)
    runs.add_argument("--points", type=int, default=8, help="validations a run")
    runs.add_argument("--workers", type=int, default=2)
    runs.add_argument("--jobs", type=int, default=1, help="runs at once")
    runs.add_argument("--output", default="runs/convergence")
    reports = commands.add_parser("report", help="the table and the plot of a folder")
    reports.add_argument("folder")
    reports.add_argument("--runs", nargs="*")
    reports.add_argument("--plot", help="file of the plot")
    given = parser.parse_args()
    (run if given.command == "run" else report)(given)


if __name__ == "__main__":
    main()
