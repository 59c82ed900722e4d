"""Compare images that `centernet label --select` chooses with random ones: AP after a training on either.

For each number of labels N and each seed: a model learns from N/2 random images; then N/2 more are labelled, those that
it chooses, or random ones; two trainings from the same start, of as many image passes each, say what that brought. AP
is that of the last epoch on the split val, batches have 8 images. What is finished stays finished: the same command
goes on.

python benchmarks/selection.py --data SHARED/data/bccd --labels 20 40 80 --seeds 0 1 2 --size 160 --passes 4000
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from centernet.data import ChosenImages, DetectionDataset
from centernet.data.combining import image_names
from centernet.data.detect_format import find_format
from centernet.inference.labelling import label_images

COMMAND = [sys.executable, "-W", "ignore", "-m", "centernet"]
ARMS = ("random", "chosen")
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data set with the splits train and val")
    parser.add_argument("--start", default="voc-lite", help="name, folder or checkpoint; default: %(default)s")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 40, 80], help="images that get labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=160, help="of the input")
    parser.add_argument("--passes", type=int, default=4000, help="of images, in each training")
    parser.add_argument("--output", type=Path, default=Path("runs/selection"))
    given = parser.parse_args()
    train = find_format(given.data).open("train")
    rows = []
    for number in given.labels:
        for seed in given.seeds:
            folder = given.output / f"{given.passes}-passes" / f"{number}-labels-seed-{seed}"
            rows.append({"labels": number, "seed": seed, **compare(train, number, seed, folder, given)})
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


def compare(train: DetectionDataset, number: int, seed: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return AP and AP50 of the model of N/2 images, and of both arms, with the objects that each arm has by class."""
    names, rng = image_names(train), np.random.default_rng(seed)
    order = rng.permutation(len(train))
    first, others = order[: number // 2], order[number // 2 : number]
    lists = {"first": [names[i] for i in first], "random": [names[i] for i in [*first, *others]]}
    found: dict[str, Any] = {"first": learn(lists["first"], seed, folder / "first", given)}
    path = folder / "chosen.json"
    if not path.is_file():
        kept = ChosenImages(train, folder / "first" / "images.txt")
        paths = [train.path(i) for i in range(len(train))]
        made = folder / f"labelled-{len(list(folder.glob('labelled-*')))}"
        model = newest(folder / "first", "best.ckpt")
        result = label_images(paths, str(model), made, keep=kept, select=number - len(first), image_files="none")
        place_of = {str(p): i for i, p in enumerate(paths)}
        path.write_text(json.dumps([names[place_of[one]] for one in result.selected[0]]))
    lists["chosen"] = [*lists["first"], *json.loads(path.read_text())]
    for arm in ARMS:
        found[arm] = learn(lists[arm], seed, folder / arm, given)
        dataset = ChosenImages(train, folder / arm / "images.txt")
        counts = Counter(dataset.columns.labels[~dataset.columns.ignore].tolist())
        found[f"objects, {arm}"] = {train.class_names[label]: count for label, count in sorted(counts.items())}
    return found


def learn(images: list[str], seed: int, folder: Path, given: argparse.Namespace) -> list[float]:
    """Train on some images, unless that is done; return AP and AP50."""
    done = folder / "done.json"
    if done.is_file():
        return list(json.loads(done.read_text()))
    run(
        ["finetune", str(given.data), "--model", given.start, "--size", str(given.size), "--workers", "0", "--dry-run"],
        folder,
    )
    (folder / "images.txt").write_text("".join(f"{name}\n" for name in images), encoding="utf-8")
    config = yaml.safe_load((folder / "finetune.yaml").read_text(encoding="utf-8"))
    part = {"dataset": config["data"]["train"], "images": str(folder / "images.txt")}
    config["data"]["train"] = {"class_path": "ChosenImages", "init_args": part}
    config["data"]["batch_size"] = BATCH
    epochs = max(1, round(given.passes / len(images)))
    config["trainer"] |= {"max_epochs": epochs, "check_val_every_n_epoch": epochs}
    config |= {"seed_everything": seed, "log_images": {"every_n_epochs": 0}}
    (folder / "finetune.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    run(["fit", "--config", str(folder / "finetune.yaml")], folder)
    with newest(folder, "metrics.csv").open(newline="") as file:
        last = [row for row in csv.DictReader(file) if row.get("val/AP")][-1]
    figures = [float(last["val/AP"]), float(last["val/AP50"])]
    done.write_text(json.dumps(figures))
    return figures


def run(arguments: list[str], folder: Path) -> None:
    """Run a command, its words in log.txt; what fails ends the benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log:
        code = subprocess.run([*COMMAND, *arguments, "--output", str(folder)], stdout=log, stderr=log).returncode
    if code:
        sys.exit(f"error: `centernet {' '.join(arguments)}` failed; see {folder}/log.txt")


def newest(folder: Path, name: str) -> Path:
    """Return the file of this name that was written last."""
    return max(folder.rglob(name), key=lambda path: path.stat().st_mtime)


def table(rows: list[dict[str, Any]]) -> str:
    """Return as Markdown the means over the seeds, and the differences of the pairs with their standard error."""
    lines = ["| labels | seeds | half of them | random | chosen | chosen − random: AP | AP50 |", "|---" * 7 + "|"]
    for number in dict.fromkeys(row["labels"] for row in rows):
        some = [row for row in rows if row["labels"] == number]
        half, random, chosen = (np.array([row[arm] for row in some]) for arm in ("first", *ARMS))
        difference = chosen - random
        error = difference.std(axis=0, ddof=1) / len(some) ** 0.5 if len(some) > 1 else np.full(2, np.nan)
        means = [" / ".join(f"{v:.3f}" for v in values.mean(axis=0)) for values in (half, random, chosen)]
        gains = [f"{mean:+.3f} ± {e:.3f}" for mean, e in zip(difference.mean(axis=0), error, strict=True)]
        lines.append(f"| {number} | {len(some)} | {' | '.join([*means, *gains])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
