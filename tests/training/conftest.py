"""A model and data that train in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from centernet import CenterNet
from centernet.cli import fit

TINY: dict[str, Any] = {
    "seed_everything": 0,
    "model": {
        "num_classes": 6,
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [64, 64]},
    },
    "data": {
        "train": {"class_path": "Synthetic", "init_args": {"num_images": 24, "size": [64, 64], "seed": 0}},
        "val": {"class_path": "Synthetic", "init_args": {"num_images": 8, "size": [64, 64], "seed": 1}},
        "batch_size": 4,
        "num_workers": 0,
    },
    "trainer": {
        "max_epochs": 2,
        "accelerator": "cpu",
        "precision": "32-true",
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    },
}


@pytest.fixture
def tiny(tmp_path: Any) -> Any:
    """Writes the configuration, changed by dotted keys, and gives the path."""

    def write(**changes: Any) -> str:
        content = yaml.safe_load(yaml.safe_dump(TINY))
        for key, value in changes.items():
            *path, last = key.split("__")
            node = content
            for name in path:
                node = node.setdefault(name, {})
            node[last] = value
        file = tmp_path / "tiny.yaml"
        file.write_text(yaml.safe_dump(content))
        return str(file)

    return write


@pytest.fixture
def cut_off() -> Callable[..., None]:
    """Trains until an epoch or a step begins, and stops as a crash does; a checkpoint may be saved just before."""

    class Stop(Exception):
        pass

    def train(config: str, output: Path, *, epoch: int = -1, step: int = -1, save: Path | None = None) -> None:
        def stop(self: Any, *args: Any) -> None:
            if self.trainer.current_epoch == epoch or self.global_step == step:
                if save is not None:
                    self.trainer.save_checkpoint(save)
                raise Stop

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CenterNet, "on_train_epoch_start" if step < 0 else "on_train_batch_start", stop)
            with pytest.raises(Stop):
                fit.run(["--config", config, "--output", str(output)], "fit")

    return train
