"""Fine-tune a pose model on few images with keypoints: OKS AP before and after, within a time of the processor.

python benchmarks/keypoints.py coco --annotations person_keypoints.json --train train.txt --val val.txt
python benchmarks/keypoints.py animals --starts person-pose none

`coco` trains on the images of --train with keypoints, and measures on them and on those of --val with keypoints.
`animals` trains on drawn animals of nine joints, and measures on 200 images of other seeds. The start `none` is the
same network, begun anew. --seconds are those of the processor, of training alone; the learning rate falls to 0 over
them.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from centernet.data import COCO, Augment, ChosenImages, DataModule, DetectionDataset, Subset, SyntheticAnimals
from centernet.evaluation import CocoEvaluator, KeypointEvaluator
from centernet.models import CenterNet
from centernet.network.build import build_network
from centernet.network.weights import model_section
from centernet.training import EMA, Optimization, Trainer
from centernet.training.start import start_from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=["coco", "animals"])
    parser.add_argument("--annotations", type=Path, help="COCO's keypoints, with their images beside them")
    parser.add_argument("--train", type=Path, help="a list of images")
    parser.add_argument("--val", type=Path, help="another")
    parser.add_argument("--model", default="person-pose", help="a name, a folder or a checkpoint: the network")
    parser.add_argument("--starts", nargs="+", default=["person-pose"], help="the same, or none to begin anew")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument(
        "--lr", type=float, help="default: 6e-5 for coco, 1e-3 for animals, as `centernet finetune` has"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=2000, help="drawn ones to train on")
    parser.add_argument("--objects", type=int, nargs=2, default=(1, 3), help="fewest and most animals of an image")
    text = "shortest and longest body, in sides of the image"
    parser.add_argument("--object-size", type=float, nargs=2, default=(0.2, 0.45), help=text)
    parser.add_argument("--size", type=int, help="of the input; default: the model's, 192 of animals")
    parser.add_argument("--live-norms", action="store_true", help="batch norms by the batch, in place of frozen ones")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for start in given.starts:
        for seed in given.seeds:
            row = {"data": given.data, "start": Path(start).name, "seed": seed, **run(given, start, seed)}
            print(json.dumps(row), flush=True)


def run(given: argparse.Namespace, start: str, seed: int) -> dict[str, Any]:
    """Train once; return figures before and after."""
    pl.seed_everything(seed, verbose=False)
    sets = coco_sets(given) if given.data == "coco" else animal_sets(given, seed)
    section = model_section(given.model)
    size = given.size or (192 if given.data == "animals" else None)
    if size:
        section["preprocessing"] = {**section["preprocessing"], "size": [size, size]}
    train = sets["train"]
    skeleton: Any = train.fields[0].skeleton
    section["backbone"]["init_args"]["frozen_stages"] = 0 if start == "none" else 2
    section["class_names"], section["num_classes"] = list(train.class_names), None
    section.pop("calibration", None)  # of other classes
    section["heads"]["keypoints"]["init_args"]["skeleton"] = skeleton.to_dict()
    network = build_network({"model": section})
    data = DataModule(
        train,
        augmentation=Augment(scale=(0.7, 1.3), translate=0.2),
        preprocessing=network.preprocessing,
        batch_size=given.batch_size,
        num_workers=0,
        seed=seed,
        cache="memory",
    )
    if start != "none":
        start_from(network, start, data.some_batches(16))
    model = CenterNet.of(network)
    measured = {name: dataset for name, dataset in sets.items() if given.data == "coco" or name == "test"}
    before = {name: figures(model, dataset) for name, dataset in measured.items()} if given.data == "coco" else {}
    anew = start == "none"
    model.optimization = ByClock(
        given.seconds,
        lr=given.lr or (6e-5 if given.data == "coco" else 1e-3),
        reference_batch=0,
        frozen_norms=not (anew or given.live_norms),
    )
    clock = Clock(model.optimization)
    trainer = Trainer(  # in bfloat16 where that is faster
        accelerator="cpu",
        max_epochs=100_000,
        callbacks=[EMA(0.98), clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=35.0,
        num_sanity_val_steps=0,
    )
    trainer.fit(model.train(), data)
    after = {name: figures(model, dataset) for name, dataset in measured.items()}
    return {"steps": trainer.global_step, "seconds": round(clock.spent), "before": before, "after": after}


class ByClock(Optimization):
    """A learning rate by the time of the processor."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.seconds, self.began = seconds, time.process_time()

    def factor(self, step: int, steps: int) -> float:
        share = (time.process_time() - self.began) / self.seconds
        return super().factor(round(1000 * min(share, 1.0)), 1000)


class Clock(Callback):
    """Ends a training when its time is over, and says now and then how it goes."""

    def __init__(self, optimization: ByClock) -> None:
        self.optimization, self.spent, self.said = optimization, 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.optimization.began = time.process_time()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.spent = time.process_time() - self.optimization.began
        if self.spent - self.said > 30:
            self.said = self.spent
            loss = float(trainer.callback_metrics["train/loss"])
            print(f"{self.spent:.0f} s, step {trainer.global_step}: loss {loss:.3f}", flush=True)
        trainer.should_stop = self.spent > self.optimization.seconds
        if trainer.should_stop:
            trainer.fit_loop.epoch_loop.max_steps = trainer.global_step  # not at the end of the epoch


def coco_sets(given: argparse.Namespace) -> dict[str, DetectionDataset]:
    """Return the images with keypoints of two lists."""
    whole = COCO(given.annotations)
    sets = {}
    for name in ("train", "val"):
        part = ChosenImages(whole, getattr(given, name))
        posed = (part.columns.data["keypoints"][..., 2] > 0).any(axis=1) & ~part.columns.ignore
        sets[name] = Subset(part, np.unique(part.columns.samples()[posed]))
    return sets


def animal_sets(given: argparse.Namespace, seed: int) -> dict[str, DetectionDataset]:
    """Return drawn animals to train on, and 200 images of another seed."""
    options: dict[str, Any] = {"size": (given.size or 192,) * 2}
    options |= {"objects": tuple(given.objects), "object_size": tuple(given.object_size)}
    return {
        "train": SyntheticAnimals(given.images, seed=1000 + seed, **options),
        "test": SyntheticAnimals(200, seed=1, **options),
    }


@torch.no_grad()
def figures(model: CenterNet, dataset: DetectionDataset) -> dict[str, float]:
    """Return OKS AP, PCK and box AP of a model on a data set."""
    network = model.network
    training = network.training
    network.eval()
    data = DataModule(val=dataset, preprocessing=network.preprocessing, batch_size=8, num_workers=0)
    skeleton: Any = dataset.fields[0].skeleton
    poses, boxes = KeypointEvaluator(dataset.class_names, skeleton), CocoEvaluator(dataset.class_names)
    for batch in data.val_dataloader():
        decoded = network.decode_detections(network(network.normalize(batch.images)))
        found = model.to_detections(decoded, [(truth.height, truth.width) for truth in batch.annotations])
        for truth, detections in zip(batch.annotations, found, strict=True):
            poses.update(truth, detections)
            boxes.update(truth, detections)
    network.train(training)
    stats = poses.compute().stats
    values = {"OKS AP": stats["AP"], "OKS AP50": stats["AP50"], "PCK": stats["PCK"]}
    return {name: round(value, 4) for name, value in (values | {"box AP": boxes.compute().stats["AP"]}).items()}


if __name__ == "__main__":
    main()
