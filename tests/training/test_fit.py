"""Runs from the command line, as a user starts them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from centernet import CenterNet
from centernet.cli import fit
from centernet.cli.main import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]


TWO_PROCESSES = """
import sys

import torch.distributed

from centernet.cli import fit
from centernet.data.loading import BatchReader

read = BatchReader.__getitem__


def emptied(self, keys):
    batch = read(self, keys)
    if self.training and torch.distributed.get_rank() == 1:
        batch.counts.zero_(), batch.labels.fill_(-1), batch.boxes.zero_()
    return batch


BatchReader.__getitem__ = emptied
if __name__ == "__main__":
    run = fit.run(sys.argv[1:], "fit")
    total = sum(float(p.detach().double().abs().sum()) for p in run.model.parameters())
    print(f"rank {run.trainer.global_rank} total {total:.10f}", flush=True)
    print(f"images {len(run.datamodule.datasets['val'])} AP {run.model.validated.coco.stats['AP']:.10f}", flush=True)
"""


def states(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=True)  # type: ignore[no-any-return]


def assert_equal(a: Path, b: Path) -> None:
    first, second = states(a), states(b)
    for part in ("state_dict", "current_model_state"):
        assert first[part].keys() == second[part].keys()
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), f"{part} {name} differs"
    moments = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (first, second)]
    assert all(torch.equal(moments[0][i]["exp_avg"], moments[1][i]["exp_avg"]) for i in moments[0])


def last(output: Path, version: int = 0) -> Path:
    return output / "tiny" / f"version_{version}" / "checkpoints" / "last.ckpt"


def test_a_run_leaves_what_it_says(tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "runs"
    assert main(["fit", "--config", tiny(pictures={"every_n_epochs": 1}), "--output", str(output)]) == 0
    folder = output / "tiny" / "version_0"
    said = capsys.readouterr().out.strip().splitlines()
    assert said[-1] == f"checkpoint: {folder / 'checkpoints' / 'best.ckpt'}"
    assert any("epoch 2/2" in line and "AP50" in line for line in said)
    assert sorted(file.name for file in (folder / "images").iterdir()) == ["epoch_0001.jpg", "epoch_0002.jpg"]
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/AP"]]
    assert len(rows) == 2
    used = yaml.safe_load((folder / "config.yaml").read_text())
    assert used["optimization"]["lr"] == 1e-3  # defaults are there too
    checkpoint = states(folder / "checkpoints" / "best.ckpt")
    assert yaml.safe_load(checkpoint["config"])["data"]["batch_size"] == 4
    model = CenterNet.load_from_checkpoint(folder / "checkpoints" / "best.ckpt")
    assert model.class_names == ("disc", "square", "triangle", "star", "cross", "ring")  # from the data


def test_resumed_after_an_epoch_equals_uninterrupted(tiny: Any, cut_off: Any, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = tiny(trainer__max_epochs=4)
    fit.run(["--config", config, "--output", str(whole)], "fit")
    cut_off(config, cut, epoch=2)
    fit.run(["--config", config, "--output", str(cut), "--ckpt_path", str(last(cut))], "fit")
    assert_equal(last(whole), last(cut))  # it went on in the folder of the stopped run
    logs = [(folder / "tiny" / "version_0" / "metrics.csv").read_text().splitlines() for folder in (whole, cut)]
    assert logs[0] == logs[1]


@pytest.mark.filterwarnings("ignore:.*dirpath has changed.*")
@pytest.mark.parametrize("sampling", [None, {"class_path": "ClassAware", "init_args": {"samples": 24}}])
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(
    tiny: Any, cut_off: Any, tmp_path: Path, sampling: Any
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = tiny(trainer__max_epochs=3, data__sampling=sampling)
    fit.run(["--config", config, "--output", str(whole)], "fit")
    middle = tmp_path / "middle.ckpt"
    cut_off(config, cut, step=9, save=middle)  # six batches an epoch: in the middle of the second
    # Not from the folder of the run, so it goes on in a new one.
    fit.run(["--config", config, "--output", str(cut), "--ckpt_path", str(middle)], "fit")
    assert_equal(last(whole), last(cut, version=1))


def test_validate_reads_the_model_from_the_checkpoint(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs"
    config = tiny()
    fit.run(["--config", config, "--output", str(output)], "fit")
    checkpoint = output / "tiny" / "version_0" / "checkpoints" / "best.ckpt"
    with (output / "tiny" / "version_0" / "metrics.csv").open(newline="") as file:
        best = max(float(row["val/AP"]) for row in csv.DictReader(file) if row["val/AP"])
    capsys.readouterr()
    assert main(["validate", "--config", config, "--ckpt_path", str(checkpoint), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "AP50" in said
    figures = yaml.safe_load(Path(said.strip().splitlines()[-1].partition(": ")[2]).read_text())
    assert figures["AP"] == pytest.approx(best, abs=1e-6)


def test_overfit_one_batch_shows_that_the_model_can_learn(tiny: Any, tmp_path: Path) -> None:
    run = fit.run(["--config", tiny(), "--output", str(tmp_path), "--overfit-one-batch"], "fit")
    assert run.model.validated is not None
    assert run.model.validated.coco.stats["AP50"] > 0.9


def test_the_loss_falls_with_the_recipe_of_the_original_too(tiny: Any, tmp_path: Path) -> None:
    heads = {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16, "radius": "original", "logit_clamp": 1e-4}},
        "box": {"class_path": "SizeOffsetHead", "init_args": {"width": 16}},
    }
    config = tiny(
        model__heads=heads,
        trainer__max_epochs=12,
        trainer__log_every_n_steps=1,
        optimization={"lr": 2e-3, "reference_batch": 0},
    )
    fit.run(["--config", config, "--output", str(tmp_path)], "fit")
    with (tmp_path / "tiny" / "version_0" / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert sum(losses[-6:]) < 0.85 * sum(losses[:6])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model__num_classes": 5}, ["num_classes", "5", "6"]),
        ({"model__neck": "FNP"}, ["model.neck", "FPN"]),
        ({"data__batch_sise": 3}, ["batch_sise"]),
        ({"data__train": "Synthetik"}, ["data.train", "Synthetik"]),
        ({"optimization": {"learning_rate": 1}}, ["learning_rate"]),
        ({"data__train": {"class_path": "VOC", "init_args": {"root": "nowhere"}}}, ["nowhere"]),
    ],
)
def test_mistakes_end_in_one_line(
    tiny: Any, tmp_path: Path, change: dict[str, Any], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", tiny(**change), "--output", str(tmp_path)]) in (1, 2)
    shown = capsys.readouterr()
    for word in said:
        assert word in shown.err, f"{word!r} is not in: {shown.err}"
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trainer.max_epoch", "3"], "Did you mean trainer.max_epochs?"),  # no abbreviation
        (["--trainer.max_epoch=3"], "Did you mean trainer.max_epochs?"),
        (["--optimisation.lr", "1"], "Did you mean optimization.lr?"),
        (["--data", "{batch_sise: 3}"], "Did you mean data.batch_size?"),
        (["--model.backbone.nam", "x"], "model.backbone (ResNet): Option 'nam' is not accepted. Did you mean name?"),
        (["--data.train.init_args.num_image", "3"], "data.train (Synthetic): Option 'num_image' is not accepted"),
        (["--data.batch_size", "many"], "data.batch_size: expected int or 'auto', got many"),
        (["--patience", "0"], "patience: expected a number above 0, got 0"),
        (
            ["--data.val", "{class_path: RandomSubset, init_args: {dataset: {class_path: Synthetic}, fraction: 1.0}}"],
            "data.val (RandomSubset): dataset (Synthetic): the following arguments are required: num_images",
        ),
    ],
)
def test_options_that_there_are_not_get_one_sentence_with_the_nearest(
    tiny: Any, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", tiny(), "--output", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and said in error


def test_a_loss_that_is_no_number_ends_the_run_and_says_what_to_do(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(optimization={"lr": 1e30, "warmup": 0.0}, trainer__max_epochs=20, trainer__gradient_clip_val=0.0)
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "optimization.lr" in error
    assert "Traceback" not in error


def test_two_processes_one_with_empty_batches(tiny: Any, tmp_path: Path) -> None:
    """One of the two devices never sees an object: nothing hangs, and both end with the same weights."""
    script = tmp_path / "run.py"
    script.write_text(TWO_PROCESSES)
    config = tiny(trainer__devices=2, trainer__strategy="ddp", trainer__max_epochs=1)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "--config", config, "--output", str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    totals = dict(re.findall(r"rank (\d) total (\d+\.\d{10})", done.stdout))
    assert totals.keys() == {"0", "1"}, done.stdout[-2000:]
    assert totals["0"] == totals["1"]
    figures = re.findall(r"images 8 AP (\d+\.\d{10})", done.stdout)
    assert len(figures) == 2 and len(set(figures)) == 1  # both processes have the figures of all images


def test_a_run_ends_with_a_page_and_report_says_what_validate_says(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny(data__val__init_args__num_images=6, data__train__init_args__num_images=8)
    assert main(["fit", "--config", config]) == 0
    (folder,) = tmp_path.glob("runs/tiny/version_0")
    page = json.loads((folder / "report.json").read_text())
    best = folder / "checkpoints/best.ckpt"
    assert page["images"] == 6 and list(page["run"]["figures"]) == ["val/AP", "val/AP50", "val/AP75"]
    assert main(["validate", "--config", config, "--ckpt_path", str(best)]) == 0
    figures = json.loads((tmp_path / "runs/tiny/version_1/figures.json").read_text())
    assert (tmp_path / "runs/tiny/version_1/report.html").is_file()
    assert page["figures"]["AP"] == pytest.approx(figures["AP"], abs=1e-6)
    assert main(["report", str(folder), "--output", "page"]) == 0
    report = json.loads((tmp_path / "page/report.json").read_text())
    assert report["figures"]["AP"] == pytest.approx(figures["AP"], abs=1e-3)
    assert report["intervals"]["figures"].keys() == figures["intervals"]["figures"].keys()
