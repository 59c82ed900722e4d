"""Networks built from the `model` section of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from centernet.configuration import instantiate, override, plain, read_yaml
from centernet.detections import NUM_DETECTIONS
from centernet.network import backbones, heads, necks
from centernet.network.network import Network
from centernet.trust import Door, through

PARTS = {
    room.__name__.rsplit(".", 1)[1]: [name for name in room.__all__ if name not in ("Backbone", "Neck", "Head")]
    for room in (backbones, necks, heads)
}
"""Kind of a part → names of the classes of that kind in this package."""


def build_network(config: str | PathLike[str] | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Network:
    """Build the network of a configuration, in training mode, with the `model` section in its `hyper_parameters`.

    Arguments and errors are those of `centernet.build_centernet`.
    """
    if isinstance(config, (str, PathLike)):
        source, content = str(config), read_yaml(config)
    else:
        source, content = "the given configuration", plain(config)
    for entry in overrides:
        override(content, entry)
    if "model" not in content:
        raise ValueError(f"{source} has no `model` section (it has: {', '.join(map(str, content)) or 'nothing'})")
    return network_of_section(content["model"], source=source)


def network_of_section(section: Any, *, source: str = "the hyper-parameters", door: Door | None = None) -> Network:
    """Build the network of a `model` section; `source` begins the messages, and a door is that of a file's section."""
    network: Network
    if door is not None:
        door.check_all(plain(section), "model")
    with through(door):
        network, used = instantiate(Network, "model", section, PARTS, source=source)
    network.hyper_parameters = used
    return network


def trained_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `model` section of a trained model as what it is now: `without_start`, and with `num_detections`.

    Models from before there was that setting were evaluated with `NUM_DETECTIONS`.
    """
    content = without_start(section)
    return {**content, "num_detections": content.get("num_detections") or NUM_DETECTIONS}


def without_start(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain copy of a `model` section without the weights that its backbone began with."""
    content: dict[str, Any] = plain(section)
    backbone = content.get("backbone")
    init_args = backbone.get("init_args") if isinstance(backbone, dict) else None
    if isinstance(init_args, dict):
        for key in ("pretrained", "weights"):
            init_args.pop(key, None)
    return content
