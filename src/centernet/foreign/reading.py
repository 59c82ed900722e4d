"""Files that torch.save wrote in other projects, read without running what is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from centernet.inference.foreign import SUFFIXES, describe_foreign

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Keys under which projects put the state dict, in the order in which they are tried."""
EMA = ("ema_state_dict", "state_dict_ema", "model_ema", "ema")
PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "detector.")


class _Plain:
    """Stands for classes that only carry values, such as a log of MMEngine; what they hold is not looked at."""

    def __init__(self, *values: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_HARMLESS: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "b1")),
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    (np._core.multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
    (_Plain, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_Plain, "mmcv.utils.config.ConfigDict"),
    (_Plain, "argparse.Namespace"),
]
"""Names that files of weights may ask for beside tensors and plain values: NumPy's arrays and numbers, and logs."""


@dataclass
class ForeignFile:
    """A state dict, as a file of another project holds it.

    Attributes:
        path: of the file.
        state: names → tensors, float32 where they were floating point.
        class_names: where the file says them.
        notes: what was found beside it, and what of it was taken.
        half: whether the weights were in half precision.
    """

    path: Path
    state: dict[str, Tensor]
    class_names: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)
    half: bool = False


def read_file(path: Path) -> ForeignFile:
    """Read a file of weights: a state dict, alone or with other things around it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, would need to run code, or is not whole; the message says which.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); download it again")
    content = _load(path)
    notes: list[str] = []
    names = _class_names(content)
    state = _state_dict(path, content, notes)
    half = any(value.dtype in (torch.float16, torch.bfloat16) for value in state.values())
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if wrong := [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise ValueError(f"{path}: {len(wrong)} tensors have values that are not finite, first {wrong[0]}")
    return ForeignFile(path, state, names, notes, half)


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except Exception as error:
            raise ValueError(f"{path} is no readable safetensors file ({error})") from error
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    """Say why torch could not load a file."""
    with path.open("rb") as file:
        head = file.read(512)
    kind = describe_foreign(path)
    if kind in SUFFIXES.values():  # known by its name alone
        kind = None
    if asked := re.search(r"GLOBAL ([\w.]+)", str(error)):
        text = f"needs {asked[1]} to be unpickled, which is not done: a pickle can run any code"
        advice = "save its state dict alone, with torch.save(model.state_dict(), …)"
        return f"{text}; {advice}" if kind is None or kind.startswith("weights") else f"is {kind}: it {text}"
    if kind is not None and not kind.startswith("weights"):
        return f"is {kind}"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if all(byte in b"\t\n\r\f" or byte >= 32 for byte in head):
        return "is text, not a file of weights"
    return f"cannot be read as a file of torch.save ({first[:200]}); is it whole?"


def _state_dict(path: Path, content: Any, notes: list[str]) -> dict[str, Tensor]:
    """Find the state dict among what a file holds, and take off prefixes that all its names have."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a state dict (names → tensors)")
    for key in (*WRAPPERS, *EMA):
        inner = content.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            beside = [str(other) for other in content if other != key]
            if beside:
                notes.append(f"taken: {key}; left: {', '.join(beside)}")
            return _state_dict(path, inner, notes)
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise ValueError(f"{path} holds no tensors (its keys: {', '.join(map(str, list(content)[:8])) or 'none'})")
    # MMDetection's averaged copies lie beside the weights, under names with underscores for dots.
    copies = [name for name in state if name.startswith("ema_") and "." not in name]
    if copies and len(copies) < len(state):
        notes.append(f"left: {len(copies)} averaged copies of the weights (ema_…)")
        state = {name: value for name, value in state.items() if name not in copies}
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _class_names(content: Any) -> tuple[str, ...] | None:
    """Return the class names that files of MMDetection hold in their `meta`."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    places = (meta, meta.get("dataset_meta"))
    for place in places:
        for key in ("CLASSES", "classes"):
            names = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names):
                return tuple(names)
    return None
