"""How often which picture is seen: the formulas of the papers, exact shares, and the same epochs whoever asks."""

from __future__ import annotations

import math
import re
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonargparse import ArgumentError, ArgumentParser

from centernet.cli.main import main
from centernet.data import (
    COCO,
    VOC,
    Annotation,
    ClassAware,
    Columns,
    Concatenated,
    DataError,
    DataModule,
    DetectionDataset,
    DetectionForTracking,
    ImageFolder,
    MapClasses,
    Mosaic,
    RandomSubset,
    RepeatFactors,
    Sampling,
    Subset,
    Synthetic,
)
from centernet.data.cache import Cached
from centernet.data.columns import Paths
from centernet.data.loading import TrainBatches
from centernet.data.sampling import draw_epoch, epoch_length
from centernet.images import LazyImage, Preprocessing

PAGE = Path(__file__).resolve().parents[2] / "docs/datasets.md"


class Listed(DetectionDataset):
    """Pictures with objects of the given classes, and no files."""

    def __init__(
        self, classes: Sequence[Sequence[int]], names: Sequence[str] = ("a", "b", "c"), shift: int = 0
    ) -> None:
        super().__init__(names)
        self.classes = classes
        self.shift = shift

    def __len__(self) -> int:
        return len(self.classes)

    def annotation(self, index: int) -> Annotation:
        if not 0 <= index < len(self):
            raise IndexError(index)
        labels = np.array(self.classes[index], dtype=np.int64).reshape(-1)
        boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (len(labels), 1))
        ignore = labels < 0  # -1 - label to ignore
        labels = np.where(ignore, -1 - labels, labels)
        path = Path(f"{self.shift + index}.jpg")
        return Annotation(path, index, 20, 20, boxes, labels, np.full(len(labels), -1), ignore, boxes[:, 2] * 8)

    def image(self, index: int) -> LazyImage:
        return LazyImage.of(np.full((20, 20, 3), self.shift + index, dtype=np.uint8))


def counted(rates: Any, epochs: int, seed: int = 0) -> Any:
    """How often each picture was drawn: epochs × N."""
    drawn = (draw_epoch(rates, np.random.default_rng([seed, epoch]))[0] for epoch in range(epochs))
    return np.array([np.bincount(indices, minlength=len(rates)) for indices in drawn])


def with_objects(dataset: DetectionDataset) -> list[set[int]]:
    annotations = map(dataset.annotation, range(len(dataset)))
    return [set(annotation.labels[~annotation.ignore].tolist()) for annotation in annotations]


def test_an_epoch_has_each_picture_as_often_as_its_rate_says() -> None:
    rng = np.random.default_rng(1)
    rates = np.concatenate([rng.uniform(0, 3, 400), np.ones(50), np.zeros(10), [40.25]])
    drawn = counted(rates, 400)
    assert (drawn.sum(axis=1) == epoch_length(rates)).all() and 0 <= epoch_length(rates) - rates.sum() < 1
    scaled = rates * epoch_length(rates) / rates.sum()
    assert (drawn >= np.floor(scaled)).all() and (drawn <= np.ceil(scaled)).all()
    # The mean of 400 draws of a fraction has a deviation of at most .5 / 20; the largest of 461 stays below 4.5 of it.
    assert abs(drawn.mean(axis=0) - scaled).max() < 4.5 * 0.5 / 20
    assert (counted(np.ones(7), 3) == 1).all()


def test_repeats_are_numbered_and_the_order_is_random() -> None:
    rates = np.array([2.0, 0.0, 5.0, 1.0] * 20)
    indices, times = draw_epoch(rates, np.random.default_rng(0))
    assert len(indices) == len(times) == 160
    for picture, rate in enumerate(rates.astype(int).tolist()):
        assert sorted(times[indices == picture].tolist()) == list(range(rate))
    assert abs(np.corrcoef(np.arange(160), indices)[0, 1]) < 0.25


