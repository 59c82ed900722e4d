"""Files of a trained network for other runtimes; the decode is in each, and each says what it needs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from centernet.export.options import FORMATS, ExportOptions

if TYPE_CHECKING:
    from centernet.export.comparison import accuracy
    from centernet.export.exporting import export

__all__ = ["FORMATS", "ExportOptions", "accuracy", "export"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'centernet.export' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"centernet.export.{'exporting' if name == 'export' else 'comparison'}"), name)
