"""Data sets made of others: identities stay distinct, classes meet by name, problems are passed on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from PIL import Image

from centernet.data import (
    MOT,
    VOC,
    YOLO,
    Concatenated,
    DataError,
    DataModule,
    DataWarning,
    DetectionDataset,
    DetectionForTracking,
    MapClasses,
    Mosaic,
    Subset,
    Synthetic,
    SyntheticSequences,
)
from centernet.images import ImageError, Preprocessing
from centernet.network.heads import EmbeddingHead, Head, HeatmapHead, LTRBHead, SizeOffsetHead
from centernet.ops import Targets
from centernet.testing import check_dataset


def ids_of(dataset: DetectionDataset) -> list[int]:
    """Of all boxes to train on."""
    annotations = map(dataset.annotation, range(len(dataset)))
    return np.concatenate([annotation.ids[~annotation.ignore] for annotation in annotations]).tolist()


@pytest.fixture(scope="module")
def people(shared: Path) -> DetectionDataset:
    return MapClasses(VOC(shared / "data/voc2007", "val"), {"person": "pedestrian"})


def test_each_box_of_a_detection_set_is_an_identity(people: DetectionDataset) -> None:
    dataset = DetectionForTracking(people)
    assert ids_of(dataset) == list(range(922))  # the persons of its README's table: 1064, 142 of them difficult
    assert dataset.num_identities == 922
    ignored = np.concatenate([dataset.annotation(i).ids[dataset.annotation(i).ignore] for i in range(len(dataset))])
    assert len(ignored) == 142 and (ignored == -1).all()
    assert set(ids_of(people)) == {-1}  # the data set itself is as it was
    check_dataset(dataset, samples=3)


def test_identities_of_scenes_are_not_kept() -> None:
    scenes = Synthetic(5, size=(40, 48), objects=(2, 4))
    dataset = DetectionForTracking(scenes).with_class_names([*reversed(scenes.class_names), "other"])
    assert ids_of(dataset) == list(range(dataset.num_identities)) and dataset.num_identities > 5
    check_dataset(dataset)


def test_classes_are_chosen_renamed_and_joined(shared: Path) -> None:
    voc = VOC(shared / "data/voc2007", "val")
    objects, ignored, _ = voc.label_arrays()
    of = {name: label for label, name in enumerate(voc.class_names)}
    dataset = MapClasses(voc, {"bus": "vehicle", "car": "vehicle", "cat": "cat"})
    assert dataset.class_names == ("vehicle", "cat") and len(dataset) == len(voc)
    counted = dataset.label_arrays()
    assert counted[0].tolist() == [objects[of["bus"]] + objects[of["car"]], objects[of["cat"]]]
    assert counted[1].tolist() == [ignored[of["bus"]] + ignored[of["car"]], ignored[of["cat"]]]
    assert dataset.with_class_names(["dog", "cat", "vehicle"]).label_arrays()[0].tolist() == [0, *counted[0][::-1]]
    check_dataset(dataset, samples=3)
    with pytest.raises(DataError, match=r"'cars' \(did you mean 'car'\?\) is not in VOC.*aeroplane"):
        MapClasses(voc, {"cars": "vehicle"})


def test_identities_of_chosen_classes_have_no_gaps(shared: Path) -> None:
    both = MOT(shared / "data/mot", ["MOT17-*"], class_names=["pedestrian", "bicycle"])
    dataset = MapClasses(both, {"bicycle": "bicycle"})
    assert sorted(set(ids_of(dataset))) == list(range(dataset.num_identities))
    assert 0 < dataset.num_identities < both.num_identities
    alone = MOT(shared / "data/mot", ["MOT17-*"], class_names=["bicycle"])
    assert dataset.num_identities == alone.num_identities
    check_dataset(dataset)


def test_a_region_for_any_class_stays_when_classes_are_chosen(tmp_path: Path) -> None:
    from centernet.data import KITTITracking

    (tmp_path / "label_02").mkdir()
    (tmp_path / "image_02/0000").mkdir(parents=True)
    Image.new("RGB", (80, 60)).save(tmp_path / "image_02/0000/000000.png")
    rest = "0 0 0 {} 5 5 30 30 1 1 1 1 1 1 1"
    rows = [f"0 -1 DontCare {rest.format('')}", f"0 1 Car {rest.format('')}", f"0 2 Cyclist {rest.format('')}"]
    (tmp_path / "label_02/0000.txt").write_text("\n".join(" ".join(row.split()) for row in rows))
    dataset = MapClasses(KITTITracking(tmp_path), {"Cyclist": "rider"})
    assert dataset.annotation(0).labels.tolist() == [-1, 0] and dataset.num_identities == 1
    check_dataset(dataset)


def part_indices(dataset: Concatenated, parts: int) -> list[list[int]]:
    """The indices of each part's samples."""
    located = [dataset.locate(index)[0] for index in range(len(dataset))]
    return [[index for index, part in enumerate(located) if part == number] for number in range(parts)]


