"""From the backbone's maps to the one map that the heads read."""

from centernet.models.necks.fpn import FPN
from centernet.models.necks.lite import LiteFPN
from centernet.models.necks.neck import Neck
from centernet.models.necks.simple import SimpleNeck

__all__ = ["FPN", "LiteFPN", "Neck", "SimpleNeck"]
