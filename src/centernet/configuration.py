"""The one door for configuration: YAML files and mappings, overrides, former class paths, parsers and their errors."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from centernet.extras import require

PACKAGED = Path(__file__).resolve().parent / "weights"
"""Folder of the models that come with the package, a folder each."""

MOVED = {
    "centernet.models.backbones.": "centernet.network.backbones.",
    "centernet.models.necks.": "centernet.network.necks.",
    "centernet.models.heads.": "centernet.network.heads.",
    "centernet.models.weighting.": "centernet.network.weighting.",
    "centernet.data.formats.dataset.": "centernet.data.combining.",
    "centernet.data.formats.synthetic_sequences.": "centernet.data.formats.synthetic.",
    "centernet.data.formats.helmet.": "centernet.data.formats.voc.",
}
"""Beginnings of class paths that earlier versions wrote into checkpoints, folders and YAML files → those of today."""

RENAMED = {"pictures": "log_images"}
"""Former names of sections → those of today."""

MODE = "centernet_yaml"
"""Name under which jsonargparse finds this module's YAML loader."""


def read_yaml(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a YAML file's mapping with the safe loader, former class paths replaced.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no YAML, or no mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"configuration {path} does not exist")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a mapping with a `model` section")
    current: dict[str, Any] = with_current_names(content)
    return current


def plain(value: Any) -> Any:
    """Copy mappings to dicts and sequences to lists, all the way down, those of OmegaConf and jsonargparse too."""
    if hasattr(value, "as_dict"):  # jsonargparse's Namespace
        value = value.as_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {key: plain(getattr(value, key)) for key in value.__dataclass_fields__}
    if isinstance(value, PathLike):
        return str(value)
    return copy.copy(value)


def with_current_names(content: Any) -> Any:
    """Copy a configuration with the class paths and section names of earlier versions replaced by those of today."""
    if isinstance(content, dict):
        content = {RENAMED.get(key, key): value for key, value in content.items()}
    return with_current_paths(content)


def with_current_paths(value: Any) -> Any:
    """Copy plain values with the class paths of earlier versions (`MOVED`) replaced by those of today."""
    if isinstance(value, dict):
        return {key: with_current_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_current_paths(item) for item in value]
    if isinstance(value, str) and value.startswith("centernet."):
        return next((new + value.removeprefix(old) for old, new in MOVED.items() if value.startswith(old)), value)
    return value


def override(content: dict[str, Any], text: str) -> None:
    """Replace a value in place by an entry `dotted.key=value`; the value is YAML.

    An entry that has another form, or leads through something that is no section, is a ValueError.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ValueError(f"override {text!r} is not of the form dotted.key=value")
    *path, last = key.strip().split(".")
    node: Any = content
    for i, name in enumerate(path):
        node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ValueError(f"override {text!r}: {'.'.join(path[: i + 1])} is no section")
    node[last] = yaml.safe_load(value)


def make_parser(parts: Mapping[str, Iterable[str]], *, exit_on_error: bool = False, **options: Any) -> Any:
    """Return a `jsonargparse.ArgumentParser` that reads YAML, and explains its errors.

    Args:
        parts: see `explain`.
        exit_on_error: end the process after an error, as a command does, instead of raising it.
        options: as of `jsonargparse.ArgumentParser`.

    Raises:
        ImportError: jsonargparse isn't installed.
    """
    jsonargparse = require("jsonargparse", "reading a configuration")

    class Parser(jsonargparse.ArgumentParser):  # type: ignore[misc, name-defined]
        def error(self, message: str, ex: Exception | None = None) -> Any:
            return super().error(explain(message, parts), ex)

    load = jsonargparse.get_loader("yaml")
    jsonargparse.set_loader(MODE, lambda text: with_current_names(load(text)), exceptions=(yaml.YAMLError,))
    return Parser(exit_on_error=exit_on_error, parser_mode=MODE, **options)


def instantiate(target: Any, key: str, section: Any, parts: Mapping[str, Iterable[str]], *, source: str) -> Any:
    """Parse a section as the arguments of a class. Returns the object, and the section with every value that was used.

    Args:
        target: the class.
        key: name of the section, for messages.
        section: its values.
        parts: see `explain`.
        source: begins the ValueError for a section that does not fit: the key that is wrong, and what was expected.
    """
    parser = make_parser(parts)
    parser.add_class_arguments(target, key)
    try:
        parsed = parser.parse_object({key: with_current_paths(plain(section))})
    except Exception as error:
        raise ValueError(f"{source}: {error}") from error
    return parser.instantiate(parsed)[key], plain(parsed[key])


def explain(message: str, parts: Mapping[str, Iterable[str]]) -> str:
    """Return a parser's message, with the choices and the nearest where it names an unknown class.

    Args:
        message: of jsonargparse.
        parts: kind → names of the classes there are, such as ``{"necks": ["FPN", "SimpleNeck"]}``.
    """
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    if not unknown:
        return message
    name = unknown[1]
    near = get_close_matches(name, [part for names in parts.values() for part in names], n=1, cutoff=0.5)
    choices = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in parts.items())
    hint = f" Did you mean {near[0]}?" if near and near[0] != name else ""
    key = re.search(r'Parser key "([\w.]+)"', message)
    where = f"{key[1]}: " if key else ""
    return f"{where}{name} is no class that fits here.{hint} {choices}; or module.Class of your own"
