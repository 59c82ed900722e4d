"""The largest batch that fits a memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from centernet.cli.main import main
from centernet.training.batch_size import free_memory, largest

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*dirpath has changed.*"),
]


@pytest.mark.parametrize("limit", [11.0, 12.0, 57.0, 100.5, 1e6])
@pytest.mark.parametrize("most", [1, 7, 40, 3000])
def test_the_largest_that_fits_is_found_and_little_more_is_tried(limit: float, most: int) -> None:
    tried = []

    def measure(images: int) -> float:
        tried.append(images)
        return 10 + 0.9 * images

    size, used = largest(measure, limit, most)
    assert size == min(most, math.floor((limit - 10) / 0.9 + 1e-9)) and used == measure(size)
    assert all(10 + 0.9 * images <= 1.01 * limit for images in tried if images > 2) and len(tried) < 20


@pytest.mark.parametrize("room", [1, 5, 23, 64, 100])
def test_an_allocator_that_gives_up_says_where_the_end_is(room: int) -> None:
    size, _ = largest(lambda images: 1e9 if images <= room else math.inf, 2e9, 1000)
    assert size == room


def test_memory_that_grows_by_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    size, used = largest(lambda images: 5.0 * math.ceil(images / 6), 20.0, 1000)
    assert 18 <= size <= 24 and used <= 20
    with pytest.raises(ValueError, match="--memory"):
        largest(lambda images: 30.0, 20.0, 10)


def test_free_memory_is_that_of_a_machine() -> None:
    assert 1e8 < free_memory(torch.device("cpu")) < 1e14


def test_a_run_takes_the_batch_that_was_measured(tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--config", tiny(data__batch_size="auto", trainer__max_epochs=1), "--output", str(tmp_path)]
    assert main(["fit", *given, "--memory", "100"]) == 0
    assert "batch size 24: " in capsys.readouterr().out  # all there are
    folder = tmp_path / "tiny" / "version_0"
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["batch_size"] == 24
    assert main(["fit", *given, "--resume", "--trainer.max_epochs", "2", "--memory", "0.001"]) == 0  # measured once
    capsys.readouterr()
    assert main(["fit", *given, "--memory", "0.001"]) == 1
    assert "one image takes" in capsys.readouterr().err
    assert main(["validate", *given, "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")]) == 0


def test_measuring_changes_nothing_of_the_run(tiny: Any, tmp_path: Path) -> None:
    for name, batch in (("auto", "auto"), ("number", 24)):
        given = ["--config", tiny(data__batch_size=batch, trainer__max_epochs=1), "--output", str(tmp_path / name)]
        assert main(["fit", *given, "--memory", "100"]) == 0
    states = [torch.load(next((tmp_path / name).rglob("last.ckpt")), weights_only=True) for name in ("auto", "number")]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name]), name
