"""Files of tensors, read without running what is in them."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from centernet.archives import check_archive

_SMALL = 1 << 24
"""Numbers of a network that no file has to account for."""


def read_checkpoint(path: str | PathLike[str], map_location: torch.device | str | None = None) -> dict[str, Any]:
    """Read the content of a Lightning checkpoint, with `state_dict` among its keys.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no checkpoint, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    problem = "cannot be read as a checkpoint of tensors and plain values"
    checkpoint = _load(path, map_location, problem, "is the file whole, and did `centernet fit` write it?")
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        keys = ", ".join(map(str, list(checkpoint)[:5])) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise ValueError(f"{path} is no Lightning checkpoint: it has no `state_dict` (it holds {keys})")
    return checkpoint


def read_weights(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors` file or of a PyTorch file, as float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else than names → tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist: give the path of a .safetensors or .pth file")
    state: object
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is no readable safetensors file ({error})") from error
    else:
        problem = "is no PyTorch weights file that loads with weights_only=True"
        state = _load(path, None, problem, "save a plain state_dict instead")
        state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict (names → tensors); save model.state_dict()")
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


@contextmanager
def no_larger_than(state: Mapping[str, Tensor], source: str | PathLike[str]) -> Iterator[None]:
    """Refuse, by a ValueError, to build a network that is much larger than the weights that it is to have.

    What a file says of a network costs it a few bytes, and this machine the memory of all its tensors.
    """
    most, built, here = 4 * sum(value.numel() for value in state.values()) + _SMALL, 0, threading.get_ident()

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal built
        if tensor is not None and threading.get_ident() == here:
            built += tensor.numel()
            if built > most:
                raise ValueError(
                    f"{source}: describes a network of more than {most:,} numbers, and its weights are "
                    f"{(most - _SMALL) // 4:,}; the file is damaged or was tampered with"
                )

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:  # of numbers that no part was meant for, and of memory that is not there
        reason = (str(error).splitlines() or [""])[0][:200]
        text = f"describes a network of more than {most:,} numbers, or none that can be built"
        raise ValueError(f"{source}: {text} ({type(error).__name__}: {reason})") from error
    finally:
        for hook in hooks:
            hook.remove()


def _load(path: Path, map_location: torch.device | str | None, problem: str, advice: str) -> Any:
    if zipfile.is_zipfile(path):
        check_archive(path)
    try:
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} {problem} ({reason}); {advice}") from error
