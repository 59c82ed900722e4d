"""The runtime of `Detector` for a CenterNet, as it is or from the file that training or `save_pretrained` wrote.

torch is imported when one is made, not before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from centernet.extras import require
from centernet.inference.devices import torch_device
from centernet.trust import Trust

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class TorchRuntime:
    """Runs a CenterNet-like module.

    Args:
        model: a module with `preprocessing`, `class_names`, `normalize`, `forward` and `decode_detections` as
            `centernet.CenterNet` has them. Its mode (training or evaluation) does not matter and is not touched.
        device: where to run; None for where the model is. One that is not there is a ValueError.
        threads: of the network; None for torch's setting.
        path: of the file that the model is from, by which it is opened again in another process.
        trust: with which it was opened.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        device: str | None = None,
        threads: int | None = None,
        path: Path | None = None,
        trust: Trust = False,
    ) -> None:
        self._torch = require("torch", "running a PyTorch model")
        self.model: Any = model if device is None else model.to(torch_device(device))
        self.device, self.threads, self.path, self.trust = device, threads, path, trust
        self.flip = False  # average with the maps of the mirror image

    def __reduce__(self) -> tuple[Any, ...]:
        options: dict[str, Any] = {"device": self.device, "threads": self.threads, "trust": self.trust}
        if self.path is None:
            return partial(TorchRuntime, **options), (self.model,)
        return partial(load_model, **options), (self.path.absolute() if self.path.exists() else self.path,)

    # As of the `Runtime` protocol. The model may change them between calls.
    preprocessing = property(attrgetter("model.preprocessing"))
    class_names = property(lambda self: tuple(self.model.class_names or ()))
    columns = property(lambda self: tuple(getattr(self.model, "columns", ())))
    tracker = property(lambda self: dict(getattr(self.model, "tracker", None) or {}))
    num_detections = property(lambda self: getattr(self.model, "num_detections", None))
    calibration = property(lambda self: getattr(self.model, "calibration", None))
    lineage = property(lambda self: getattr(self.model, "lineage", None))

    takes_labels = property(lambda self: bool(getattr(self.model, "takes_labels", False)))

    def __call__(
        self, images: NDArray[np.uint8], num_detections: int, *, labels: Sequence[int] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Detect objects in a batch, as a `Runtime` does."""
        torch = self._torch
        model: Any = evaluating(self.model)
        first = next(model.parameters(), None)
        device = torch.device("cpu") if first is None else first.device
        options = {} if labels is None else {"labels": labels}
        with torch.inference_mode(), torch_threads(self.threads):
            batch = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)  # N×3×H×W, channels last in memory
            normalized = model.normalize(batch)
            encoded = model.with_mirror(normalized) if self.flip else model(normalized)
            decoded = model.decode_detections(encoded, num_detections=num_detections, **options)
        return to_numpy(decoded)


def to_numpy(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[Any]]:
    """Return tensors as arrays; those of half precision become float32."""
    return {
        name: (value.float() if value.is_floating_point() else value).cpu().numpy() for name, value in tensors.items()
    }


def load_model(
    model: str | PathLike[str], *, device: str | None = None, threads: int | None = None, trust: Trust = False
) -> TorchRuntime:
    """Open a checkpoint, a folder that `save_pretrained` wrote, or a model of the package or the Hub by its name.

    Other arguments as of `TorchRuntime` and `load_network`, but that without a device a GPU is used where there is one.
    """
    path = Path(model)
    require("torch", f"the model {path.name}")
    from centernet.network import load_network

    place = str(torch_device(device or best_device()))  # a wrong name is told before the model is read
    network = load_network(model, trust=trust)
    return TorchRuntime(network, device=place, threads=threads, path=path, trust=trust)


def best_device() -> str:
    """Return "cuda" where torch has a GPU of NVIDIA or AMD, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class _Threads:
    """The calls that run with a number of threads of their own, and the number to go back to after the last."""

    lock, running, before = threading.Lock(), 0, 1


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Set torch's number of threads for a while.

    It is a setting of the process, which new threads take over: where several calls overlap, each goes back to the
    number from before the first of them, not to that of another call.
    """
    import torch

    if number is None:
        yield
        return
    with _Threads.lock:
        if not _Threads.running:
            _Threads.before = torch.get_num_threads()
        _Threads.running += 1
        if torch.get_num_threads() != number:
            torch.set_num_threads(number)
    try:
        yield
    finally:
        with _Threads.lock:
            _Threads.running -= 1
            if torch.get_num_threads() != _Threads.before:
                torch.set_num_threads(_Threads.before)


def evaluating(model: torch.nn.Module) -> torch.nn.Module:
    """Return a model in evaluation mode that shares all tensors and settings with `model`, whose mode stays.

    It is made for each call, which takes less time than to switch modes: so it is as the model is now, and threads that
    call, or train, at the same time do not change the mode for one another.
    """
    views: dict[torch.nn.Module, torch.nn.Module] = {}

    def view(module: torch.nn.Module) -> torch.nn.Module:
        if module not in views:
            twin = views[module] = module.__class__.__new__(module.__class__)
            children = {name: child if child is None else view(child) for name, child in module._modules.items()}
            twin.__dict__.update(module.__dict__, training=False, _modules=children)
            if module.training:  # what `compile` made runs the module itself
                twin.__dict__["_compiled_call_impl"] = None
        return views[module]

    return view(model)
