"""The former address of `centernet.network.necks`, which old class paths and scripts name."""

from centernet.network.necks import *  # noqa: F403
from centernet.network.necks import __all__ as __all__
