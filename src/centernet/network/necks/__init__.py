"""Necks: modules that make one map, or one a level, for the heads of the backbone's maps."""

from centernet.network.necks.fpn import FPN
from centernet.network.necks.ghost_pan import GhostPAN
from centernet.network.necks.lite import LiteFPN
from centernet.network.necks.neck import Neck
from centernet.network.necks.simple import SimpleNeck

__all__ = ["FPN", "GhostPAN", "LiteFPN", "Neck", "SimpleNeck"]
