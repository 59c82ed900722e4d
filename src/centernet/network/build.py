"""From a YAML file, or a mapping, to a CenterNet: the `model:` section of the file that `train.py` reads."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonargparse import ArgumentParser, Namespace

import centernet.network.backbones
import centernet.network.heads
import centernet.network.necks

if TYPE_CHECKING:
    from centernet.models import CenterNet


def build_centernet(config: str | PathLike[str] | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> CenterNet:
    """A model from its configuration.

    Args:
        config: path of a YAML file, or a mapping (a dict, an OmegaConf node …), with a `model` section; other sections
            are left alone.
        overrides: `dotted.key=value` entries that replace values, such as `model.num_classes=3`; values are YAML.

    Returns:
        The model, in training mode, with the configuration in its hyper-parameters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the key that is wrong, and what was expected.
    """
    if isinstance(config, (str, PathLike)):
        source, content = str(config), read_yaml(config)
    else:
        source, content = "the given configuration", _plain(config)
    for override in overrides:
        _override(content, override)
    if "model" not in content:
        raise ValueError(f"{source} has no `model` section (it has: {', '.join(map(str, content)) or 'nothing'})")
    return _build(content["model"], source=source)


def build_from_hyper_parameters(hyper_parameters: Mapping[str, Any]) -> CenterNet:
    """A model as a checkpoint describes it; pretrained weights are not fetched, as the checkpoint's follow."""
    return _build(without_start(hyper_parameters), source="the checkpoint's hyper-parameters")


def without_start(hyper_parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The plain `model` section without the weights that its backbone began with: a hub's, or a file of somebody's."""
    section: dict[str, Any] = _plain(hyper_parameters)
    init_args = section["backbone"].get("init_args", {}) if isinstance(section.get("backbone"), dict) else {}
    for key in ("pretrained", "weights"):
        init_args.pop(key, None)
    return section


def read_yaml(path: str | PathLike[str]) -> dict[str, Any]:
    """A YAML file's mapping, by the safe loader."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"configuration {path} does not exist")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a mapping with a `model` section")
    return content


def hyper_parameters(section: Namespace | Mapping[str, Any]) -> dict[str, Any]:
    """A parsed `model` section as plain values, for a checkpoint."""
    plain = section.as_dict() if isinstance(section, Namespace) else section
    result: dict[str, Any] = _plain(plain)
    return result


def _build(section: Any, *, source: str) -> CenterNet:
    from centernet.models import CenterNet

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(CenterNet, "model")
    try:
        parsed = parser.parse_object({"model": section})
    except Exception as error:
        raise ValueError(f"{source}: {explain(str(error))}") from error
    model: CenterNet = parser.instantiate(parsed).model
    model.save_hyperparameters(hyper_parameters(parsed.model))
    return model


def explain(message: str) -> str:
    """A parser's message, with the choices and the nearest where it names an unknown part."""
    parts = {
        name: room.__name__.rsplit(".", 1)[1]
        for room in (centernet.network.backbones, centernet.network.necks, centernet.network.heads)
        for name in room.__all__
        if name not in ("Backbone", "Neck", "Head")
    }
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    if not unknown:
        return message
    name = unknown[1]
    near = get_close_matches(name, parts, n=1, cutoff=0.5)
    rooms: dict[str, list[str]] = {}
    for part, room in parts.items():
        rooms.setdefault(room, []).append(part)
    choices = "; ".join(f"{room}: {', '.join(names)}" for room, names in rooms.items())
    hint = f" Did you mean {near[0]}?" if near and near[0] != name else ""
    key = re.search(r'Parser key "([\w.]+)"', message)
    where = f"{key[1]}: " if key else ""
    return f"{where}{name} is no class that fits here.{hint} {choices}; or module.Class of your own"


def _override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise ValueError(f"override {override!r} is not of the form dotted.key=value")
    *path, last = key.strip().split(".")
    node: Any = content
    for i, name in enumerate(path):
        node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ValueError(f"override {override!r}: {'.'.join(path[: i + 1])} is no section")
    node[last] = yaml.safe_load(value)


def _plain(value: Any) -> Any:
    """Mappings to dicts, sequences to lists, all the way down; what OmegaConf and jsonargparse give included."""
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {key: _plain(getattr(value, key)) for key in value.__dataclass_fields__}
    if isinstance(value, PathLike):
        return str(value)
    return copy.copy(value)
