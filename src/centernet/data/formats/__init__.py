"""The formats of data sets: a module each, whose class is a child of DetectionDataset and is named in `centernet.data`.

They share: what is wrong in the files is left out and named in `problems`, and in one warning; with `strict` the first
problem is a DataError, as are a missing file, folder, split or class, and no usable image, in any case. `class_names`
are the classes in the order of their labels; boxes of others are left out. Boxes that reach over the edges of their
images are cut there, but for those of an `amodal` data set (see `DetectionDataset`). Layouts: docs/datasets.md.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("centernet.data"), name)
