"""From the backbone's maps to the one map that the heads read."""

from centernet.network.necks.fpn import FPN
from centernet.network.necks.lite import LiteFPN
from centernet.network.necks.neck import Neck
from centernet.network.necks.simple import SimpleNeck

__all__ = ["FPN", "LiteFPN", "Neck", "SimpleNeck"]
