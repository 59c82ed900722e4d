"""The network: backbones, necks and heads, and the module that joins them. It knows torch, and never Lightning."""

from centernet.network.build import build_network
from centernet.network.network import Network
from centernet.network.weights import load_network, save_network

__all__ = ["Network", "build_network", "load_network", "save_network"]
