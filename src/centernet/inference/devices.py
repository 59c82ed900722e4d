"""Names of devices, as torch, `yolo` and OpenVINO's users write them, and what is there where one is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

EXPECTED = "'cpu', 'cuda', 'cuda:1' or the number of a GPU, 'mps', or None for the default"


def device_name(device: Any) -> str | None:
    """Return a device in one form: "cuda:0" for 0, "0" and ``torch.device(0)``; None for None.

    Names that only a runtime knows ("GPU.1" of OpenVINO) are returned as they are.

    Raises:
        ValueError: several devices, or what is none.
    """
    if device is None:
        return None
    text = str(device).strip() if isinstance(device, (str, int)) or type(device).__name__ == "device" else ""
    if isinstance(device, bool) or not re.fullmatch(r"[A-Za-z_]+(?:[:.(][\w.:,()]*)?|[0-9]+", text):
        several = " (one device runs a model)" if isinstance(device, (list, tuple)) or "," in text else ""
        raise ValueError(f"device {device!r}: expected {EXPECTED}{several}")
    return f"cuda:{int(text)}" if text.isdecimal() else text


def missing_device(device: Any, there: Sequence[str], why: str = "") -> ValueError:
    """Return the error for a device that is not there, which lists those that are."""
    return ValueError(f"device {device!r}: {why or 'not on this machine'}; there {_are(there)}")


def torch_device(device: Any) -> torch.device:
    """Return torch's device of a name.

    Raises:
        ValueError: torch knows no such device, or this machine has none; the message lists those that there are.
    """
    import torch

    name, there = (device_name(device) or "cpu").lower(), torch_devices()
    try:
        found = torch.device(re.sub("^gpu(?=$|:)", "cuda", name))
    except RuntimeError as error:
        raise missing_device(device, there, "torch knows no such device") from error
    if found.type != "cpu" and not any(f"{known}:".startswith(f"{found}:") for known in there):
        raise missing_device(device, there, f"this torch ({torch.__version__}) finds no such device on this machine")
    return found


def torch_devices() -> list[str]:
    """Return the names of the devices on which torch can run here."""
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    number = torch.accelerator.device_count() if accelerator is not None else 0
    return ["cpu", *(f"{accelerator.type}:{i}" for i in range(number) if accelerator is not None)]


def _are(there: Sequence[str]) -> str:
    return f"is {there[0]} alone" if len(there) == 1 else f"are {', '.join(there)}"
