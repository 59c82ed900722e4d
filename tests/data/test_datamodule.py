"""DataModule: which samples are trained on, by whom and when, and what happens with samples that cannot be read."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint
from PIL import Image

from centernet.data import (
    COCO,
    VOC,
    Augment,
    Batch,
    Concatenated,
    DataError,
    DataModule,
    DataWarning,
    ImageFolder,
    Mosaic,
    RepeatFactors,
    Synthetic,
    collate,
)
from centernet.data.loading import EvaluationBatches, TrainBatches
from centernet.images import ImageError, Preprocessing

SMALL = Preprocessing(size=(32, 48))

# Lightning advises more workers and longer logging intervals than a test wants, and tells what it left out.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning"),  # within Lightning
    pytest.mark.filterwarnings("ignore:.*was called without a model.*"),
    pytest.mark.filterwarnings("ignore:.*no last checkpoint available.*"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*"),
]


def scenes(count: int, seed: int = 0) -> Synthetic:
    return Synthetic(count, size=(32, 48), seed=seed, objects=(1, 3))


def fingerprint(batch: Batch) -> tuple[Any, ...]:
    """What is in a batch: which images, and a sum of their pixels, which augmentation changes."""
    return tuple(a.image_id for a in batch.annotations), int(batch.images.long().sum()), float(batch.boxes.sum())


class Recorder(pl.LightningModule):
    """Notes the batches it is trained on; its one weight depends on all of them and their order."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.seen: list[tuple[Any, ...]] = []
        self.validated: list[int] = []
        self.stop_at = stop_at

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.stop_at == len(self.seen):
            raise KeyError("stopped on purpose")
        self.seen.append(fingerprint(batch))
        return ((self.weight - batch.images.double().mean() / 255) ** 2).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated += [annotation.image_id for annotation in batch.annotations]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.3)


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    if "callbacks" in options:
        settings["enable_checkpointing"] = True
    return pl.Trainer(**{**settings, **options})


def data(workers: int = 0, **options: Any) -> DataModule:
    settings = {"preprocessing": SMALL, "batch_size": 3, "num_workers": workers, "seed": 5}
    return DataModule(scenes(11), scenes(4, seed=1), **{**settings, **options})


LIMITS = {"epochs": {"max_epochs": 4}, "steps": {"max_steps": 12, "max_epochs": -1}}


