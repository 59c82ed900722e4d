"""Reading a Lightning checkpoint without running what is in it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch


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
