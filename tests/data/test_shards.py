"""Shards: what is in the tars is what was put there, each sample once an epoch, whatever reads them."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import tarfile
import warnings
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.annotations.problems import DataError, DataWarning
from centernet.boxes import xyxy_to_xywh
from centernet.cli.main import main
from centernet.data import (
    COCO,
    Augment,
    Concatenated,
    DataModule,
    DetectionDataset,
    Mosaic,
    RepeatFactors,
    Shards,
    Synthetic,
    SyntheticAnimals,
    streaming,
)
from centernet.data.convert import convert
from centernet.images import Preprocessing
from centernet.testing import check_dataset

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than processors

TARS = (5, 1, 7, 3)
SMALL = Preprocessing(size=(64, 96))
NAMES = ("disc", "square", "star")
SCENES = Synthetic(sum(TARS), size=(64, 96), seed=3, class_names=NAMES, max_hidden=0.2)

Member = tuple[str, bytes]


def members_of(index: int) -> list[Member]:
    """The files of a sample, as other programs write them: SA-1B's layout."""
    truth, file = SCENES.annotation(index), io.BytesIO()
    columns = (xyxy_to_xywh(truth.boxes), truth.labels, truth.ignore.astype(int), truth.areas)
    Image.fromarray(SCENES[index].image).save(file, "PNG")
    boxes = [
        {"id": row, "bbox": box, "category_id": 10 * (label + 1), "iscrowd": ignore, "area": area}
        for row, (box, label, ignore, area) in enumerate(zip(*(column.tolist() for column in columns), strict=True))
    ]
    image = {"image_id": index, "height": truth.height, "width": truth.width, "file_name": f"{index}.png"}
    text = json.dumps({"image": image, "annotations": boxes}).encode()
    return [(f"{index:04d}.png", file.getvalue()), (f"{index:04d}.json", text)]