def test_repeat_factors_are_those_of_the_paper(shared: Path) -> None:
    """LVIS, https://arxiv.org/abs/1908.03195: r = max(1, sqrt(t / f)); of an image the maximum over its classes."""
    dataset = VOC(shared / "data/voc2007", "val")
    contents, threshold = with_objects(dataset), 0.1
    pictures = Counter(label for classes in contents for label in classes)
    factor = {label: max(1.0, math.sqrt(threshold / (count / len(dataset)))) for label, count in pictures.items()}
    expected = [max((factor[label] for label in classes), default=1.0) for classes in contents]
    rates = RepeatFactors(threshold).rates(dataset)
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert rates.min() == 1 and 2 < rates.max() == max(factor.values())
    assert (counted(rates, 3) >= 1).all()  # no picture is ever missed
    assert (RepeatFactors(1e-6).rates(dataset) == 1).all()


def test_classes_of_ignored_boxes_alone_do_not_count() -> None:
    dataset = Listed([[0], [0], [0, -1 - 1], [1], [-1 - 2], []])  # the third only ignores class 1
    assert RepeatFactors(0.5).rates(dataset).tolist() == [1, 1, 1, math.sqrt(0.5 * 6 / 1), 1, 1]


def test_class_aware_draws_each_class_as_often() -> None:
    """A class, then one of its pictures (https://arxiv.org/abs/1512.05830), in exact fractions."""
    contents = [[0], [0, 0, 1], [0], [0], [1, 2], [], [0], []]
    pictures = Counter(label for classes in contents for label in set(classes))
    chances = [sum(Fraction(1, 3 * pictures[label]) for label in set(classes)) for classes in contents]
    rates = ClassAware().rates(Listed(contents))
    expected = [float(chance * 6) if classes else 1.0 for chance, classes in zip(chances, contents, strict=True)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert rates.sum() == pytest.approx(8)


def test_a_share_of_pictures_without_objects() -> None:
    dataset = Listed([[0]] * 6 + [[1]] * 2 + [[]] * 40)
    for share, expected in ((0.0, 0.0), (0.2, 2.0), (0.5, 8.0), (0.9, 72.0)):
        rates = Sampling(empty=share).rates(dataset)
        assert rates[:8].tolist() == [1] * 8 and rates[8:].sum() == pytest.approx(expected)
    assert (Sampling().rates(dataset) == 1).all()
    rates = RepeatFactors(0.5, empty=0.25, samples=1000).rates(dataset)
    assert rates.sum() == pytest.approx(1000) and rates[8:].sum() == pytest.approx(250)
    assert rates[6] / rates[0] == pytest.approx(math.sqrt(6 / 2))  # f = 6/48 and 2/48, both below .5
    for pictures, which in (([[0]], "without"), ([[], []], "with")):
        with pytest.raises(DataError, match=rf"data\.sampling\.empty: .*none is {which} objects"):
            Sampling(empty=0.1).rates(Listed(pictures))
    assert Sampling(empty=0).rates(Listed([[0]])).tolist() == [1]


def test_sources_get_their_shares() -> None:
    parts = [Listed([[0]] * 10), Listed([[1], [2]] * 15), Listed([[0]] * 60)]
    dataset = Concatenated(parts, weights=[3, 1, 0])
    rates = Sampling().rates(dataset)
    assert [part.sum() for part in np.split(rates, [10, 40])] == pytest.approx([75, 25, 0])
    drawn = counted(rates, 100).mean(axis=0)
    assert drawn[:10].sum() == pytest.approx(75, abs=0.5) and drawn[40:].sum() == 0
    # Repeat factors act within a source: its share stays.
    rates = RepeatFactors(0.4, samples=200).rates(dataset)
    assert [part.sum() for part in np.split(rates, [10, 40])] == pytest.approx([150, 50, 0])
    assert Concatenated(parts).sources is None


def test_weights_pass_through_what_data_sets_are_wrapped_in() -> None:
    inner = Concatenated([Listed([[0]] * 4), Listed([[1]] * 8)], weights=[1, 1])
    outer = Concatenated([inner, Listed([[2]] * 12)])  # half and half by its pictures
    expected = [6.0, 6.0, 12.0]
    wrapped = [
        outer,
        outer.with_class_names(["c", "b", "a", "d"]),
        DetectionForTracking(outer),
        MapClasses(outer, {"a": "x", "b": "x", "c": "y"}),
        Cached(outer, 0.001),
        Subset(outer, range(len(outer))),
        RandomSubset(outer, fraction=1.0),
    ]
    for dataset in wrapped:
        rates = Sampling().rates(dataset)
        sums = [rates[:4].sum(), rates[4:12].sum(), rates[12:].sum()]
        assert sums == pytest.approx(expected), dataset
    few = Subset(outer, [0, 20, 21])  # the second source is not in it
    assert Sampling().rates(few).tolist() == pytest.approx([1, 1, 1])


def test_sources_without_any_sampling_option_are_drawn_by_their_weights() -> None:
    def module(weights: list[float]) -> DataModule:
        dataset = Concatenated([Listed([[0]] * 30), Listed([[0]] * 30, shift=200)], weights=weights)
        mosaic = Mosaic(mosaic=1.0, close=0, brightness=0, contrast=0, saturation=0, hue=0)
        return DataModule(dataset, batch_size=10, num_workers=0, augmentation=mosaic, preprocessing=SMALL)

    data = module([9, 1])
    batches = list(data.train_dataloader())
    paths = [int(annotation.path.stem) for batch in batches for annotation in batch.annotations]
    assert len(paths) == 60 and 0 < sum(number >= 200 for number in paths) < 15  # 6 on average
    assert "by source: 0: 30 → 54, 1: 30 → 6" in data.summary()
    bright = sum(int((batch.images > 190).sum()) for batch in batches)
    # Nor are pictures of a source without a share mixed into others; the brightest is then the padding.
    assert bright > 0 and all(int(batch.images.max()) == 114 for batch in module([1, 0]).train_dataloader())


SMALL = Preprocessing(size=(32, 32))


@pytest.mark.parametrize("batch_size", [1, 4, 60, 400])
def test_devices_share_the_batches_of_one(batch_size: int) -> None:
    rates = np.random.default_rng(0).uniform(0, 4, 90)
    dataset = Listed([[0]] * 90)
    one = list(TrainBatches(dataset, 2 * batch_size, rates=rates, seed=3, position=lambda: (5, 0)))
    two = [
        list(TrainBatches(dataset, batch_size, rates=rates, seed=3, devices=2, rank=r, position=lambda: (5, 0)))
        for r in (0, 1)
    ]
    assert len(one) == len(two[0]) == len(two[1]) == len(TrainBatches(dataset, 2 * batch_size, rates=rates))
    for whole, *shares in zip(one, *two, strict=True):
        seen = [pair for key in shares for pair in zip(key.indices, key.times or (), strict=True)]
        assert set(seen) == set(zip(whole.indices, whole.times or (), strict=True))
        if batch_size < 400:  # where there are enough for all, no sample is on two devices
            assert len(seen) == len(set(seen))


def test_epochs_are_those_of_seed_and_epoch() -> None:
    rates = np.random.default_rng(0).uniform(0, 4, 200)
    dataset = Listed([[0]] * 200)

    def epoch(number: int, seed: int = 1) -> list[Any]:
        return list(TrainBatches(dataset, 7, rates=rates, seed=seed, position=lambda: (number, 0)))

    assert epoch(3) == epoch(3) != epoch(4) and epoch(3) != epoch(3, seed=2)
    assert len(epoch(3)) == len(epoch(4))
    resumed = TrainBatches(dataset, 7, rates=rates, seed=1, position=lambda: (3, 20))
    assert list(resumed) == epoch(3)[20:]


def test_a_picture_that_comes_again_is_augmented_anew() -> None:
    def images(workers: int) -> dict[tuple[int, int], list[bytes]]:
        """Pixels by epoch and picture."""
        dataset = Synthetic(6, size=(32, 48), objects=(1, 3), seed=2)
        module = DataModule(
            dataset, batch_size=6, num_workers=workers, preprocessing=SMALL, sampling=Sampling(samples=30)
        )
        found: dict[tuple[int, int], list[bytes]] = {}
        loader = module.train_dataloader()
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            for batch in loader:
                for annotation, image in zip(batch.annotations, batch.images, strict=True):
                    found.setdefault((epoch, annotation.image_id), []).append(image.numpy().tobytes())
        return found

    found = images(0)
    assert {len(pixels) for pixels in found.values()} == {5}
    everything = [pixels for group in found.values() for pixels in group]
    assert len(set(everything)) == len(everything) == 60
    assert found == images(2)


def test_each_class_of_a_long_tail_is_seen(tmp_path: Path) -> None:
    """Over the loader's own batches: without sampling a class of 2 pictures in 200 comes twice an epoch."""
    contents = [[0]] * 180 + [[0, 1]] * 18 + [[2]] * 2
    seen = {}
    for name, sampling in (("none", None), ("repeat", RepeatFactors(0.25)), ("class", ClassAware())):
        module = DataModule(
            Listed(contents), batch_size=10, num_workers=0, augmentation=None, preprocessing=SMALL, sampling=sampling
        )
        counts: Counter[int] = Counter()
        for batch in module.train_dataloader():
            counts.update(label for a in batch.annotations for label in set(a.labels.tolist()))
        seen[name] = [counts[label] for label in range(3)]
    assert seen["none"] == [198, 18, 2]
    # factors: sqrt(.25 / .09) = 1.67, sqrt(.25 / .01) = 5; 180 + 30 + 10 = 220 samples, 30 of them with class 1
    assert seen["repeat"] == [210, 30, 10]
    assert seen["class"][2] == pytest.approx(200 / 3, abs=1)
    assert "c 2 → 10, b 18 → 30" in DataModule(Listed(contents), sampling=RepeatFactors(0.25)).summary()


def test_the_table_of_the_documentation(shared: Path) -> None:
    train = COCO(shared / "data/voc2007/train.json", shared / "data/voc2007/JPEGImages")
    contents = with_objects(train)
    labels = [train.class_names.index(name) for name in ("sheep", "cow", "boat", "car", "person")]
    samplings: dict[str, Sampling] = {
        "each once": Sampling(),
        "RepeatFactors, threshold 0.05": RepeatFactors(0.05),
        "RepeatFactors, threshold 0.1": RepeatFactors(0.1),
        "ClassAware": ClassAware(),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, sampling in samplings.items():
        rates = sampling.rates(train)
        seen = [sum(rates[i] for i, classes in enumerate(contents) if label in classes) for label in labels]
        row = " | ".join(str(round(float(value))) for value in (epoch_length(rates), *seen))
        assert f"| {name} | {row} |" in text
        drawn = counted(rates, 20)  # what the epochs have
        for label, expected in zip(labels, seen, strict=True):
            pictures = [label in classes for classes in contents]
            assert drawn[:, pictures].sum(axis=1).mean() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Sampling(empty=1.0), "data.sampling.empty"),
        (lambda: Sampling(empty=-0.1), "data.sampling.empty"),
        (lambda: ClassAware(samples=0), "data.sampling.samples"),
        (lambda: RepeatFactors(0), "data.sampling.threshold"),
        (lambda: RepeatFactors(1.5), "data.sampling.threshold"),
        (lambda: Concatenated([Listed([[0]])], weights=[1, 2]), "weights: expected one number"),
        (lambda: Concatenated([Listed([[0]])], weights=[0]), "weights: .*not all of them 0"),
        (lambda: Concatenated([Listed([[0]])] * 2, weights=[1, -1]), "weights"),
        (lambda: Concatenated([Listed([[0]])] * 2, weights=[1, math.nan]), "weights"),
        (lambda: RandomSubset(Listed([[0]] * 4)), "either fraction or count"),
        (lambda: RandomSubset(Listed([[0]] * 4), fraction=0.5, count=2), "either fraction or count"),
        (lambda: RandomSubset(Listed([[0]] * 4), fraction=0), r"RandomSubset\.fraction"),
        (lambda: RandomSubset(Listed([[0]] * 4), count=5), r"RandomSubset\.count: expected 1 \.\. 4"),
        (lambda: RandomSubset(Listed([[0]] * 4), count=1, seed=-1), r"RandomSubset\.seed"),
        (lambda: RandomSubset(Listed([[0]] * 4), count=4, rest=True), r"RandomSubset\.rest"),
    ],
)
def test_options_out_of_range_are_named(make: Any, key: str) -> None:
    with pytest.raises(DataError, match=key):
        make()


