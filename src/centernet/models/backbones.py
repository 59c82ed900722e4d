"""The former address of `centernet.network.backbones`, which old class paths and scripts name."""

from centernet.network.backbones import *  # noqa: F403
from centernet.network.backbones import __all__ as __all__
