"""Kept images: those of the files, read once by all processes together, within a budget."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.data import VOC, Augment, DataError, DataModule, DataWarning, DetectionDataset, Mosaic, Synthetic
from centernet.data.cache import Cached
from centernet.data.loading import BatchKey, BatchReader
from centernet.data.sample import Sample
from centernet.images import ImageError, Preprocessing
from centernet.testing import check_dataset

SMALL = Preprocessing(size=(64, 64))
GIB = 0.01
SOURCES = str(Path(__file__).resolve().parents[2] / "src")
SIZE = 32 * 48 * 3


@pytest.fixture
def dataset(tmp_path: Path) -> VOC:
    """Six images of 32 × 48."""
    Synthetic(6, size=(32, 48), seed=3, objects=(1, 3)).write(tmp_path / "voc")
    return VOC(tmp_path / "voc")


@pytest.fixture
def photographs(tmp_path: Path) -> VOC:
    """Four JPEG files of 300 × 401."""
    root = tmp_path / "photographs"
    Synthetic(4, size=(300, 401), seed=4).write(root, split="train")
    return VOC(root)


def delete_images(dataset: VOC) -> None:
    shutil.rmtree(dataset.path(0).parent)


def test_kept_images_are_those_of_the_files_and_are_read_once(dataset: VOC) -> None:
    cached = Cached(dataset, GIB)
    check_dataset(cached)
    before = [dataset[index] for index in range(6)]
    first = [cached[index] for index in range(6)]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(before, first, strict=True))
    assert cached.used == 6 * SIZE
    renamed = cached.with_class_names(["other", *cached.class_names])
    delete_images(dataset)
    for index in range(6):
        first[index].image[:] = 0  # a sample's image is its own
        again = cached[index]
        assert np.array_equal(again.image, before[index].image) and np.array_equal(again.boxes, before[index].boxes)
        again.image[:] = 0
    assert np.array_equal(renamed[3].image, before[3].image)
    assert np.array_equal(renamed[3].labels, before[3].labels + 1)
    assert pickle.loads(pickle.dumps(cached)).used == 0  # begins anew


def test_the_budget_holds_and_is_spoken_of(dataset: VOC) -> None:
    cached = Cached(dataset, 2.5 * SIZE / 2**30)
    for index in (*range(6), *range(6)):
        assert np.array_equal(cached[index].image, dataset[index].image)
    assert cached.used == 2 * SIZE
    with pytest.warns(DataWarning, match=r"all 6 images .* 42% of them are kept"):
        cached.warn_if_small()
    delete_images(dataset)
    assert cached[1].image.shape == (32, 48, 3)
    with pytest.raises(ImageError):
        _ = cached[5].image
    for wrong in (0.0, float("nan"), 1e12):
        with pytest.raises(DataError, match=r"data\.cache_gib"):
            Cached(dataset, wrong)


SCRIPT = """
import multiprocessing, shutil, sys
from centernet.data import VOC, Resize
from centernet.data.cache import Cached
from centernet.data.loading import BatchReader, Loader, TrainBatches
from centernet.images import Preprocessing
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    cached = Cached(VOC(sys.argv[1]), 0.01)
    loader = Loader(BatchReader(cached, Resize(), Preprocessing(size=(64, 64))), TrainBatches(cached, 1), num_workers=2)
    before = {batch.annotations[0].image_id: batch.images for batch in loader}
    assert cached.used == 6 * 32 * 48 * 3
    shutil.rmtree(sys.argv[1] + "/JPEGImages")
    for epoch in (1, 2):  # whichever worker has which sample now
        loader.sampler.set_epoch(epoch)
        after = {batch.annotations[0].image_id: batch.images for batch in loader}
        assert len(after) == 6 and all((after[key] == before[key]).all() for key in before)
