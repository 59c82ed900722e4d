"""The former address of `centernet.network.heads`, which old class paths and scripts name."""

from centernet.network.heads import *  # noqa: F403
from centernet.network.heads import __all__ as __all__