def write_tar(path: Path, members: Sequence[Member], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_index(folder: Path, counts: Sequence[int] = TARS, **changes: Any) -> None:
    shards = [{"url": f"{number}.tar", "nsamples": count} for number, count in enumerate(counts)]
    categories = [{"id": 10 * (label + 1), "name": name} for label, name in enumerate(NAMES)]
    content = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards, "categories": categories}
    (folder / "index.json").write_text(json.dumps(content | changes))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Tars of 5, 1, 7 and 3 samples, and their index."""
    folder, samples = tmp_path / "shards", iter(range(sum(TARS)))
    folder.mkdir()
    for number, count in enumerate(TARS):
        write_tar(folder / f"{number}.tar", [file for index in islice(samples, count) for file in members_of(index)])
    write_index(folder)
    return folder


def module(dataset: DetectionDataset, workers: int = 0, **options: Any) -> DataModule:
    settings = {"augmentation": None, "preprocessing": SMALL, "batch_size": 2, "num_workers": workers, "seed": 4}
    return DataModule(dataset, **{**settings, **options})


def epoch(dataset: Shards, workers: int = 0, number: int = 0, start: int = 0, **options: Any) -> list[list[int]]:
    """The samples of the batches of an epoch."""
    loader: Any = module(dataset, workers, **options).train_dataloader()
    loader.batches.position = lambda: (number, start)
    return [[truth.image_id for truth in batch.annotations] for batch in loader]


def test_samples_are_those_that_were_put_there(shards: Path) -> None:
    dataset = Shards(shards)
    check_dataset(dataset)
    assert dataset.problems == [] and len(dataset) == len(SCENES)
    assert dataset.class_names == NAMES and dataset.category_ids == (10, 20, 30)
    assert any(SCENES.annotation(index).ignore.any() for index in range(len(SCENES)))
    items = [item for number in range(len(TARS)) for item in dataset.samples(number)]
    for index, (item, sample) in enumerate(zip(items, map(dataset.__getitem__, range(len(dataset))), strict=True)):
        truth, streamed = SCENES.annotation(index), dataset.sample(item)
        for found in (sample, streamed):
            np.testing.assert_array_equal(found.image, SCENES[index].image)
            np.testing.assert_allclose(found.boxes, truth.boxes, atol=1e-3)
            assert found.labels.tolist() == truth.labels.tolist() and found.ignore.tolist() == truth.ignore.tolist()
            assert found.annotation.image_id == index and found.annotation.path.name == f"{index:04d}.png"
    assert (
        dataset.label_arrays()[0].tolist()
        == np.bincount(
            np.concatenate([a.labels[~a.ignore] for a in map(SCENES.annotation, range(len(SCENES)))]), minlength=3
        ).tolist()
    )


def test_a_converted_data_set_is_the_same_and_comes_back(tmp_path: Path) -> None:
    Synthetic(30, size=(256, 256), seed=1).write(tmp_path / "coco", format="coco", split="train")
    source = COCO(tmp_path / "coco/annotations_train.json")
    result = convert({"train": source}, tmp_path / "shards", to="shards", shard_mb=1)
    dataset = Shards(tmp_path / "shards/train")
    assert result.files == [tmp_path / "shards/train/index.json"] and len(dataset.index.shards) > 1
    assert max(path.stat().st_size for path in (tmp_path / "shards/train").glob("*.tar")) <= 10**6
    check_dataset(dataset, samples=3)
    counts, most = dataset.label_arrays(), dataset.most_objects()
    assert Shards(tmp_path / "shards/train").label_arrays()[0].tolist() == source.label_arrays()[0].tolist()
    assert [column.tolist() for column in counts] == [column.tolist() for column in source.label_arrays()]
    assert most == source.most_objects() and dataset.class_names == source.class_names
    order = dataset.columns.image_ids.tolist()
    assert sorted(order) == list(range(30)) != order, "in a random order"
    for index, image_id in enumerate(order):
        truth, found = source.annotation(image_id), dataset.annotation(index)
        assert dataset.content(index) == truth.path.read_bytes(), "images are copied as they are"
        np.testing.assert_array_equal(found.boxes, truth.boxes)
        np.testing.assert_array_equal(found.areas, truth.areas)
        np.testing.assert_array_equal(found.labels, truth.labels)
    convert({"train": dataset}, tmp_path / "back", to="coco", images="copy")
    back = COCO(tmp_path / "back/annotations_train.json")
    by_id = {back.annotation(index).image_id: back.annotation(index) for index in range(30)}
    for index in range(30):
        truth = source.annotation(index)
        np.testing.assert_array_equal(by_id[truth.image_id].boxes, truth.boxes)
        assert by_id[truth.image_id].path.read_bytes() == truth.path.read_bytes()


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    SCENES.write(tmp_path / "coco", format="coco", split="train")
    source = COCO(tmp_path / "coco/annotations_train.json")
    source.path(9).unlink()
    with pytest.raises((OSError, ValueError)):
        convert({"train": source}, tmp_path / "shards", to="shards")
    assert [path.name for path in tmp_path.iterdir()] == ["coco"]


def test_keypoints_travel(tmp_path: Path) -> None:
    SyntheticAnimals(4, size=(96, 96), seed=2).write(tmp_path / "coco", format="coco", split="val")
    source = COCO(tmp_path / "coco/annotations_val.json")
    convert({"val": source}, tmp_path / "shards", to="shards")
    dataset = Shards(tmp_path / "shards/val")
    check_dataset(dataset)
    assert dataset.fields == source.fields
    np.testing.assert_allclose(dataset.columns.data["keypoints"], source.columns.data["keypoints"], atol=2e-3)
    assert Shards(tmp_path / "shards/val", keypoints=False).fields == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_webdataset_reads_what_is_written(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="the package webdataset is not installed")
    convert({"train": SCENES}, tmp_path / "shards", to="shards")
    (tar,) = (tmp_path / "shards/train").glob("*.tar")
    found = list(webdataset.WebDataset(str(tar), shardshuffle=False).decode("rgb8"))
    dataset = Shards(tmp_path / "shards/train")
    assert len(found) == len(dataset) == len(SCENES)
    for index, sample in enumerate(found):
        np.testing.assert_array_equal(sample["png"], dataset[index].image)
        assert len(sample["json"]["annotations"]) == len(dataset.annotation(index))


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_an_epoch_has_each_sample_once_in_an_order_of_its_own(shards: Path, workers: int) -> None:
    dataset = Shards(shards, buffer=4)
    first, again, second = (epoch(dataset, workers, number) for number in (0, 0, 1))
    assert first == again and first != second
    for batches in (first, second):
        assert len(batches) == 8 and sorted(chain(*batches)) == list(range(16))


@pytest.mark.parametrize(("devices", "batch_size", "workers"), [(2, 2, 1), (3, 2, 2), (2, 3, 4), (5, 1, 0)])
def test_devices_have_equally_many_batches_and_no_sample_twice(
    shards: Path, devices: int, batch_size: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tars of 5, 1, 7 and 3 samples: no device waits for another."""
    seen: list[list[list[int]]] = []
    for rank in range(devices):
        monkeypatch.setattr(DataModule, "_devices", lambda self, rank=rank: {"devices": devices, "rank": rank})
        seen.append(epoch(Shards(shards, buffer=3), workers, batch_size=batch_size))
    batches = 16 // (devices * batch_size)
    assert [len(device) for device in seen] == [batches] * devices
    samples = [index for device in seen for batch in device for index in batch]
    assert len(samples) == len(set(samples)) == batches * devices * batch_size


