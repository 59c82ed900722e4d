"""The formats of data sets: a module each, whose class is a child of DetectionDataset and is named in `centernet.data`.

Wrong entries are left out and named in `problems`, and in one warning; with `strict` the first is a DataError, as are a
missing file, folder, split or class, and no usable image, in any case. Boxes of classes that are not in `class_names`
are left out; boxes are cut at the edges of their images unless a data set is `amodal`. Layouts: docs/datasets.md.
"""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("centernet.data"), name)
