"""The models that a user holds, on top of the network, training, inference and export."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centernet.models.centernet import CenterNet, build_centernet

__all__ = ["CenterNet", "build_centernet"]


def __getattr__(name: str) -> Any:
    """Import the model when it is asked for: former class paths lead through here and need no Lightning."""
    if name not in __all__:
        raise AttributeError(f"module 'centernet.models' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module("centernet.models.centernet"), name)
