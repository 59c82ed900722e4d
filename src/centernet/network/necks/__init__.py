"""Necks: modules that make one map, or one a level, for the heads of the backbone's maps."""

from centernet.network.necks.bifpn import BiFPN
from centernet.network.necks.direct import Direct
from centernet.network.necks.dla_up import DLAUp
from centernet.network.necks.fpn import FPN
from centernet.network.necks.ghost_pan import GhostPAN
from centernet.network.necks.lite import LiteFPN
from centernet.network.necks.neck import Neck
from centernet.network.necks.shortcut import ShortcutNeck
from centernet.network.necks.simple import SimpleNeck
from centernet.network.necks.tapered_fpn import TaperedFPN

__all__ = ["FPN", "BiFPN", "DLAUp", "Direct", "GhostPAN", "LiteFPN", "Neck", "ShortcutNeck", "SimpleNeck", "TaperedFPN"]
