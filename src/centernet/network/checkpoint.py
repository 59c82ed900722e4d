"""Lightning checkpoints: read without running what is in them, and made into a model again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from centernet.models.centernet import CenterNet


def read_checkpoint(path: str | PathLike[str], map_location: torch.device | str | None = None) -> dict[str, Any]:
    """A checkpoint's content, read with `weights_only=True`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a checkpoint of tensors and plain values ({reason}); is the file whole, and "
            "did `centernet fit` write it?"
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        keys = ", ".join(map(str, list(checkpoint)[:5])) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise ValueError(f"{path} is no Lightning checkpoint: it has no `state_dict` (it holds {keys})")
    return checkpoint


def model_of_checkpoint(
    make: Callable[..., CenterNet],
    path: str | PathLike[str],
    map_location: torch.device | str | None,
    *,
    strict: bool,
    parts: Mapping[str, Any],
) -> CenterNet:
    """The model of a checkpoint; see `CenterNet.load_from_checkpoint`.

    Args:
        make: builds a model of `parts`.
        path: of the checkpoint.
        map_location: where its tensors and the model go.
        strict: as for `load_state_dict`.
        parts: constructor arguments, for a model that was not built from a configuration.
    """
    from centernet.network.build import build_from_hyper_parameters

    checkpoint = read_checkpoint(path, map_location)
    hyper_parameters = checkpoint.get("hyper_parameters") or {}
    if parts:
        model = make(**parts)
    elif "backbone" in hyper_parameters:
        model = build_from_hyper_parameters(hyper_parameters)
    else:
        raise ValueError(
            f"{path}: the checkpoint holds no configuration of a CenterNet; it was not built by "
            "build_centernet or `centernet fit`: give backbone=, neck=, heads= and num_classes= here"
        )
    model.load_state_dict(checkpoint["state_dict"], strict=strict)
    if map_location is not None:
        model.to(map_location)
    return model
