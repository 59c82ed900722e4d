"""Kept pictures: those of the files, whatever became of the file that keeps them, for all processes and runs."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from centernet.data import VOC, Augment, DataError, DataModule, DataWarning, DetectionDataset, Mosaic, Synthetic
from centernet.data.cache import Cached, Needs, cache_folder
from centernet.data.loading import BatchKey, BatchReader
from centernet.data.picture_store import SharedFile
from centernet.data.sample import Sample
from centernet.images import Preprocessing
from centernet.testing import check_dataset

SMALL = Preprocessing(size=(64, 64))
GIB = 0.01


@pytest.fixture
def dataset(tmp_path: Path) -> VOC:
    """Six pictures of 32 × 48."""
    Synthetic(6, size=(32, 48), seed=3).write(tmp_path / "voc", split="train")
    return VOC(tmp_path / "voc")


@pytest.fixture
def photographs(tmp_path: Path) -> VOC:
    """Four JPEG files of 300 × 401."""
    root = tmp_path / "photographs"
    Synthetic(4, size=(300, 401), seed=4).write(root, split="train")
    return VOC(root)


def on_disk(dataset: DetectionDataset, folder: Path, gib: float = GIB, **options: Any) -> Cached:
    return Cached(dataset, gib, folder=folder / "cache", **options)


def store_file(cached: Cached) -> Path:
    store = cached._store
    assert isinstance(store, SharedFile)
    return store.path


def replace_pictures(dataset: DetectionDataset, *, new_time: bool) -> None:
    """Puts other bytes of the same length in place of the pictures, which only the time of change may tell."""
    for index in range(len(dataset)):
        path = dataset.path(index)
        status = path.stat()
        path.write_bytes(b"\xff\xd8\xff" + bytes(status.st_size - 3))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000 * new_time))


def test_pictures_are_those_of_the_files_in_later_runs_too(dataset: VOC, tmp_path: Path) -> None:
    before = [dataset[index] for index in range(6)]
    cached = on_disk(dataset, tmp_path)
    check_dataset(cached)
    assert cached.used == 6 * 32 * 48 * 3
    replace_pictures(dataset, new_time=False)
    for again in (cached, on_disk(VOC(tmp_path / "voc"), tmp_path), pickle.loads(pickle.dumps(cached))):
        for index in range(6):
            sample = again[index]
            assert np.array_equal(sample.image, before[index].image)
            assert np.array_equal(sample.boxes, before[index].boxes)
            sample.image[:] = 0  # a sample's picture is its own
        assert np.array_equal(again.image(2).read()[0], before[2].image)
    renamed = on_disk(dataset, tmp_path).with_class_names(["other", *dataset.class_names])
    assert np.array_equal(renamed[3].image, before[3].image)


def test_a_picture_that_changed_is_read_anew(dataset: VOC, tmp_path: Path) -> None:
    cached = on_disk(dataset, tmp_path)
    [cached[index].image for index in range(6)]
    white = Image.fromarray(np.full((32, 48, 3), 255, np.uint8))
    white.save(dataset.path(1), "png")
    for again in (cached, on_disk(dataset, tmp_path)):
        assert (again[1].image == 255).all() and not (again[0].image == 255).all()
    dataset.path(1).unlink()
    with pytest.raises(ValueError, match="no such file"):
        cached[1]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_fill_one_file_together(dataset: VOC, tmp_path: Path, start: Any) -> None:
    cached = on_disk(dataset, tmp_path)
    order = np.random.default_rng(0).permutation(6 * 5).tolist()
    loader = DataLoader(
        cached,  # type: ignore[arg-type]
        batch_size=None,
        sampler=[place % 6 for place in order],
        num_workers=2,
        multiprocessing_context=start,
    )
    for place, sample in zip(order, loader, strict=True):
        assert np.array_equal(sample.image, dataset[place % 6].image)
    replace_pictures(dataset, new_time=False)
    assert all(cached[index].image.shape == (32, 48, 3) for index in range(6))
    # What several decoded at the same time may be there more than once.
    assert 6 * 32 * 48 * 3 <= cached.used <= 2 * 6 * 32 * 48 * 3


def test_a_half_written_beginning_is_written_again(dataset: VOC, tmp_path: Path) -> None:
    path = store_file(on_disk(dataset, tmp_path))
    whole = path.read_bytes()
    for broken in (b"", bytes(5), bytes(8) + whole[8:20], bytes(8) + whole[8:400]):
        path.write_bytes(broken)
        cached = on_disk(dataset, tmp_path)
        assert all(np.array_equal(cached[index].image, dataset[index].image) for index in range(6))
        assert cached.used == 6 * 32 * 48 * 3


def test_pixels_that_never_reached_the_disk_are_read_again(dataset: VOC, tmp_path: Path) -> None:
    """As after a crash of the system: the table is there, pages of pixels are not."""
    cached = on_disk(dataset, tmp_path)
    first = [cached[index].image for index in range(6)]
    path, start = store_file(cached), cached._store._start  # type: ignore[attr-defined]
    with path.open("r+b") as file:
        file.seek(start + 2000)
        file.write(bytes(5000))
    later = on_disk(dataset, tmp_path)
    for _ in range(2):
        assert all(np.array_equal(later[index].image, first[index]) for index in range(6))
    replace_pictures(dataset, new_time=False)  # and they were kept again
    assert all(np.array_equal(later[index].image, first[index]) for index in range(6))


def test_another_file_is_not_written_over(dataset: VOC, tmp_path: Path) -> None:
    path = store_file(on_disk(dataset, tmp_path))
    path.write_bytes(b"something that a person wants to keep")
    with pytest.raises(DataError, match=rf"{path.name}: this is no cache of 6 pictures"):
        on_disk(dataset, tmp_path)
    assert path.read_bytes() == b"something that a person wants to keep"


def test_the_budget_holds_and_is_spoken_of(dataset: VOC, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = 32 * 48 * 3
    cached = on_disk(dataset, tmp_path, 2.5 * picture / 2**30)
    for index in (*range(6), *range(6)):
        assert np.array_equal(cached[index].image, dataset[index].image)
    assert cached.used == 2 * picture
    with pytest.warns(DataWarning, match=r"all 6 pictures .* 42% of them are kept"):
        cached.warn_if_small()
    larger = on_disk(dataset, tmp_path, 4 * picture / 2**30)  # the same file, with more room
    [larger[index].image for index in range(6)]
    assert larger.used == 4 * picture
    assert all(np.array_equal(cached[index].image, dataset[index].image) for index in range(6))
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(DataError, match=r"data\.cache_dir: .* GiB free, but the pictures need"):
        Cached(dataset, GIB, folder=tmp_path / "elsewhere")


def test_pictures_that_are_no_files_are_kept_in_memory_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set data\.cache to memory"):
        on_disk(Synthetic(3), tmp_path)
    drawn = Synthetic(3, size=(40, 40))
    cached = Cached(drawn, GIB)
    assert np.array_equal(cached[2].image, drawn[2].image) and cached.used == 40 * 40 * 3


def transformed(dataset: DetectionDataset, transform: Augment, index: int, seed: int) -> Sample:
    return transform(dataset[index], np.random.default_rng(seed), SMALL)


MAKERS: dict[str, Callable[[DetectionDataset, Path, Needs], Cached]] = {
    "memory": lambda dataset, folder, needs: Cached(dataset, GIB, needs=needs),
    "disk": lambda dataset, folder, needs: on_disk(dataset, folder, needs=needs),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("transform", [Augment(scale=(0.8, 1.2)), Mosaic(mosaic_scale=(0.8, 2.0), scale=(0.9, 1.0))])
def test_larger_pictures_are_kept_reduced(make: Any, transform: Augment, photographs: VOC, tmp_path: Path) -> None:
    needs = Needs(transform, (SMALL, Preprocessing(size=(96, 32))))
    cached = make(photographs, tmp_path, needs)
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


def test_what_does_not_fit_looks_the_same(photographs: VOC, tmp_path: Path) -> None:
    """So a sample doesn't depend on which worker filled the cache first."""
    transform = Augment()
    needs = Needs(transform, (SMALL,))
    all_kept, none_kept = Cached(photographs, GIB, needs=needs), Cached(photographs, 1e-9, needs=needs)
    for _ in range(2):  # when it is kept, and from what is kept
        for index in range(4):
            ours, theirs = (transformed(d, transform, index, index) for d in (all_kept, none_kept))
            assert np.array_equal(ours.image, theirs.image) and np.array_equal(ours.boxes, theirs.boxes)
    assert none_kept.used == 0 < all_kept.used


@pytest.mark.parametrize("workers", [0, 2])
def test_training_reads_from_disk_what_another_run_left(dataset: VOC, tmp_path: Path, workers: int) -> None:
    def batches() -> list[Any]:
        options: dict[str, Any] = {"cache": "disk", "cache_gib": GIB, "cache_dir": str(tmp_path / "cache")}
        module = DataModule(dataset, preprocessing=SMALL, batch_size=2, num_workers=workers, **options)
        return [batch.images for batch in module.train_dataloader()]

    first = batches()
    replace_pictures(dataset, new_time=False)
    for ours, theirs in zip(batches(), first, strict=True):
        assert np.array_equal(ours, theirs)


def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "centernet"


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
