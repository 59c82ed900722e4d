"""Annotations cannot be changed, also on the other side of a process boundary."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from centernet.data import Annotation, DataError, Subset, Synthetic
from centernet.testing import check_dataset

SOURCES = Path(__file__).resolve().parents[2] / "src"


def test_annotations_are_read_only_also_after_pickling() -> None:
    boxes = np.array([[1, 2, 3, 4]], dtype=np.float32)
    one = np.ones(1)
    annotation = Annotation(
        Path("a"), 1, 9, 9, boxes, one.astype(int), one.astype(int), one.astype(bool), one.astype(np.float32)
    )
    for item in (annotation, pickle.loads(pickle.dumps(annotation))):
        assert item.boxes.tolist() == [[1, 2, 3, 4]] and len(item) == 1
        for name in ("boxes", "labels", "ids", "ignore", "areas"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(item, name)[:] = 0
    boxes[:] = 5  # whoever made the array may still write to it


def test_a_subset_is_a_data_set() -> None:
    whole = Synthetic(9)
    part = Subset(whole, [8, 0, 3])
    check_dataset(part)
    assert [part.annotation(i).image_id for i in range(3)] == [8, 0, 3]
    other = part.with_class_names(["fish", *reversed(whole.class_names)])
    names = [other.class_names[label] for label in other.annotation(0).labels]
    assert names == [whole.class_names[label] for label in whole.annotation(8).labels]
    with pytest.raises(IndexError, match="sample 9 of"):
        Subset(whole, [9])
    with pytest.raises(DataError, match="without any sample"):
        Subset(whole, [])


def test_data_sets_and_augmentation_work_without_torch() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SOURCES)!r})
sys.modules["torch"] = None
import numpy as np
from centernet.data import Augment, Synthetic
from centernet.images import Preprocessing
sample = Augment()(Synthetic(1)[0], np.random.default_rng(0), Preprocessing(size=(64, 64)))
print(sample.image.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "(64, 64, 3)", done.stderr
