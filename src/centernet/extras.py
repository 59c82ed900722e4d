"""Optional packages: the extras that bring them, and the one error where a package is missing.

`pip install centernet` brings what tracking and evaluating need; each extra adds a purpose: ``train`` torch and all
around it, ``onnx`` the runtime of exported files, and so on, as in pyproject.toml.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "lightning": "train",
    "jsonargparse": "train",
    "matplotlib": "train",
    "rich": "train",
    "safetensors": "train",
    "onnxruntime": "onnx",
    "onnx": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "ai_edge_litert": "litert",
    "litert_torch": "litert-export",
    "coremltools": "coreml",
    "ncnn": "ncnn",
    "pnnx": "ncnn-export",
    "executorch": "executorch",
    "av": "video",
    "rasterio": "large",
    "pi_heif": "heif",
    "huggingface_hub": "hub",
    "litserve": "serve",
    "prometheus_client": "serve",
    "ray": "ray",
    "pyarrow": "ray",
    "fsspec": "shards",
    "timm": "timm",
    "albumentations": "albumentations",
    "datumaro": "datumaro",
}
"""Name of an optional package → the extra that brings it."""
_REPORTING = {"openvino": "openvino_telemetry"}
"""Name of an optional package → what of it tells an address that it was imported, and which it goes without."""
_QUIET = {"onnxruntime": ("ORT_DISABLE_TELEMETRY", "1"), "ray": ("RAY_USAGE_STATS_ENABLED", "0")}
"""Name of an optional package → the variable by which it reports its use to no address, where nobody has set it."""


def require(name: str, purpose: str) -> Any:
    """Import an optional package or one of its modules, as ``torchvision.transforms.v2``.

    Raises:
        ImportError: it isn't installed; the message names the `purpose` ("running an ONNX file") and the command that
            installs it.
    """
    try:
        with _silent(name):
            return import_module(name)
    except ModuleNotFoundError as error:
        raise explain(error, purpose) from error


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Import a package so that it reports its use to no address."""
    package = name.partition(".")[0]
    if package in _QUIET:
        os.environ.setdefault(*_QUIET[package])  # read once, when the package is loaded
    part = _REPORTING.get(package)
    if part is None or part in sys.modules:
        yield
        return
    sys.modules[part] = None  # type: ignore[assignment]  # what cannot be imported; the package has a stand-in for it
    try:
        yield
    finally:
        del sys.modules[part]


def explain(error: ModuleNotFoundError, purpose: str = "this") -> ImportError:
    """Return an error that names the command which installs a missing package; `error` itself for a module of ours."""
    package = (error.name or "").partition(".")[0]
    if not package or package == "centernet":
        return error
    wanted = f"'centernet[{EXTRAS[package]}]'" if package in EXTRAS else package
    return ImportError(f"{purpose} needs the package {package}: pip install {wanted}", name=package)