def test_a_random_subset_keeps_the_share_of_each_class(shared: Path) -> None:
    dataset = COCO(shared / "data/voc2007/train.json", shared / "data/voc2007/JPEGImages")
    whole = dataset.label_arrays()[2]
    for seed in range(3):
        part = RandomSubset(dataset, fraction=0.1, seed=seed)
        assert len(part) == 396
        pictures = part.label_arrays()[2]
        # A class of 86 to 700 pictures; drawn alike, the deviation would be up to 3 of 9 for the smallest.
        assert abs(pictures - whole / 10).max() <= max(4, 0.15 * whole.max() / 10)
        rarest = int(np.argmin(whole))
        assert abs(pictures[rarest] - whole[rarest] / 10) <= 1.5


def test_random_subsets_are_reproducible_nested_and_leave_a_rest() -> None:
    contents = [[0]] * 50 + [[1]] * 30 + [[]] * 20
    dataset = Listed(contents)
    parts = {count: RandomSubset(dataset, count=count, seed=4) for count in (1, 10, 37, 100)}
    indices = {count: set(part.indices.tolist()) for count, part in parts.items()}
    assert all(len(found) == count for count, found in indices.items())
    assert indices[1] < indices[10] < indices[37] < indices[100] == set(range(100))
    assert [int((indices[10] & set(range(*span))).__len__()) for span in ((0, 50), (50, 80), (80, 100))] == [5, 3, 2]
    again, other = RandomSubset(dataset, count=37, seed=4), RandomSubset(dataset, count=37, seed=5)
    assert again.indices.tolist() == parts[37].indices.tolist() != other.indices.tolist()
    assert (np.diff(again.indices) > 0).all()  # in the order of the data set
    rest = RandomSubset(dataset, count=37, seed=4, rest=True)
    assert set(rest.indices.tolist()) == set(range(100)) - indices[37]
    renamed = again.with_class_names(["c", "b", "a"])
    assert renamed.indices.tolist() == again.indices.tolist()