def test_identities_of_concatenated_sets_are_distinct(shared: Path, people: DetectionDataset) -> None:
    root = shared / "data/mot"
    parts = [MOT(root, [name]) for name in ("TUD-Campus", "PETS09-S3-MF1", "MOT17-*")]
    still = DetectionForTracking(people)
    dataset = Concatenated([*parts, people, still])
    assert dataset.class_names == ("pedestrian",)
    assert [part.num_identities for part in parts] == [8, 7, len(set(ids_of(parts[2])))]  # of the sequences' README
    seen: set[int] = set()
    for indices, part in zip(part_indices(dataset, 5), [*parts, people, still], strict=True):
        mine = [dataset.annotation(i).ids[~dataset.annotation(i).ignore] for i in indices]
        numbers = set(np.concatenate(mine).tolist()) - {-1}
        assert len(indices) == len(part) and len(numbers) == part.num_identities and not numbers & seen
        seen |= numbers
    assert seen == set(range(dataset.num_identities))
    assert dataset.locate(len(parts[0])) == (1, 0)
    counted = np.sum([part.label_arrays() for part in (*parts, people, still)], axis=0)
    assert np.array_equal(dataset.label_arrays(), counted)
    check_dataset(dataset, samples=6)
    with pytest.raises(IndexError, match="expected 0"):
        dataset.path(len(dataset))


def evaluated(gt: Path) -> set[int]:
    """Identities in a MOT file that are trained on: flag not 0, and a pedestrian where there is a class."""
    rows = [line.split(",") for line in gt.read_text().splitlines()]
    return {int(row[1]) for row in rows if float(row[6]) and (len(row) == 10 or int(row[7]) == 1)}