@pytest.fixture(scope="module", params=list(LIMITS))
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of four epochs of three batches: how it was limited, its batches and its weight."""
    model = Recorder()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*|.*treespec.*")
        trainer(tmp_path_factory.mktemp("run"), **LIMITS[request.param]).fit(model, data())
    assert len(model.seen) == 12
    return LIMITS[request.param], model.seen, model.weight.item()


CHECKPOINTS = {
    "end of epoch": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
    "after validation": {"every_n_epochs": 1, "save_on_train_epoch_end": False},
    "within an epoch": {"every_n_train_steps": 1},
}


@pytest.mark.parametrize("when", CHECKPOINTS)
@pytest.mark.parametrize("step", [3, 4, 5, 6, 9])
def test_a_resumed_run_is_the_uninterrupted_one(uninterrupted: Any, tmp_path: Path, when: str, step: int) -> None:
    limit, batches, weight = uninterrupted
    if when != "within an epoch" and step % 3:
        pytest.skip("no such checkpoint is written there")
    saver = ModelCheckpoint(
        tmp_path, save_top_k=-1, filename="{step}", auto_insert_metric_name=False, **CHECKPOINTS[when]
    )
    first = Recorder(stop_at=step + 1)
    with pytest.raises(KeyError, match="on purpose"):
        trainer(tmp_path, callbacks=[saver], **limit).fit(first, data())
    second = Recorder()
    trainer(tmp_path, **limit).fit(second, data(), ckpt_path=tmp_path / f"{step}.ckpt", weights_only=False)
    assert first.seen[:step] + second.seen == batches
    assert second.weight.item() == weight


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_batch_that_failed_is_trained_on_after_resuming(uninterrupted: Any, tmp_path: Path, step: int) -> None:
    limit, batches, weight = uninterrupted
    first, second = Recorder(stop_at=step), Recorder()
    with pytest.raises(KeyError, match="on purpose"):
        trainer(tmp_path, callbacks=[OnExceptionCheckpoint(tmp_path, "broken")], **limit).fit(first, data())
    trainer(tmp_path, **limit).fit(second, data(), ckpt_path=tmp_path / "broken.ckpt", weights_only=False)
    assert first.seen + second.seen == batches
    assert second.weight.item() == weight


def test_resuming_twice_and_going_on_for_longer(uninterrupted: Any, tmp_path: Path) -> None:
    _, batches, weight = uninterrupted
    seen: list[Any] = []
    path = None
    for stop, epochs in ((2, 4), (5, 4), (None, 3), (None, 4)):  # stopped after 2 batches, after 5 more, twice not
        model = Recorder(stop_at=stop)
        saver = ModelCheckpoint(tmp_path, filename=f"{len(seen)}", every_n_train_steps=1, save_top_k=1)
        run = trainer(tmp_path, callbacks=[saver], max_epochs=epochs)
        try:
            run.fit(model, data(), ckpt_path=path, weights_only=False)
        except KeyError:
            assert stop is not None
        seen += model.seen
        path = saver.best_model_path
    assert seen == batches
    assert model.weight.item() == weight


def test_workers_change_nothing(uninterrupted: Any, tmp_path: Path) -> None:
    limit, batches, _ = uninterrupted
    saver = ModelCheckpoint(tmp_path, filename="half", every_n_train_steps=4, save_top_k=1)
    model, resumed = Recorder(stop_at=6), Recorder()
    with pytest.raises(KeyError, match="on purpose"):
        trainer(tmp_path, callbacks=[saver], **limit).fit(model, data(workers=2))
    trainer(tmp_path, **limit).fit(resumed, data(workers=1), ckpt_path=saver.best_model_path, weights_only=False)
    assert model.seen[:4] + resumed.seen == batches


def sampled(workers: int = 0) -> DataModule:
    """Two sources, images that come several times in an epoch, others in none, and several images in one."""
    parts = Concatenated([scenes(11), Synthetic(9, size=(32, 48), seed=3, objects=(0, 2))], weights=[1, 2])
    sampling = RepeatFactors(0.9, empty=0.2, samples=17)
    mosaic = Mosaic(mosaic=0.5, mixup=0.3, close=0)
    return DataModule(
        parts,
        batch_size=3,
        sampling=sampling,
        augmentation=mosaic,
        preprocessing=SMALL,
        num_workers=workers,
        seed=5,
    )


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")  # Lightning's word for no validation
@pytest.mark.parametrize("step", [2, 5, 7])
def test_a_resumed_run_with_sampling_is_the_uninterrupted_one(tmp_path: Path, step: int) -> None:
    whole, first, second = Recorder(), Recorder(stop_at=step + 1), Recorder()
    trainer(tmp_path, max_epochs=2).fit(whole, sampled(workers=1))
    assert len(whole.seen) == 2 * 5  # 17 samples, 3 in a batch
    saver = ModelCheckpoint(tmp_path, filename="middle", every_n_train_steps=step, save_top_k=1)
    with pytest.raises(KeyError, match="on purpose"):
        trainer(tmp_path, callbacks=[saver], max_epochs=2).fit(first, sampled())
    trainer(tmp_path, max_epochs=2).fit(second, sampled(), ckpt_path=saver.best_model_path, weights_only=False)
    assert first.seen[:step] + second.seen == whole.seen
    assert second.weight.item() == whole.weight.item()


def test_one_batch_to_overfit_has_each_picture_once(tmp_path: Path) -> None:
    module = sampled()
    module.overfit_one_batch()
    model = Recorder()
    trainer(tmp_path, max_epochs=2).fit(model, module)
    assert [len(set(batch[0])) for batch in model.seen] == [3, 3]


def test_resuming_with_another_batch_size_is_said(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, filename="half", every_n_train_steps=2, save_top_k=1)
    with pytest.raises(KeyError, match="on purpose"):
        trainer(tmp_path, callbacks=[saver], max_epochs=2).fit(Recorder(stop_at=2), data())
    model = Recorder()
    with pytest.warns(DataWarning, match="2 of 3 batches.* an epoch has 5"):
        run = trainer(tmp_path, max_epochs=2)
        run.fit(model, data(batch_size=2), ckpt_path=saver.best_model_path, weights_only=False)
    assert len(model.seen) == 3 + 5


def test_each_epoch_has_every_sample_once_in_another_order() -> None:
    sampler = TrainBatches(scenes(12), 3, seed=1)
    orders = []
    for epoch in range(5):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) == 4
        assert {key.epoch for key in batches} == {epoch} and [key.number for key in batches] == [0, 1, 2, 3]
        orders.append([index for key in batches for index in key.indices])
        assert sorted(orders[-1]) == list(range(12))
    assert len({tuple(order) for order in orders}) == 5
    assert list(TrainBatches(scenes(12), 3, seed=2)) != list(TrainBatches(scenes(12), 3, seed=1))


@pytest.mark.parametrize("samples", [1, 3, 11, 12, 13])
def test_two_devices_share_the_batches_of_one(samples: int) -> None:
    one = list(TrainBatches(scenes(samples), 6, seed=1, position=lambda: (2, 0)))
    two = [
        list(TrainBatches(scenes(samples), 3, seed=1, devices=2, rank=rank, position=lambda: (2, 0))) for rank in (0, 1)
    ]
    assert len(two[0]) == len(two[1]) == len(one)
    for whole, first, second in zip(one, *two, strict=True):
        assert len(first.indices) == len(second.indices) > 0
        assert set(first.indices + second.indices) == set(whole.indices)
        assert whole.number == first.number == second.number


@pytest.mark.parametrize("samples", [2, 8, 9, 16, 17, 31])
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_evaluation_has_every_sample_once_and_equally_many_batches(samples: int, devices: int) -> None:
    dataset = scenes(samples)
    shares = [list(EvaluationBatches(dataset, 4, devices=devices, rank=rank)) for rank in range(devices)]
    assert len({len(share) for share in shares}) == 1
    assert all(0 < len(key.indices) <= 4 for share in shares for key in share)
    counts = Counter(index for share in shares for key in share for index in key.indices)
    assert set(counts) == set(range(samples))
    if samples >= devices:
        assert set(counts.values()) == {1}


def test_augmentation_depends_on_seed_epoch_and_index_alone() -> None:
    def first_batches(**options: Any) -> list[tuple[Any, ...]]:
        loader = data(**options).train_dataloader()
        result = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            result += [fingerprint(batch) for batch in loader]
        return result

    assert first_batches() == first_batches() == first_batches(workers=2)
    assert first_batches() != first_batches(seed=6)
    plain = data(augmentation=None).train_dataloader()
    first = {a.image_id: image for batch in plain for a, image in zip(batch.annotations, batch.images, strict=True)}
    plain.sampler.set_epoch(1)
    for batch in plain:
        for annotation, image in zip(batch.annotations, batch.images, strict=True):
            if annotation.image_id in first:
                assert torch.equal(image, first[annotation.image_id])


def test_a_batch_is_padded_and_channels_last() -> None:
    dataset = scenes(4)
    samples = [dataset[i] for i in range(4)]
    batch = collate(samples, pad_value=114)
    assert batch.images.shape == (4, 3, 32, 48) and batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images[2].permute(1, 2, 0), torch.from_numpy(samples[2].image))
    assert batch.counts.tolist() == [len(sample.boxes) for sample in samples]
    assert batch.boxes.shape[1] == max(batch.counts)
    for row, sample in enumerate(samples):
        n = len(sample.boxes)
        assert np.array_equal(batch.boxes[row, :n], sample.boxes) and not batch.boxes[row, n:].any()
        assert np.array_equal(batch.labels[row, :n], sample.labels) and (batch.labels[row, n:] == -1).all()
        assert not batch.ignore[row, n:].any() and (batch.ids[row, n:] == -1).all()
    moved = batch.to("cpu")
    assert torch.equal(moved.images, batch.images) and moved.annotations == batch.annotations


def test_images_of_several_sizes_and_without_boxes_are_collated(shared: Path) -> None:
    folder = ImageFolder(shared / "data/coco/images", class_names=["a"])
    module = DataModule(
        val=folder, preprocessing=Preprocessing(resize="keep", pad_value=7), batch_size=5, num_workers=0
    )
    batch = next(iter(module.val_dataloader()))
    assert batch.boxes.shape == (5, 1, 4) and batch.counts.tolist() == [0] * 5
    height, width = batch.images.shape[2:]
    assert height % 32 == width % 32 == 0
    for annotation, image in zip(batch.annotations, batch.images, strict=True):
        assert (image[:, annotation.height :] == 7).all() and (image[:, :, annotation.width :] == 7).all()


def test_validation_sees_every_picture_once(tmp_path: Path) -> None:
    model = Recorder()
    trainer(tmp_path).validate(model, data(), verbose=False)
    assert model.validated == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")  # Lightning's word for no loader
def test_training_needs_no_validation_data(tmp_path: Path) -> None:
    model = Recorder()
    module = DataModule(scenes(6), preprocessing=SMALL, batch_size=2, num_workers=0)
    trainer(tmp_path, max_epochs=1).fit(model, module)
    assert len(model.seen) == 3 and not model.validated


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A VOC folder of six scenes whose third and fifth images are cut off behind their headers."""
    scenes(6).write(tmp_path, split="train")
    for index in (2, 4):
        path = tmp_path / "JPEGImages" / f"train_{index:06d}.jpg"
        path.write_bytes(path.read_bytes()[:700])
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_picture_is_replaced_in_training_and_named_once(damaged: Path, workers: int) -> None:
    dataset = VOC(damaged)
    module = DataModule(dataset, augmentation=None, preprocessing=SMALL, batch_size=2, num_workers=workers)
    loader = module.train_dataloader()
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            seen = Counter(a.image_id for batch in loader for a in batch.annotations)
        assert seen == {0: 1, 1: 1, 3: 2, 5: 2}  # 3 stands in for 2, 5 for 4
        named = [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
        if epoch == 0:
            assert len(named) == 2
            assert any("train_000002.jpg" in text for text in named) and any(
                "train_000004.jpg" in text for text in named
            )
        else:
            assert not named
    assert sorted(Path(problem.path).name for problem in dataset.problems) == ["train_000002.jpg", "train_000004.jpg"]


def test_an_unreadable_picture_is_left_out_of_evaluation_and_named(damaged: Path) -> None:
    module = DataModule(val=VOC(damaged), preprocessing=SMALL, batch_size=1, num_workers=0)
    with pytest.warns(DataWarning, match=r"train_00000[24].jpg: .*not evaluated") as caught:
        batches = list(module.val_dataloader())
    assert len(caught) == 2
    assert all(len(batch) == 1 for batch in batches)
    assert {a.image_id for batch in batches for a in batch.annotations} == {0, 1, 3, 5}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_is_an_error_when_strict(damaged: Path, workers: int) -> None:
    module = DataModule(VOC(damaged), preprocessing=SMALL, batch_size=6, num_workers=workers, strict=True)
    with pytest.raises(ImageError, match=r"train_00000[24].jpg"):
        next(iter(module.train_dataloader()))


def test_no_readable_picture_at_all_is_an_error(damaged: Path) -> None:
    dataset = VOC(damaged)
    for path in (damaged / "JPEGImages").iterdir():
        path.write_bytes(b"nothing")
    module = DataModule(dataset, preprocessing=SMALL, batch_size=2, num_workers=0)
    with pytest.raises(DataError, match="none of its 6 images can be read"):
        next(iter(module.train_dataloader()))


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    val = Synthetic(5, size=(32, 48), seed=1, class_names=["star", "disc"])
    module = DataModule(scenes(5), val, preprocessing=SMALL)
    assert module.class_names == ("disc", "square", "triangle", "star", "cross", "ring")
    for index in range(5):
        ours, theirs = module.datasets["val"].annotation(index), val.annotation(index)
        named = [module.class_names[label] for label in ours.labels]
        assert named == [val.class_names[label] for label in theirs.labels]
    named = DataModule(val, class_names=["ring", "disc", "star"], preprocessing=SMALL)
    assert named.datasets["train"].class_names == ("ring", "disc", "star")


def test_classes_that_do_not_fit_are_named_with_the_nearest() -> None:
    val = Synthetic(5, size=(32, 48), seed=1)
    with pytest.raises(
        DataError, match=r"data.val.*'star' \(did you mean 'stars'\?\).*The list: disc.*data.class_names"
    ):
        DataModule(val=val, class_names=["disc", "square", "triangle", "stars", "cross", "ring"])
    with pytest.raises(DataError, match=r"num_classes 4, but data\.val has 6 classes: disc"):
        DataModule(val=val, num_classes=4)
    with pytest.raises(DataError, match="at least one of train, val and test"):
        DataModule()


def test_images_in_both_training_and_validation_are_named(damaged: Path, tmp_path_factory: Any) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(damaged, other, dirs_exist_ok=True)
    (damaged / "ImageSets/Main/val.txt").write_text("train_000001\ntrain_000003\n")
    module = DataModule(VOC(damaged), VOC(damaged, "val"), preprocessing=SMALL)
    with pytest.warns(DataWarning, match=r"2 of the 2 images of data.val are also in data.train.*train_000001.jpg"):
        module.setup("fit")
    DataModule(VOC(damaged), VOC(other), preprocessing=SMALL).setup("fit")


def test_the_summary_counts_and_is_printed_once(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (damaged / "Annotations/train_000001.xml").write_text("<annotation")
    with pytest.warns(DataWarning, match="5 images are used"):
        dataset = VOC(damaged)
    module = DataModule(dataset, preprocessing=SMALL)
    module.setup("fit")
    module.setup("validate")
    text = capsys.readouterr().out
    assert text.count("5 images") == 1
    assert "train_000001.xml: cannot be read as XML" in text
    objects = sum(int((~dataset.annotation(i).ignore).sum()) for i in range(5))
    assert f"{objects} objects" in text


def test_one_batch_to_overfit_is_trained_and_validated_on(tmp_path: Path) -> None:
    module = data()
    module.overfit_one_batch()
    model = Recorder()
    trainer(tmp_path, max_epochs=2).fit(model, module)
    assert len(model.seen) == 2
    ids = [set(batch[0]) for batch in model.seen]
    assert ids[0] == ids[1] == set(model.validated) and len(ids[0]) == 3
    assert model.seen[0][1] == model.seen[1][1]  # the same pixels


def test_overfit_batches_of_the_trainer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="overfit_one_batch"):
        trainer(tmp_path, max_epochs=3, overfit_batches=1).fit(Recorder(), data())


def test_limited_epochs_go_through_new_orders(tmp_path: Path) -> None:
    model = Recorder()
    trainer(tmp_path, max_epochs=3, limit_train_batches=2).fit(model, data())
    epochs = [TrainBatches(scenes(11), 3, seed=5, position=lambda epoch=epoch: (epoch, 0)) for epoch in range(3)]
    expected = [sorted(key.indices) for batches in epochs for key in list(batches)[:2]]
    assert [sorted(ids) for ids, *_ in model.seen] == expected


def test_coco_and_folder_are_read_by_workers(shared: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    dataset = COCO(shared / "data/coco/annotations.json", subset=shared / "data/coco/val2017.txt")
    module = DataModule(dataset, dataset, preprocessing=SMALL, batch_size=10, num_workers=2)
    assert sum(len(batch) for batch in module.train_dataloader()) == 50
    boxes = sum(int(batch.counts.sum()) for batch in module.val_dataloader())
    assert boxes == sum(len(dataset.annotation(i)) for i in range(50))


CONFIG = """
data:
  train:
    class_path: centernet.data.Synthetic
    init_args: {num_images: 9, size: [32, 48], class_names: [disc, ring], objects: [1, 2]}
  val:
    class_path: Synthetic
    init_args: {num_images: 5, size: [32, 48], class_names: [ring, disc], seed: 1}
  augmentation:
    class_path: Augment
    init_args: {scale: [0.8, 1.2], rotate: 10, quarter_turns: true}
  preprocessing: {size: [64, 96], resize: stretch}
  batch_size: 4
  num_workers: 0
"""


def parse(text: str, tmp_path: Path, *arguments: str) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataModule, "data")
    parser.add_argument("--config", action="config")
    (tmp_path / "config.yaml").write_text(text)
    parsed = parser.parse_args([f"--config={tmp_path / 'config.yaml'}", *arguments])
    return parser, parsed


def test_a_configuration_makes_it_and_a_saved_one_makes_it_again(tmp_path: Path) -> None:
    parser, parsed = parse(CONFIG, tmp_path, "--data.augmentation.flip=0.25")
    module = parser.instantiate(parsed).data
    batch = next(iter(module.train_dataloader()))
    assert batch.images.shape == (4, 3, 64, 96)
    assert module.augmentation.scale == (0.8, 1.2) and module.augmentation.flip == 0.25
    saved = parser.dump(parsed)
    parser, again = parse(saved, tmp_path)
    assert fingerprint(next(iter(parser.instantiate(again).data.train_dataloader()))) == fingerprint(batch)


def test_defaults_are_spelt_out_in_a_saved_configuration(tmp_path: Path) -> None:
    parser, parsed = parse("data: {train: {class_path: Synthetic, init_args: {num_images: 3}}}", tmp_path)
    saved = parser.dump(parsed)
    assert "class_path: centernet.data.Augment" in saved and "min_visibility: 0.25" in saved
    assert type(parser.instantiate(parsed).data.augmentation) is Augment
    assert type(DataModule(scenes(3)).augmentation) is Augment
    parser, parsed = parse(CONFIG, tmp_path, "--data.augmentation=null")
    assert parser.instantiate(parsed).data.augmentation is None


PIPELINE = """
  augmentation:
    class_path: TorchvisionV2
    init_args:
      transforms:
        - {class_path: RandomHorizontalFlip, init_args: {p: 1.0}}
        - class_path: torchvision.transforms.v2.RandomApply
          init_args:
            p: 1.0
            transforms: [{class_path: torchvision.transforms.v2.RandomVerticalFlip, init_args: {p: 1e+0}}]
"""


def test_other_pipelines_come_from_a_configuration(tmp_path: Path) -> None:
    parser, parsed = parse(CONFIG.partition("  augmentation:")[0] + PIPELINE, tmp_path)
    for _ in range(2):
        module = parser.instantiate(parsed).data
        module.preprocessing = SMALL
        batch = next(iter(module.train_dataloader()))
        first = batch.annotations[0]
        drawn = module.datasets["train"][first.image_id]
        assert np.array_equal(batch.images[0].permute(1, 2, 0), drawn.image[::-1, ::-1])
        parser, parsed = parse(parser.dump(parsed), tmp_path)


def test_a_typo_is_named_with_its_key(tmp_path: Path) -> None:
    for wrong, part in (("num_imags: 9", "num_imags"), ("size: small", "size"), ("num_images: many", "num_images")):
        text = "data: {train: {class_path: Synthetic, init_args: {num_images: 3}}}".replace("num_images: 3", wrong)
        with pytest.raises(ArgumentError, match=part):
            parse(text, tmp_path)