def test_label_tables_agree_with_the_annotations(shared: Path) -> None:
    """Of every kind of data set, whether stored in arrays or asked picture by picture."""
    voc = VOC(shared / "data/bccd", "test")
    folder = ImageFolder(shared / "data/coco/images", class_names=["WBC"])
    sets: list[DetectionDataset] = [
        voc,
        Listed([[0, 0, 1], [], [-1, 2], [-2]]),
        Subset(voc, [5, 3, 3, 60]),
        MapClasses(voc, {"RBC": "cell", "WBC": "cell"}),
        Concatenated([voc, folder, Subset(voc, [1, 0])], class_names=["WBC", "RBC", "Platelets"]),
        DetectionForTracking(voc),
        COCO(shared / "data/coco/annotations.json"),
    ]
    for dataset in sets:
        expected: Counter[tuple[int, int, bool]] = Counter()
        for index in range(len(dataset)):
            annotation = dataset.annotation(index)
            for label, ignored in zip(annotation.labels.tolist(), annotation.ignore.tolist(), strict=True):
                if label >= 0:
                    expected[index, label, ignored] += 1
        table = dataset.columns.label_table()
        found = {}
        rows = (table.samples, table.labels, table.objects, table.ignored)
        for sample, label, objects, ignored in zip(*(column.tolist() for column in rows), strict=True):
            found |= {(sample, label, False): objects, (sample, label, True): ignored}
        assert {key: count for key, count in found.items() if count} == dict(expected), dataset
        assert (np.diff(table.samples * 1000 + table.labels) > 0).all()