@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("start", [1, 2, 7])
def test_a_stream_goes_on_within_an_epoch(shards: Path, workers: int, start: int) -> None:
    dataset = Shards(shards, buffer=5)
    assert epoch(dataset, workers, 2, start) == epoch(dataset, workers, 2)[start:]


def test_augmentation_depends_on_seed_epoch_and_index_alone(shards: Path) -> None:
    def images(workers: int) -> dict[int, str]:
        loader: Any = module(Shards(shards, buffer=3), workers, augmentation=Augment()).train_dataloader()
        return {
            truth.image_id: hashlib.sha256(np.ascontiguousarray(batch.images[place].numpy())).hexdigest()
            for batch in loader
            for place, truth in enumerate(batch.annotations)
        }

    assert images(0) == images(3) and len(set(images(0).values())) == 16


def test_images_are_mixed_from_the_buffer(shards: Path) -> None:
    augmentation = Mosaic(mosaic=1.0, mixup=1.0, close=0)
    loaders = [module(Shards(shards, buffer=4), augmentation=augmentation).train_dataloader() for _ in range(2)]
    first, again = ([batch.images.numpy() for batch in loader] for loader in loaders)
    np.testing.assert_array_equal(first, again)
    plain = next(iter(module(Shards(shards, buffer=4)).train_dataloader()))
    mixed = next(iter(module(Shards(shards, buffer=4), augmentation=augmentation).train_dataloader()))
    assert mixed.counts.sum() > plain.counts.sum()


