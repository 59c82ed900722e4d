"""The contract suite finds what it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from centernet.data import Annotation, MapClasses, Sample, Synthetic, SyntheticSequences, VideoSequence
from centernet.testing import check_dataset, check_head


class Broken(Synthetic):
    """Scenes whose second annotation and samples are changed by a function."""

    def __init__(self, change: Callable[[Annotation], Annotation], change_sample: Callable[[Sample], Sample]) -> None:
        super().__init__(4, size=(40, 48), objects=(2, 3))
        self.change, self.change_sample = change, change_sample

    def annotation(self, index: int) -> Annotation:
        annotation = super().annotation(index)
        return self.change(annotation) if index == 1 else annotation

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        sample.annotation = self.annotation(index)
        return self.change_sample(sample)


def same(item: Any) -> Any:
    return item


def with_box(*values: float) -> Callable[[Annotation], Annotation]:
    def change(annotation: Annotation) -> Annotation:
        boxes = annotation.boxes.copy()
        boxes[0] = values
        return replace(annotation, boxes=boxes)

    return change


def float_image(sample: Sample) -> Sample:
    return sample.replace(image=sample.image.astype(np.float32))


def other_boxes(sample: Sample) -> Sample:
    return sample.replace(boxes=sample.boxes + np.float32(0.5))


def noisy(sample: Sample) -> Sample:
    return sample.replace(image=sample.image + np.random.default_rng().integers(0, 256, 3, dtype=np.uint8))


@pytest.mark.parametrize(
    ("change", "change_sample", "message"),
    [
        (with_box(5, 5, 60, 20), same, r"annotation\(1\).*box 0 is .*inside 48×40"),
        (with_box(5, 5, 5, 20), same, "x1 < x2"),
        (with_box(float("nan"), 5, 9, 20), same, "x1 < x2"),
        (lambda a: replace(a, labels=a.labels + 6), same, "of 6 classes"),
        (lambda a: replace(a, labels=a.labels * 0 - 1), same, "the label -1"),
        (lambda a: replace(a, boxes=a.boxes.astype(np.float64)), same, "boxes is float64, expected float32"),
        (lambda a: replace(a, ids=a.ids[:1]), same, "ids has the shape"),
        (
            lambda a: replace(a, ids=a.ids * 0 + 7),
            same,
            r"an identity is \[7\], expected -1, or 0 up to",
        ),
        (lambda a: replace(a, image_id=0), same, "samples 0 and 1 have the same image_id 0"),
        (same, float_image, "the image is no uint8"),
        (same, other_boxes, "its boxes are not those of its annotation"),
        (same, noisy, "another sample"),
    ],
)
def test_broken_data_sets_are_found(change: Any, change_sample: Any, message: str, monkeypatch: Any) -> None:
    dataset = Broken(change, change_sample)
    monkeypatch.setattr("pickle.dumps", same)  # functions made in a test do not travel
    monkeypatch.setattr("pickle.loads", same)
    with pytest.raises(AssertionError, match=message):
        check_dataset(dataset)


def test_a_data_set_that_shares_its_arrays_is_found(monkeypatch: Any) -> None:
    class Sharing(Synthetic):
        def __init__(self) -> None:
            super().__init__(2, size=(40, 48))
            self.samples = [super(Sharing, self).__getitem__(index) for index in range(2)]

        def __getitem__(self, index: int) -> Sample:
            return self.samples[index]

    monkeypatch.setattr("pickle.dumps", same)
    monkeypatch.setattr("pickle.loads", lambda dataset: Synthetic(2, size=(40, 48)))
    with pytest.raises(AssertionError, match="changing the sample changed the next one"):
        check_dataset(Sharing())


def test_labels_of_ignored_boxes_may_be_any_class(monkeypatch: Any) -> None:
    dataset = Broken(lambda a: replace(a, labels=a.labels * 0 - 1, ignore=~(a.ignore & False)), same)

    def consistent(sample: Sample) -> Sample:
        truth = sample.annotation
        return sample.replace(labels=truth.labels.copy(), ignore=truth.ignore.copy())

    dataset.change_sample = consistent
    monkeypatch.setattr("pickle.dumps", same)
    monkeypatch.setattr("pickle.loads", same)
    check_dataset(dataset)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ((VideoSequence("a", 0, 9, 30.0),), "range of the 4 samples"),
        ((VideoSequence("a", 2, 2, 30.0),), "range of the 4 samples"),
        ((VideoSequence("a", 0, 2, 0.0),), "a rate above 0"),
        ((VideoSequence("a", 0, 2, 30.0), VideoSequence("a", 2, 4, 30.0)), "two sequences have one name"),
    ],
)
def test_broken_sequences_are_found(sequences: tuple[VideoSequence, ...], message: str) -> None:
    dataset = MapClasses(SyntheticSequences(1, length=4, size=(40, 48)), {"object": "thing"})
    dataset.sequences = sequences
    with pytest.raises(AssertionError, match=message):
        check_dataset(dataset)


def test_a_head_that_does_not_export_is_found() -> None:
    from centernet.network.heads import LTRBHead

    class Deciding(LTRBHead):
        def decode(self, output: Any, peaks: Any) -> dict[str, Any]:
            found = super().decode(output, peaks)
            return found if output.detach().sum() > 0 else {name: value + 0.0 for name, value in found.items()}

    with pytest.raises(AssertionError, match=r"torch\.export cannot take"):
        check_head(Deciding)
