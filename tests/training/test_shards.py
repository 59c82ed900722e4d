"""Training from shards by the command, to the end, from the middle on, and by two processes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest

from centernet.cli import fit
from centernet.cli.main import main
from centernet.data import DataWarning, Shards, Synthetic
from centernet.data.convert import convert

from .test_fit import assert_equal, last, pytestmark as pytestmark
from .test_nodes import run_nodes


@pytest.fixture
def from_shards(tiny: Any, tmp_path: Path) -> Any:
    """Writes a configuration that trains on shards."""
    convert({"train": Synthetic(24, size=(64, 64), seed=0)}, tmp_path / "shards", to="shards")
    section = {"class_path": "Shards", "init_args": {"root": str(tmp_path / "shards/train"), "buffer": 6}}
    return lambda **changes: tiny(data__train=section, **changes)


@pytest.mark.filterwarnings("ignore:.*dirpath has changed.*")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_within_an_epoch_ends_with_the_same_weights(
    workers: int, from_shards: Any, tmp_path: Path
) -> None:
    middle = tmp_path / "middle.ckpt"

    class Saver(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step == 8 and not middle.exists():  # 6 steps an epoch
                trainer.save_checkpoint(middle)

    config = from_shards(data__num_workers=workers, trainer__max_epochs=3)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run = fit.Run(["--config", config, "--output", str(whole)], "fit")
    run.trainer.callbacks.append(Saver())
    run.fit()
    assert main(["fit", "--config", config, "--output", str(resumed), "--ckpt_path", str(middle)]) == 0
    assert_equal(last(whole), last(resumed))
    if workers:
        with pytest.warns(DataWarning, match="shards with 1 devices and 1 workers, where it had 1 and 2"):
            other = ["--output", str(tmp_path / "other"), "--ckpt_path", str(middle), "--data.num_workers", "1"]
            fit.run(["--config", config, *other], "fit")


def test_training_holds_no_annotations(from_shards: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON of all samples is read for nothing that a plain run does."""
    monkeypatch.setattr(Shards, "_scan", lambda self: pytest.fail("all samples were looked at"))
    config = from_shards(trainer__max_epochs=1, trainer__limit_train_batches=2)
    assert main(["fit", "--config", config, "--output", str(tmp_path / "runs")]) == 0


@pytest.mark.filterwarnings("ignore:24 of the 24 images")
def test_shards_are_validated_on(from_shards: Any, tmp_path: Path) -> None:
    val = {"class_path": "Shards", "init_args": {"root": str(tmp_path / "shards/train")}}
    config = from_shards(data__val=val, trainer__max_epochs=1)
    assert main(["fit", "--config", config, "--output", str(tmp_path / "runs")]) == 0
    figures = next((tmp_path / "runs").rglob("metrics.csv")).read_text()
    assert "val/AP" in figures.partition("\n")[0]


@pytest.mark.slow
def test_two_processes_share_tars_of_unlike_length(from_shards: Any, tmp_path: Path) -> None:
    config = from_shards(
        trainer__devices=1, trainer__num_nodes=2, trainer__strategy="ddp", trainer__max_epochs=2, data__num_workers=1
    )
    ends = [re.findall(r"^rank \d of 2: (.+)$", out, re.MULTILINE) for out in run_nodes(tmp_path, config)]
    assert ends[0] == ends[1] and ends[0][0].endswith("after 6"), ends  # 24 images, 2×4 a step, twice
