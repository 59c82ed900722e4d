"""CenterNet: anchor-free object detection, and detection with identities, in one network.

The public names are loaded when they are first asked for, so that importing the package costs neither torch nor time:

    from centernet import CenterNet, Detections, Detector, build_centernet
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centernet.detections import Detections
    from centernet.images import Preprocessing
    from centernet.inference import Detector
    from centernet.models import CenterNet, build_centernet
    from centernet.tracking import Tracker

__all__ = ["CenterNet", "Detections", "Detector", "Preprocessing", "Tracker", "__version__", "build_centernet"]
__version__ = "0.1.0"

_HOMES = {
    "CenterNet": "centernet.models",
    "Detections": "centernet.detections",
    "Detector": "centernet.inference",
    "Preprocessing": "centernet.images",
    "Tracker": "centernet.tracking",
    "build_centernet": "centernet.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'centernet' has no attribute {name!r}; it offers {', '.join(__all__)}")
    try:
        value = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from centernet.extras import explain

        raise explain(error, f"centernet.{name}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