"""


@pytest.mark.parametrize("start", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_workers_share_what_one_of_them_decoded_and_leave_nothing_behind(
    dataset: VOC, tmp_path: Path, start: str
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "voc"), start]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": SOURCES})
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_the_former_cache_on_disk_is_spoken_of(dataset: VOC) -> None:
    former: list[dict[str, Any]] = [{"cache": "disk", "cache_dir": "x"}, {"cache_dir": "x"}]
    for options in former:
        with pytest.warns(DataWarning, match=r"convert-data .*--shrink SIDE"):
            module = DataModule(dataset, preprocessing=SMALL, batch_size=2, num_workers=0, **options)
        assert len(list(module.train_dataloader())) == 3


def test_unreadable_images_are_replaced_in_mosaics_too(dataset: VOC, tmp_path: Path) -> None:
    path = dataset.path(2)
    path.write_bytes(path.read_bytes()[:700])
    options: Any = {"augmentation": Mosaic(mosaic=1), "preprocessing": SMALL, "batch_size": 2}
    runs = []
    for more in ({"num_workers": 0}, {"num_workers": 2, "cache": "memory"}):
        module = DataModule(VOC(tmp_path / "voc"), **options, **more)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            runs.append([batch.images for batch in module.train_dataloader()])
        assert sum(path.name in str(warning.message) for warning in caught) == 1
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def transformed(dataset: DetectionDataset, transform: Augment, index: int, seed: int) -> Sample:
    return transform(dataset[index], np.random.default_rng(seed), SMALL)


@pytest.mark.parametrize("transform", [Augment(scale=(0.8, 1.2)), Mosaic(mosaic_scale=(0.8, 2.0), scale=(0.9, 1.0))])
def test_larger_images_are_kept_reduced(transform: Augment, photographs: VOC) -> None:
    cached = Cached(photographs, GIB, transform=transform, inputs=[SMALL, Preprocessing(size=(96, 32))])
    scale = 64 / 401 / 0.8
    kept = int(np.ceil(300 * scale) * np.ceil(401 * scale) * 3)
    for index in range(4):
        transformed(cached, transform, index, 0)
    assert 4 * kept <= cached.used <= 4 * (kept + 7)
    compared = 0
    for index in range(4):
        for seed in range(5):
            ours, direct = (transformed(d, transform, index, seed) for d in (cached, photographs))
            assert np.abs(ours.image.astype(int) - direct.image).mean() < 6
            if len(ours.boxes) == len(direct.boxes):  # not where one is a sliver at the edge
                np.testing.assert_allclose(ours.boxes, direct.boxes, atol=1.1)
                compared += len(ours.boxes)
        assert np.array_equal(cached[index].image, photographs[index].image)  # asked for whole, it is whole
    assert compared > 20


def test_what_does_not_fit_looks_the_same(photographs: VOC) -> None:
    """So a sample doesn't depend on which worker filled the cache first."""
    transform = Augment()
    all_kept, none_kept = (Cached(photographs, gib, transform=transform, inputs=[SMALL]) for gib in (GIB, 1e-9))
    for _ in range(2):  # when it is kept, and from what is kept
        for index in range(4):
            ours, theirs = (transformed(d, transform, index, index) for d in (all_kept, none_kept))
            assert np.array_equal(ours.image, theirs.image) and np.array_equal(ours.boxes, theirs.boxes)
    assert none_kept.used == 0 < all_kept.used


@pytest.mark.parametrize("mosaic", [0, 1])
def test_damage_that_shows_late_is_named_and_replaced(photographs: VOC, mosaic: float) -> None:
    """A JPEG file with a whole header and a right end, whose tables no decoder takes."""
    path = photographs.path(2)
    Image.open(path).convert("RGB").save(path, "jpeg")
    good = path.read_bytes()
    table = good.index(b"\xff\xc4")
    path.write_bytes(good[: table + 4] + b"\x77" + good[table + 5 :])
    assert photographs[2].size_hw == (300, 401)  # not seen yet
    transform = Mosaic(mosaic=mosaic, mixup=0, close=0)
    keys = [BatchKey(epoch, 0, [0, 1, 2, 3]) for epoch in range(3)]
    found = BatchReader(photographs, transform, SMALL, training=True)
    first = [found[key] for key in keys]
    assert [(p.path, p.kind) for batch in first for p in batch.problems] == [(str(path), "unreadable-image")]
    assert all(len(batch) == 4 for batch in first)
    assert first[0].annotations[2].path == photographs.path(3)
    for ours, again in zip(first, [found[key] for key in keys], strict=True):  # now that it is known
        assert np.array_equal(ours.images, again.images) and np.array_equal(ours.boxes, again.boxes)
    with pytest.raises(ValueError, match=path.name):
        BatchReader(photographs, transform, SMALL, training=True, strict=True)[keys[0]]
