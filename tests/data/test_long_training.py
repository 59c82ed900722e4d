"""Changes over a run of the DataModule: mixing and sizes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import ModelCheckpoint

from centernet.data import Batch, DataError, DataModule, Mosaic, Synthetic
from centernet.data.loading import TrainBatches
from centernet.data.schedule import Schedule, run_length
from centernet.images import Preprocessing

SIZES = [(32, 64), (64, 64), (96, 64)]
SMALL = Preprocessing(size=(64, 64))

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory.*"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),  # within Lightning
]


def scenes(count: int, seed: int = 0) -> Synthetic:
    return Synthetic(count, size=(32, 48), seed=seed, objects=(1, 3))


def fingerprint(batch: Batch) -> tuple[Any, ...]:
    pixels = (batch.images.long() * torch.arange(batch.images.shape[-1])).sum()
    return (
        tuple(a.image_id for a in batch.annotations),
        tuple(batch.images.shape),
        int(pixels),
        float(batch.boxes.sum()),
    )


def data(workers: int = 0, **options: Any) -> DataModule:
    settings: dict[str, Any] = {"augmentation": Mosaic(mosaic=0.7, mixup=0.5, close=0.25), "sizes": SIZES}
    settings |= {"preprocessing": SMALL, "batch_size": 3, "num_workers": workers, "seed": 5, **options}
    return DataModule(scenes(11), scenes(4, seed=1), **settings)


class Recorder(pl.LightningModule):
    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[Any] = []
        self.sizes: list[tuple[int, ...]] = []
        self.validated: set[tuple[int, ...]] = set()
        self.stop_at = stop_at

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.stop_at == len(self.seen):
            raise KeyError("stopped on purpose")
        self.seen.append(fingerprint(batch))
        self.sizes.append(tuple(batch.images.shape[2:]))
        return (self.weight**2).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated.add(tuple(batch.images.shape[2:]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.3)


def fit(folder: Path, model: Recorder, module: DataModule, path: Any = None, **options: Any) -> None:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    settings: dict[str, Any] = {"max_epochs": 4, "enable_checkpointing": "callbacks" in options, **quiet, **options}
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, default_root_dir=folder, **settings)
    trainer.fit(model, module, ckpt_path=path, weights_only=False)


def test_workers_and_resuming_change_nothing(tmp_path: Path) -> None:
    whole = Recorder()
    fit(tmp_path, whole, data())
    assert len(whole.seen) == 12 and whole.validated == {(64, 64)}
    assert set(whole.sizes) == set(SIZES)
    saver = ModelCheckpoint(tmp_path, filename="half", every_n_train_steps=5, save_top_k=1)
    first, second = Recorder(stop_at=7), Recorder()
    with pytest.raises(KeyError, match="on purpose"):
        fit(tmp_path, first, data(workers=2, cache="memory"), callbacks=[saver])
    fit(tmp_path, second, data(workers=1), saver.best_model_path)
    assert first.seen[:5] + second.seen == whole.seen


def test_the_last_share_of_the_run_is_not_mixed(tmp_path: Path) -> None:
    """Of four epochs the last one; there the samples are those of the plain call."""

    class Counting(Mosaic):
        calls: list[str]

        def mix(self, *args: Any) -> Any:
            self.calls.append("mix")
            return super().mix(*args)

        def __call__(self, *args: Any) -> Any:
            self.calls.append("call")
            return super().__call__(*args)

    augmentation = Counting(mosaic=1, mixup=0, close=0.25)
    augmentation.calls = []
    fit(tmp_path, Recorder(), data(augmentation=augmentation))
    assert augmentation.calls == ["mix"] * 27 + ["call"] * 9


def test_when_mixing_ends() -> None:
    def epochs(close: float, total: int | None) -> list[int]:
        schedule = Schedule(close=close, total_epochs=total)
        return [epoch for epoch in range(12) if not schedule.mixes(epoch)]

    assert epochs(0.25, 12) == [9, 10, 11]
    assert epochs(0.01, 12) == [11]  # at least one
    assert epochs(0, 12) == epochs(0.5, None) == []
    assert epochs(1, 12) == list(range(12))


def test_the_length_of_a_run() -> None:
    def length(epochs: int | None, steps: int, accumulate: int = 1) -> int | None:
        trainer = SimpleNamespace(max_epochs=epochs, max_steps=steps, accumulate_grad_batches=accumulate)
        return run_length(trainer, batches=10)

    assert length(7, -1) == 7
    assert length(-1, 41) == 5 and length(None, 40) == 4
    assert length(-1, 40, accumulate=4) == 14  # three steps an epoch
    assert length(3, 1000) == 3 and length(300, 20) == 2
    assert length(-1, -1) is None


@pytest.mark.parametrize("options", [{}, {"augmentation": None, "size_schedule": "rising"}])
def test_a_run_of_unknown_length_is_an_error(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"length of the run: set trainer\.max_epochs or trainer\.max_steps"):
        fit(tmp_path, Recorder(), data(**options), max_epochs=-1, max_time="00:00:01:00")


def test_sizes_are_the_same_on_all_devices_and_drawn_anew_in_each_epoch() -> None:
    schedule = Schedule(tuple(SIZES), seed=3)
    keys = [list(TrainBatches(scenes(40), 2, seed=3, devices=2, rank=rank, position=lambda: (1, 0))) for rank in (0, 1)]
    assert [key.number for key in keys[0]] == [key.number for key in keys[1]] == list(range(10))
    drawn = [[schedule.size(epoch, batch) for batch in range(200)] for epoch in range(3)]
    assert drawn[0] != drawn[1] != drawn[2]
    counts = Counter(drawn[0])
    assert set(counts) == set(SIZES) and min(counts.values()) > 40
    assert Schedule().size(0, 0) is None


def test_rising_sizes_have_equal_shares_and_end_with_the_last(tmp_path: Path) -> None:
    model = Recorder()
    fit(tmp_path, model, data(size_schedule="rising", augmentation=None), max_epochs=6)
    assert model.sizes == [size for size in SIZES for _ in range(2 * 3)]
    schedule = Schedule(tuple(SIZES), "rising", total_epochs=10)
    assert Counter(schedule.size(epoch, 0) for epoch in range(10)) == {SIZES[0]: 4, SIZES[1]: 3, SIZES[2]: 3}
    assert schedule.size(15, 0) == SIZES[2]  # a run that goes on for longer than it said


@pytest.mark.parametrize("wrong", [(320, 300), (0, 32), (16, 32)])
def test_wrong_sizes_are_named(wrong: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"data\.sizes\[1\]: expected .* multiples of 32"):
        data(sizes=[(64, 64), wrong])
    with pytest.raises(DataError, match="at least one"):
        data(sizes=[])
    with pytest.raises(DataError, match="keep"):
        data(preprocessing=Preprocessing(resize="keep"))


CONFIG = """
data:
  train: {class_path: Synthetic, init_args: {num_images: 9, size: [32, 48]}}
  augmentation:
    class_path: Mosaic
    init_args: {mosaic: 1.0, mixup: 0.2, close: 0.15, scale: [0.5, 1.5], hue: 0.0}
  preprocessing: {size: [64, 64]}
  sizes: [[32, 32], [64, 96]]
  size_schedule: rising
  cache: memory
  cache_gib: 0.5
  batch_size: 3
  num_workers: 0
"""


def test_a_configuration_sets_it_and_a_saved_one_spells_it_out(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataModule, "data")
    parser.add_argument("--config", action="config")
    parsed = parser.parse_args([f"--config={tmp_path / 'config.yaml'}"])
    module = parser.instantiate(parsed).data
    assert module.augmentation.mosaic == 1 and module.augmentation.scale == (0.5, 1.5)
    assert module.augmentation.close == 0.15 and module.schedule.sizes == ((32, 32), (64, 96))
    assert next(iter(module.train_dataloader())).images.shape == (3, 3, 32, 32)
    saved = parser.dump(parsed)
    assert "mosaic_scale:" in saved and "saturation: 0.4" in saved and "size_schedule: rising" in saved