def test_the_buffer_is_bounded_in_samples_and_in_bytes(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = list(Shards(shards).samples(2))
    monkeypatch.setattr(streaming, "MOST_BYTES", int(2.5 * max(item.size for item in items)))
    for dataset, most in ((Shards(shards, buffer=1), 0), (Shards(shards, buffer=3), 2), (Shards(shards), 3)):
        buffer: list[Any] = []
        longest = 0
        for _ in streaming.shuffled(iter(items), buffer, dataset, np.random.default_rng(0)):
            longest = max(longest, len(buffer))
        assert longest <= most and (most == 0 or longest > 0)


def test_addresses_are_read_as_folders_are(shards: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the package fsspec is not installed")
    memory = fsspec.filesystem("memory")
    memory.put(str(shards), "/bucket/train", recursive=True)
    try:
        remote, local = Shards("memory://bucket/train"), Shards(shards)
        assert epoch(remote, 2) == epoch(local, 2)
        np.testing.assert_array_equal(remote.columns.boxes, local.columns.boxes)
        np.testing.assert_array_equal(remote[9].image, local[9].image)
        with pytest.raises(DataError, match=r"memory://bucket/index.json: cannot be read.*`root` is the folder"):
            Shards("memory://bucket")
        memory.rm("/bucket/train/2.tar")
        with pytest.raises(DataError, match=r"index.json: a tar that it names is not there .*2.tar"):
            Shards("memory://bucket/train")
    finally:
        memory.rm("/bucket", recursive=True)


Change = Callable[[Path], None]


def cut(folder: Path) -> None:
    path = folder / "2.tar"
    path.write_bytes(path.read_bytes()[:9000])


def cut_with_sizes(folder: Path) -> None:
    sizes = [(folder / f"{number}.tar").stat().st_size for number in range(4)]
    shards = [{"url": f"{n}.tar", "nsamples": TARS[n], "filesize": size} for n, size in enumerate(sizes)]
    write_index(folder, shardlist=shards)
    cut(folder)


def with_members(*members: Member) -> Change:
    return lambda folder: write_tar(folder / "1.tar", members)


PICTURE, TEXT = (data for _, data in members_of(5))
BAD: dict[str, tuple[Change, str]] = {
    "cut off": (cut, r"2.tar: cannot be read any further than . of its 7 samples .*copy or download it again"),
    "cut off, by its size": (cut_with_sizes, r"2.tar: it has 9,000 bytes, and index.json says .*: it is cut off"),
    "no tar": (lambda f: (f / "1.tar").write_bytes(b"x" * 2000) and None, r"1.tar: cannot be read any further than 0"),
    "compressed": (lambda f: write_tar(f / "1.tar", members_of(5), "w:gz"), r"1.tar: .*unpacked: gunzip"),
    "missing": (lambda f: (f / "1.tar").unlink(), r"index.json: a tar that it names is not there .*1.tar"),
    "no JSON": (with_members(("a.png", PICTURE)), r"1.tar: the sample a has 1 images and 0 JSON .*expected a.jpg"),
    "no image": (with_members(("a.json", TEXT)), r"1.tar: the sample a has 0 images and 1 JSON files \(a.json\)"),
    "apart": (
        with_members(("a.png", PICTURE), ("b.png", PICTURE), ("a.json", TEXT), ("b.json", TEXT)),
        r"1.tar: the sample a has 1 images and 0 JSON files.*sorted by name",
    ),
    "two images": (with_members(("a.png", PICTURE), ("a.jpg", PICTURE), ("a.json", TEXT)), r"a has 2 images"),
    "no valid JSON": (with_members(("a.png", PICTURE), ("a.json", b"{")), r"1.tar/a.png \(its JSON\): not valid JSON"),
    "JSON of another kind": (
        with_members(("a.png", PICTURE), ("a.json", b'{"caption": "a cat"}')),
        r"1.tar/a.png \(its JSON\): expected .*\"annotations\".*got an object with caption",
    ),
    "no size": (
        with_members(("a.png", PICTURE), ("a.json", b'{"image": {"width": 5}, "annotations": []}')),
        r"1.tar/a.png \(its JSON\): image has the height None and the width 5",
    ),
    "absolute": (with_members(("/a.png", PICTURE), ("/a.json", TEXT)), r"1.tar: its member '/a.png' leads out"),
    "climbing": (with_members(("../a.png", PICTURE), ("../a.json", TEXT)), r"1.tar: its member '../a.png' leads out"),
    "too many samples": (
        lambda f: write_tar(f / "1.tar", members_of(5) + members_of(6)),
        r"1.tar: index.json says that it has 1 samples, and it has more, the next is 0006.png; put nsamples right",
    ),
    "too few samples": (lambda f: write_index(f, (5, 2, 7, 3)), r"1.tar: index.json says .* has 2 samples.* has 1"),
    "a tar elsewhere": (
        lambda f: write_index(f, shardlist=[{"url": "../1.tar", "nsamples": 1}]),
        r"shardlist\[0\]: url is '../1.tar', expected the name of a tar \(.tar\) beside the index",
    ),
    "no counts": (lambda f: write_index(f, shardlist=[{"url": "1.tar"}]), r"shardlist\[0\]: nsamples is None"),
    "no classes": (lambda f: write_index(f, categories=None), r"index.json: categories is None, expected COCO's list"),
    "no index": (lambda f: (f / "index.json").write_text("{}") and None, r"index.json: expected an index of shards"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_unclear_is_refused(shards: Path, kind: str) -> None:
    change, message = BAD[kind]
    change(shards)
    for read in (lambda: Shards(shards).columns, lambda: epoch(Shards(shards), 2 if kind == "cut off" else 0)):
        with pytest.raises(DataError, match=message):
            read()


SAID = ("0001.png: not an image", "0004.png: .*are more than", "no category has the id 7", "lies outside its image")


def with_bad_samples(folder: Path) -> Path:
    """A part of these samples is left out, for the reasons above."""
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    content = json.loads(members_of(3)[1][1])
    content["annotations"][0]["category_id"] = 7
    content["annotations"].append({"id": 9, "bbox": [900, 900, 5, 5], "category_id": 10})
    files = [*members_of(0), ("0001.png", b"nothing"), members_of(1)[1], *members_of(2), members_of(3)[0]]
    files += [("0003.json", json.dumps(content).encode()), ("0004.png", bomb.getvalue()), members_of(4)[1]]
    write_tar(folder / "0.tar", files)
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_used_is_named_and_never_silently_dropped(shards: Path, workers: int) -> None:
    dataset = Shards(with_bad_samples(shards), buffer=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        streamed = list(chain(*epoch(dataset, workers)))
        val = DataModule(val=Shards(shards), preprocessing=SMALL, batch_size=4, num_workers=workers)
        evaluated = [truth.image_id for batch in val.val_dataloader() for truth in batch.annotations]
    said = [str(warning.message) for warning in caught if issubclass(warning.category, DataWarning)]
    for message in SAID:
        assert any(re.search(rf"shards/0\.tar/.*{message}", text) for text in said), (message, said)
    assert len(streamed) == 16 and set(streamed) == set(range(16)) - {1, 4}, "others take the place of two"
    assert evaluated == [index for index in range(16) if index not in (1, 4)]
    with pytest.raises(ValueError, match=r"0\.tar/000"):
        epoch(Shards(shards, strict=True), workers)
    check_dataset(dataset)


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def test_members_that_nobody_asked_for_are_not_read(shards: Path) -> None:
    others = [(f"0005.{suffix}", pickle.dumps(Trap())) for suffix in ("pyd", "pth", "pickle", "npy", "txt")]
    write_tar(shards / "1.tar", [*members_of(5), *others, ("._0005.png", b"x"), (".DS_Store", b"x")])
    dataset = Shards(shards)
    assert dataset.problems == [] and sorted(chain(*epoch(dataset))) == list(range(16))
    check_dataset(dataset)


def test_what_a_stream_cannot_do_is_refused(shards: Path) -> None:
    with pytest.raises(DataError, match=r"data.sampling: expected null, as shards are read as a stream"):
        module(Shards(shards), sampling=RepeatFactors(0.5))
    with pytest.raises(DataError, match=r"data.cache: expected none, as shards are read as a stream"):
        module(Shards(shards), cache="memory")
    with pytest.raises(DataError, match=r"a batch of 17 on each of 1 devices needs more than its 16 samples"):
        epoch(Shards(shards), batch_size=17)


def test_classes_are_chosen_and_matched_by_name(shards: Path) -> None:
    stars = Shards(shards, class_names=["star"])
    assert set(stars.columns.labels.tolist()) == {0}
    data = DataModule(Shards(shards, class_names=["star", "disc"]), preprocessing=SMALL, class_names=[*NAMES, "cup"])
    streamed: Any = data.datasets["train"]
    labels = np.concatenate([streamed.sample(item).labels for item in streamed.samples(2)])
    assert set(labels.tolist()) == {0, 2} and streamed._columns is None
    assert set(Concatenated([Shards(shards), stars]).columns.labels.tolist()) == {0, 1, 2}


def test_the_commands_know_shards(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(shards)]) == 0
    out = capsys.readouterr().out
    assert "shards (WebDataset)" in out and "16" in out
    written = ["convert-data", str(shards), "--to", "shards", "--shard-mb", "1", "--output", str(tmp_path / "again")]
    assert main(written) == 0
    assert "train: 16 images" in capsys.readouterr().out
    again, first = Shards(tmp_path / "again/train"), Shards(shards)
    assert sorted(again.columns.image_ids.tolist()) == first.columns.image_ids.tolist()
    assert main([*written[:4], "--image-files", "none", "--output", str(tmp_path / "none")]) == 1
    capsys.readouterr()
    cut(shards)
    assert main(["check", str(shards)]) == 1
    assert "2.tar: cannot be read any further" in capsys.readouterr().out