def test_training_for_tracking_reads_them_in_one_run(shared: Path, people: DetectionDataset) -> None:
    """Whole persons of four sequences and of still pictures, with mosaics: every batch of two epochs."""
    root = shared / "data/mot"
    names = ("TUD-Campus", "PETS09-S3-MF1", "MOT17-02-FRCNN", "MOT17-04-FRCNN")
    videos = [MOT(root, [name], amodal=True) for name in names]
    still = DetectionForTracking(Subset(people, range(0, 990, 15)))
    persons = [len(evaluated(root / name / "gt/gt.txt")) for name in names]
    persons.append(sum(int((~still.annotation(i).ignore).sum()) for i in range(len(still))))
    assert persons[:2] == [8, 7]  # of the README
    mixed = Concatenated([*videos, still], weights=[1, 1, 1, 1, 2])
    augmentation = Mosaic(mosaic=0.5, mixup=0.3, close=0, rotate=10, shear=3, min_visibility=0.1)
    data = DataModule(
        mixed, batch_size=8, num_workers=0, preprocessing=Preprocessing(size=(96, 128)), augmentation=augmentation
    )
    assert mixed.num_identities == data.num_identities == sum(persons)
    bounds = np.cumsum([0, *persons])
    of_source = [
        set(range(start, stop)) & set(ids_of(Subset(mixed, indices)))
        for start, stop, indices in zip(bounds[:-1], bounds[1:], part_indices(mixed, 5), strict=True)
    ]
    assert [len(ids) for ids in of_source] == persons  # each source has all of its own numbers, and no other
    heads: dict[str, Head] = {"hm": HeatmapHead(8, 4, 1), "box": LTRBHead(8, 4, 1), "size": SizeOffsetHead(8, 4, 1)}
    heads["id"] = EmbeddingHead(8, 4, 1, dim=16)
    seen: set[int] = set()
    outside = 0
    for head in heads.values():
        head.train().prepare(data)
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            tensors = (batch.boxes, batch.labels, batch.ignore, batch.counts)
            targets = Targets(*tensors, ids=batch.ids, grid=(24, 32), stride=4, num_classes=1)
            ids = targets.object_ids
            # FairMOT's targets: the identity at the cell of the centre, moved into the picture where it lies outside.
            image, row = np.nonzero((~batch.ignore & (batch.labels >= 0)).numpy())
            centres = (batch.boxes[image, row, :2] + batch.boxes[image, row, 2:]).numpy() / 8
            outside += int(((centres < 0) | (centres >= [32, 24])).any(axis=1).sum())
            x, y = np.clip(np.floor(centres), 0, [31, 23]).astype(int).T
            assert targets.center_index.tolist() == ((image * 24 + y) * 32 + x).tolist()
            assert ids.tolist() == batch.ids[image, row].tolist()
            assert len(ids) and int(ids.min()) >= 0 and int(ids.max()) < mixed.num_identities  # each person has one
            seen |= set(ids.tolist())
            features = torch.randn(8, 8, 24, 32, generator=torch.Generator().manual_seed(epoch))
            losses = [term for head in heads.values() for term in head.loss(head(features), targets).values()]
            torch.stack(losses).sum().backward()
            assert torch.isfinite(torch.stack(losses)).all()
    gradients = [parameter.grad for head in heads.values() for parameter in head.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert outside > 0  # there were such, and the losses stayed finite
    for source, ids in enumerate(of_source):
        assert len(seen & ids) > 0.7 * len(ids), source  # some are always cut away


def test_classes_meet_by_name_and_problems_are_passed_on(tmp_path: Path) -> None:
    for name, classes, row in (("a", ["cat", "dog"], "1 .5 .5 .5 .5"), ("b", ["bird", "dog"], "1 .5 .5 .5 .5\nx")):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "labels").mkdir()
        (tmp_path / name / "labels/p.txt").write_text(row)
        Image.new("RGB", (40, 40)).save(tmp_path / name / "images/p.jpg")
        (tmp_path / name / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": classes}))
    with pytest.warns(DataWarning):
        parts = [YOLO(tmp_path / name) for name in "ab"]
    dataset = Concatenated(parts)
    assert dataset.class_names == ("cat", "dog", "bird")
    assert [dataset.annotation(i).labels.tolist() for i in range(2)] == [[1], [1]]
    assert [problem.kind for problem in dataset.problems] == ["bad-row"]
    assert dataset.with_class_names(["dog", "bird", "cat"]).annotation(1).labels.tolist() == [0]
    (tmp_path / "a/images/p.jpg").write_text("text")
    for _ in range(2):
        with pytest.raises(ImageError):
            dataset[0]
    assert [problem.kind for problem in dataset.problems] == ["bad-row", "unreadable-image"]
    with pytest.raises(DataError, match=r"bird"):
        Concatenated(parts, class_names=["cat", "dog"])
    with pytest.raises(DataError, match="at least one"):
        Concatenated([])
    clone = pickle.loads(pickle.dumps(dataset))
    assert clone[1].boxes.tolist() == dataset[1].boxes.tolist()


def build(text: str) -> DetectionDataset:
    """A data set from YAML, as the command line builds it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DetectionDataset, "train")
    dataset: DetectionDataset = parser.instantiate(parser.parse_string(text)).train
    return dataset


@pytest.mark.filterwarnings("ignore::centernet.data.DataWarning")
@pytest.mark.parametrize(
    "entry",
    [
        "{class_path: centernet.data.MOT, init_args: {root: ROOT/mot, sequences: [TUD-*], part: [0, .5]}}",
        "{class_path: centernet.data.KITTITracking, init_args: {root: ROOT/kitti_tracking, sequences: ['0001']}}",
        "{class_path: SafetyHelmet, init_args: {root: ROOT/helmet, split: val}}",
        "{class_path: centernet.data.VOC, init_args: {root: ROOT/helmet, rename: {hat: helmet}}}",
    ],
)
def test_formats_are_built_from_yaml(shared: Path, entry: str) -> None:
    entry = entry.replace("ROOT", str(shared / "data"))
    check_dataset(build(f"train: {entry}"), samples=1)


def test_combined_sets_are_built_from_yaml(shared: Path) -> None:
    text = """
    train:
      class_path: Concatenated
      init_args:
        datasets:
        - class_path: MOT
          init_args: {root: ROOT/mot, sequences: [TUD-Campus]}
        - class_path: DetectionForTracking
          init_args:
            dataset:
              class_path: MapClasses
              init_args:
                dataset: {class_path: VOC, init_args: {root: ROOT/voc2007, split: val}}
                classes: {person: pedestrian}
    """
    dataset: Any = build(text.replace("ROOT", str(shared / "data")))
    assert dataset.num_identities == 8 + 922 and len(dataset) == 71 + 990


def test_crowdhuman_and_yolo_are_built_from_yaml(tmp_path: Path, square: Callable[[Path], None]) -> None:
    square(tmp_path)
    files = "{class_path: centernet.data.CrowdHuman, init_args: {annotations: ROOT/a_train.odgt, box: visible}}"
    assert len(build(f"train: {files}".replace("ROOT", str(tmp_path)))) == 1
    yolo = "{class_path: centernet.data.YOLO, init_args: {data: ROOT, split: train, class_names: [person]}}"
    assert len(build(f"train: {yolo}".replace("ROOT", str(tmp_path)))) == 1


def test_videos_keep_their_frames_in_what_is_made_of_them() -> None:
    videos = SyntheticSequences(2, length=3, size=(64, 64))
    stills = DetectionForTracking(MapClasses(Synthetic(4, size=(64, 64)), {"disc": "object"}))
    joined = Concatenated([stills, MapClasses(videos, {"object": "object"}), videos])
    assert [(video.name, video.start, video.stop) for video in joined.sequences] == [
        ("moving_0_0000", 4, 7),
        ("moving_0_0001", 7, 10),
        ("moving_0_0000 (2)", 10, 13),
        ("moving_0_0001 (2)", 13, 16),
    ]
    for video in joined.sequences:
        assert {joined.path(index).parts[0] for index in range(video.start, video.stop)} == {video.name[:13]}
    assert DetectionForTracking(videos).sequences == ()  # nobody was followed
    assert Subset(videos, [0, 2, 4]).sequences == ()


@pytest.fixture
def square() -> Callable[[Path], None]:
    """One picture with one box, for CrowdHuman and for YOLO."""

    def make(root: Path) -> None:
        (root / "images").mkdir()
        (root / "labels").mkdir()
        Image.new("RGB", (40, 40)).save(root / "images/p.jpg")
        (root / "labels/p.txt").write_text("0 .5 .5 .5 .5")
        (root / "data.yaml").write_text("train: images\nnames: [person]\n")
        person = '{"tag": "person", "vbox": [10, 10, 20, 20], "fbox": [10, 10, 20, 20]}'
        (root / "a_train.odgt").write_text(f'{{"ID": "p", "gtboxes": [{person}]}}\n')

    return make