def yaml_examples() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(r"^## How often each image is seen\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    return re.findall(r"^```yaml\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the data sets that the examples name."""
    scenes = Synthetic(12, size=(32, 48), objects=(0, 3), seed=3, class_names=["disc", "star"])
    for folder in ("VOC2007", "unsplit"):
        scenes.write(tmp_path / "data" / folder, split="trainval")
    Synthetic(20, size=(32, 48), objects=(0, 2), class_names=["star"]).write(
        tmp_path / "data/more", format="coco", split="train"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jsonargparse's, of the way in which Lightning dumps
@pytest.mark.parametrize("number", range(4))
def test_the_examples_of_the_documentation_build(workplace: Path, number: int) -> None:
    examples = yaml_examples()
    assert len(examples) == 4
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataModule, "data")
    parsed = parser.parse_string(examples[number])
    module = parser.instantiate(parsed).data
    loader = module.train_dataloader()
    assert 0 < len(next(iter(loader))) <= 16
    saved = parser.dump(parsed, skip_none=False)  # as beside the figures of a run
    again = parser.instantiate(parser.parse_string(saved)).data
    assert list(again.train_dataloader().sampler) == list(loader.sampler)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_wrong_sampling_is_named_with_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = "data: {train: {class_path: Synthetic, init_args: {num_images: 9}}, sampling: %s}"
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataModule, "data")
    for wrong, named in (
        ("{class_path: RepeatFactors}", "threshold"),
        ("{class_path: RepeatFactors, init_args: {treshold: 0.1}}", "treshold"),
        ("{class_path: ClassAware, init_args: {empty: some}}", "empty"),
    ):
        with pytest.raises(ArgumentError, match=rf"data\.sampling(.|\n)*{named}"):
            parser.parse_string(content % wrong)
    options = ["--data.sampling=RepeatFactors", "--data.sampling.threshold=3", "--output", str(tmp_path)]
    assert main(["fit", "--config", str(PAGE.parents[1] / "configs/synthetic.yaml"), *options]) in (1, 2)
    assert "data.sampling.threshold: expected a share" in capsys.readouterr().err


@pytest.mark.slow
def test_a_million_pictures_take_seconds_and_little_memory() -> None:
    count, classes = 1_000_000, 300
    rng = np.random.default_rng(0)
    boxes = rng.poisson(5, count)
    total = int(boxes.sum())
    columns = Columns(
        boxes=np.tile(np.array([[0, 0, 5, 5]], np.float32), (total, 1)),
        labels=(rng.random(total) ** 4 * classes).astype(np.int64),
        ids=np.full(total, -1),
        ignore=np.zeros(total, dtype=np.bool_),
        areas=np.ones(total, dtype=np.float32),
        difficulty=np.zeros(total, dtype=np.int8),
        offsets=np.concatenate([[0], boxes.cumsum()]),
        sizes=np.full((count, 2), 100, dtype=np.int32),
        image_ids=np.arange(count),
        paths=Paths.of(["x"] * count),
    )
    dataset = DetectionDataset([f"c{label}" for label in range(classes)], columns, source="made up")
    del columns
    tracemalloc.start()
    rates = RepeatFactors(0.001, empty=0.01).rates(dataset)
    sampler = iter(TrainBatches(dataset, 16, rates=rates))
    first = next(sampler)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(first.indices) == 16
    assert peak < 400e6 and held < 60e6  # of 5 million boxes; what stays is the order of the epoch
    assert sum(1 for _ in sampler) > 60_000
