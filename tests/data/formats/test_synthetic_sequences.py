"""Drawn videos: the contract, what happens in them, and that looks stay with identities while places do not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.data import MOT, DataError, DataModule, SyntheticSequences
from centernet.data.convert import convert
from centernet.images import Preprocessing
from centernet.testing import check_dataset


def small(**options: Any) -> SyntheticSequences:
    return SyntheticSequences(**{"num_sequences": 3, "length": 50, "size": (96, 128), **options})


def paths(dataset: SyntheticSequences, number: int) -> Any:
    """Centres T×N×2."""
    return np.array([[item.centre for item in scene.objects] for scene in dataset.video(number)])


def test_contract() -> None:
    check_dataset(small())
    check_dataset(small(one_class=False, objects=(1, 1), shapes=["disc", "star"]))
    check_dataset(small(num_sequences=1, size=(200, 40), objects=(12, 12)))


def test_frames_depend_on_seed_and_place_alone() -> None:
    a, b = small(seed=3), small(seed=3, num_sequences=5)
    for index in (140, 0, 77, 3):
        assert np.array_equal(a[index].image, b[index].image)
        assert np.array_equal(a.annotation(index).ids, b.annotation(index).ids)
    assert not np.array_equal(a[0].image, a[1].image), "things move"
    assert not np.array_equal(a[0].image, small(seed=4)[0].image)


def test_sequences_follow_one_another_and_share_no_identity() -> None:
    dataset = small(objects=(2, 5), frame_rate=12.5)
    assert [(len(video), video.frame_rate) for video in dataset.sequences] == [(50, 12.5)] * 3
    assert dataset.sequences[0].start == 0 and dataset.sequences[-1].stop == len(dataset) == 150
    seen = [
        {int(i) for index in range(video.start, video.stop) for i in dataset.annotation(index).ids}
        for video in dataset.sequences
    ]
    assert set.union(*seen) == set(range(dataset.num_identities)) and sum(map(len, seen)) == dataset.num_identities
    files = [dataset.path(index) for index in range(len(dataset))]
    assert len(set(files)) == len(files) and files[51].name == "000002.png"
    assert files[51].parts[0] == dataset.sequences[1].name


def test_looks_and_class_stay_with_the_identity() -> None:
    dataset = small(one_class=False, objects=(5, 5))
    frames = dataset.video(1)
    names = dataset.class_names
    for index in range(50, 100):
        annotation = dataset.annotation(index)
        items = {item.identity: item for item in dataset.scene(index).objects}
        for identity, label in zip(annotation.ids, annotation.labels, strict=True):
            item, first = items[int(identity)], frames[0].objects[int(identity) - 5]
            assert names[label] == item.shape
            assert (item.colour, item.size, item.angle) == (first.colour, first.size, first.angle)


def test_colours_of_a_video_are_far_apart() -> None:
    dataset = small(num_sequences=40, objects=(6, 6))
    for number in range(40):
        colours = np.array([item.colour for item in dataset.video(number)[0].objects], dtype=float)
        distances = np.linalg.norm(colours[:, None] - colours[None], axis=2)[~np.eye(6, dtype=bool)]
        assert distances.min() > 60  # of 442 that black and white have


def test_objects_move_smoothly_come_go_and_hide_one_another() -> None:
    dataset = SyntheticSequences(20, length=100, speed=2)
    steps, gone, hidden, counts = [], 0, 0, []
    for number, video in enumerate(dataset.sequences):
        centres = paths(dataset, number)
        assert len(centres) == 100 and np.isfinite(centres).all()
        steps.append(np.linalg.norm(np.diff(centres, axis=0), axis=2).ravel())
        inside = ((centres >= 0) & (centres < 256)).all(axis=2)
        gone += int((inside[:-1] & ~inside[1:]).sum())
        for index in range(video.start, video.stop, 10):
            annotation = dataset.annotation(index)
            hidden += int(annotation.ignore.sum())
            counts.append(len(annotation))
    all_steps = np.concatenate(steps)
    assert 0.5 < all_steps.mean() < 10 and all_steps.max() < 0.25 * 256
    assert gone >= 20 and hidden >= 40, "objects leave, and objects hide others by more than max_hidden"
    assert min(counts) < max(counts)


def test_speed_is_that_of_time() -> None:
    slow, fast = (small(num_sequences=1, length=length, speed=speed) for length, speed in ((61, 1), (31, 2)))
    np.testing.assert_allclose(paths(fast, 0), paths(slow, 0)[::2])
    half = small(num_sequences=1, length=60, speed=0.5)
    np.testing.assert_allclose(paths(half, 0)[::2], paths(slow, 0)[:30])


def test_after_a_meeting_places_do_not_tell_who_crossed_and_who_turned_back() -> None:
    """Of those that touched, about as many go on in their direction as go back: the best guess is a toss."""
    dataset = SyntheticSequences(60, length=120, speed=2, objects=(2, 2), size=(200, 200), object_size=(0.15, 0.2))
    crossed = turned = 0
    for number in range(60):
        centres = paths(dataset, number)
        apart = centres[:, 0] - centres[:, 1]
        distance = np.linalg.norm(apart, axis=1)
        near = np.flatnonzero(distance < 12)  # a third of their size
        if not len(near):
            continue
        first = near[0]
        before = first - np.argmax(distance[first::-1] > 45) if (distance[:first] > 45).any() else None
        after = first + np.argmax(distance[first:] > 45) if (distance[first:] > 45).any() else None
        if before is None or after is None:
            continue
        same_side = float(apart[before] @ apart[after]) > 0
        turned, crossed = turned + same_side, crossed + (not same_side)
    assert turned + crossed > 30
    assert 0.25 < turned / (turned + crossed) < 0.75


def test_every_frame_is_one_of_mot_s_when_converted(tmp_path: Path) -> None:
    dataset = small(one_class=False, num_sequences=2, length=8)
    convert({"train": dataset}, tmp_path, to="mot")
    read = MOT(tmp_path / "train", class_names=dataset.class_names)
    assert [(video.name, len(video), video.frame_rate) for video in read.sequences] == [
        (video.name, len(video), video.frame_rate) for video in dataset.sequences
    ]
    pairs = set()
    for index in range(16):
        a, b = dataset[index], read[index]
        assert np.array_equal(a.image, b.image)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=0.002)
        assert np.array_equal(a.labels, b.labels) and np.array_equal(a.ignore, b.ignore)
        pairs |= {pair for pair in zip(a.ids.tolist(), b.ids.tolist(), strict=True) if -1 not in pair}
    assert len(pairs) == read.num_identities == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_a_configuration_names_it_and_batches_carry_identities() -> None:
    data = DataModule(small(), batch_size=4, num_workers=0, preprocessing=Preprocessing(size=(64, 96)))
    batch = next(iter(data.train_dataloader()))
    assert data.num_identities == small().num_identities
    assert 0 <= int(batch.ids.max()) < data.num_identities


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"num_sequences": 0}, "num_sequences"),
        ({"length": 0}, "length"),
        ({"size": (8, 64)}, "size"),
        ({"shapes": ["disk"]}, r"shapes: .*'disk' \(did you mean 'disc'\?\)"),
        ({"shapes": []}, "shapes"),
        ({"objects": (0, 2)}, "objects"),
        ({"objects": (3, 300)}, "objects"),
        ({"object_size": (0.3, 0.2)}, "object_size"),
        ({"frame_rate": 0}, "frame_rate"),
        ({"speed": -1}, "speed"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], part: str) -> None:
    with pytest.raises(DataError, match=part):
        small(**options)
