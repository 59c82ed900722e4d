"""Shared by the formats for phones and small boards, whose graphs take one image of one size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version

import torch

from centernet.export.graph import Prepared, fold_batch_norms, lower
from centernet.inference.exported_torch_runtime import quietly


def one_image(prepared: Prepared) -> Prepared:
    """Return a detector for one image of the sample's size, which its metadata state.

    Weights get the order in memory that their axes have: converters read others wrongly or not at all.
    """
    lower(prepared)
    fold_batch_norms(prepared.network)
    prepared.network.to(memory_format=torch.contiguous_format)
    preprocessing = replace(prepared.metadata.preprocessing, size=prepared.sample_hw)
    metadata = replace(prepared.metadata, preprocessing=preprocessing)
    return replace(prepared, metadata=metadata, images=prepared.images[:1])


@contextmanager
def converting(package: str) -> Iterator[None]:
    """Run a converter without its notices. A failure is a ValueError that names the versions that do not agree."""
    try:
        with quietly(), torch.no_grad():
            yield
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
        raise ValueError(
            f"{package} {version(package)} cannot convert this model with torch {torch.__version__} ({reason}); "
            "docs/deployment.md names the versions that were tested together"
        ) from error
