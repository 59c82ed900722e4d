"""Networks of other projects, read from their own files: recognise, map, describe. The zoo's table needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from centernet.foreign.converting import Converted as Converted, open_foreign as open_foreign


def __getattr__(name: str) -> Any:
    if name not in ("Converted", "open_foreign"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from centernet.foreign import converting

    return getattr(converting, name)
