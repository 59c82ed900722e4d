"""The runtime of `Detector` for a CenterNet, as it is or from the file that training or `save_pretrained` wrote.

torch is imported when one is made, not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from centernet.extras import require
from centernet.inference.devices import torch_device

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class TorchRuntime:
    """Runs a CenterNet-like module.

    Args:
        model: a module with `preprocessing`, `class_names`, `normalize`, `forward` and `decode_detections` as
            `centernet.CenterNet` has them. Each call leaves its mode (training or evaluation) as it is.
        device: where to run; None for where the model is. One that is not there is a ValueError.
        threads: of the network; None for torch's setting.
    """

    def __init__(self, model: torch.nn.Module, *, device: str | None = None, threads: int | None = None) -> None:
        self._torch = require("torch", "running a PyTorch model")
        self.model: Any = model if device is None else model.to(torch_device(device))
        self.threads = threads

    # As of the `Runtime` protocol. The model may change them between calls.
    preprocessing = property(attrgetter("model.preprocessing"))
    class_names = property(lambda self: tuple(self.model.class_names or ()))
    columns = property(lambda self: tuple(getattr(self.model, "columns", ())))
    tracker = property(lambda self: dict(getattr(self.model, "tracker", None) or {}))
    num_detections = property(lambda self: getattr(self.model, "num_detections", None))
    calibration = property(lambda self: getattr(self.model, "calibration", None))

    def __call__(self, images: NDArray[np.uint8], num_detections: int) -> dict[str, NDArray[Any]]:
        """Detect objects in a batch, as a `Runtime` does."""
        torch, model = self._torch, self.model
        first = next(model.parameters(), None)
        device = torch.device("cpu") if first is None else first.device
        with torch.inference_mode(), _evaluation_mode(model), torch_threads(self.threads):
            batch = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)  # N×3×H×W, channels last in memory
            decoded = model.decode_detections(model(model.normalize(batch)), num_detections=num_detections)
        return to_numpy(decoded)


def to_numpy(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    """Return tensors as arrays; those of half precision become float32."""
    return {
        name: (value.float() if value.is_floating_point() else value).cpu().numpy() for name, value in tensors.items()
    }


def load_model(path: Path, *, device: str | None = None, threads: int | None = None) -> TorchRuntime:
    """Open a checkpoint, a folder that `save_pretrained` wrote, or a model of the package by its name.

    Other arguments as of `TorchRuntime`, but that without a device a GPU is used where there is one.
    """
    require("torch", f"the model {path.name}")
    from centernet.network import load_network

    place = str(torch_device(device or best_device()))  # a wrong name is told before the model is read
    return TorchRuntime(load_network(path), device=place, threads=threads)


def best_device() -> str:
    """Return "cuda" where torch has a GPU of NVIDIA or AMD, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Set torch's number of threads, a setting of the whole process, for a while."""
    import torch

    before = torch.get_num_threads()
    wanted = before if number is None else number
    if wanted != before:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        if wanted != before:
            torch.set_num_threads(before)


@contextmanager
def _evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Set evaluation mode for a while. Each part gets its own mode back: some are frozen while others train."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
