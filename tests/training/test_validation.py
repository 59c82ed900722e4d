"""`centernet validate`: the figures of the data set's own benchmark stand beside COCO's and Pascal VOC's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet.detections import Detections
from centernet.training.validation import Validation


def dataset(benchmark: str | None) -> Any:
    return SimpleNamespace(benchmark=benchmark, sequences=(), num_identities=0)


def truth(number: int, difficulty: int = 0) -> Any:
    return SimpleNamespace(
        image_id=number,
        height=100,
        width=200,
        boxes=np.array([[10, 10, 60, 60]], np.float32),
        labels=np.array([0]),
        ignore=np.array([False]),
        areas=np.array([2500.0]),
        difficulty=np.array([difficulty], np.int8),
    )


def test_figures_of_the_data_set_s_own_benchmark() -> None:
    kitti, plain = Validation(["Car"], dataset("kitti")), Validation(["Car"], dataset(None))
    for number in range(100):
        for validation in (kitti, plain):
            validation.update(truth(number, number % 2), Detections([[10, 10, 60, 60]], [0], [0.9]))
    stats, others = kitti.compute().stats, plain.compute().stats
    own = {name for name in stats if name.startswith("KITTI/")}
    assert stats.keys() - own == others.keys() and len(own) == 6
    assert stats["AP"] == others["AP"] == pytest.approx(1)
    assert stats["KITTI/Car/easy/R40"] == stats["KITTI/Car/moderate/R40"] == pytest.approx(1)
    rows = [line.split() for line in kitti.compute().table().splitlines()]
    assert ["Car", "easy", "50", "1.000", "1.000"] in rows and ["Car", "moderate", "100", "1.000", "1.000"] in rows


def test_parts_of_several_devices_are_joined() -> None:
    parts = [Validation(["person"], dataset("crowdhuman")) for _ in range(2)]
    for number, part in enumerate(parts):
        part.update(truth(number), Detections([[10, 10, 60, 60]], [0], [0.9]))
    parts[1].join([part.collected() for part in parts])
    assert len(parts[1]) == 2
    assert parts[1].compute().stats["CrowdHuman/MR-2"] == 0


def test_a_benchmark_that_nobody_knows_is_named_before_anything_runs() -> None:
    with pytest.raises(ValueError, match=r"benchmark is 'lvis': expected one of coco, voc, crowdhuman, kitti"):
        Validation(["a"], dataset("lvis"))
