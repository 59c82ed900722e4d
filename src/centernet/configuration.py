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

from centernet.documents import DEPTH, NODES, DocumentError, check_yaml_text, read_yaml_text
from centernet.extras import require
from centernet.files import read_file

PACKAGED = Path(__file__).resolve().parent / "weights"
"""Folder of the models that come with the package, a folder each."""

LARGEST = 64 << 20
"""Bytes that a configuration may have."""

DEFAULT_MODEL = "coco-lite"
"""Name of the one that is taken where none is named."""

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
        content = read_yaml_text(read_file(path, most=LARGEST).decode("utf-8").removeprefix("\ufeff"))
    except ValueError as error:  # of the encoding, too
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a mapping with a `model` section")
    current: dict[str, Any] = with_current_names(content)
    return current


def plain(value: Any) -> Any:
    """Copy mappings to dicts and sequences to lists, all the way down, those of OmegaConf and jsonargparse too.

    Values that hold themselves, or one another again and again, are a DocumentError, as are too many and too deep ones.
    """
    return _plain(value, [NODES], DEPTH)


def _plain(value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        text = f"stands for more than {NODES:,} values" if depth >= 0 else f"is nested more than {DEPTH} deep"
        raise DocumentError(f"the configuration {text}, or holds itself")
    if hasattr(value, "as_dict"):  # jsonargparse's Namespace
        value = value.as_dict()
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key], left, depth - 1) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item, left, depth - 1) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {key: _plain(getattr(value, key), left, depth - 1) for key in value.__dataclass_fields__}
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
    node[last] = read_yaml_text(value)


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
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"allow_abbrev": False, **kwargs})

        def error(self, message: str, ex: Exception | None = None) -> Any:
            known = [action.dest for action in self._actions]
            return super().error(with_nearest_option(explain(message, parts), known), ex)

    load = jsonargparse.get_loader("yaml")

    def load_within_limits(text: str) -> Any:
        check_yaml_text(text)
        return with_current_names(load(text))

    jsonargparse.set_loader(MODE, load_within_limits, exceptions=(yaml.YAMLError, DocumentError))
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


_NOISE = re.compile(
    r"(Does not validate against any of the Union subtypes|Subtypes: |Errors:|Given value type: |"
    r"(- )?Expected a <class 'NoneType'>).*"
)
_WORDS = (
    (r"^- ", ""),
    (r"^Type collections\.abc\.Callable\[.*?\] expects a function or a callable class: ", ""),
    (r"\.? ?Got value: (?:Namespace|NestedArg|\{).*", ""),
    (r"\. Got value: ", ", got "),
    (r"Expected a <class '(?:\w+\.)*(\w+)'>", r"expected \1"),
    (r"Expected a typing\.Literal\[(.*?)\]", r"expected \1"),
    (r"Not of type Positive(?:Int|Float): does not conform to restriction v>0", "expected a number above 0"),
)


def in_one_sentence(message: str) -> str:
    """Return a message of jsonargparse's about a nested value as one sentence: the key, what was expected, what came.

    Other messages are returned as they are.
    """
    if not message.startswith('Parser key "'):
        return message
    keys, parts, value = [], [], ""
    for line in map(str.strip, message.splitlines()):
        line = line.removeprefix("- ")
        while part := re.match(
            r"(?:Parser key \"([^\"]+)\"(?: element \d+)?|Problem with given class_path '([^']+)'): *", line
        ):
            keys.append(part[1] or f"({part[2].rsplit('.', 1)[-1]})")
            line = line[part.end() :]
        if given := re.match(r"Given value: (.*)", line):
            value = given[1] if len(given[1]) < 60 and "Namespace(" not in line and "NestedArg(" not in line else value
        elif line and not _NOISE.fullmatch(line):
            for form, words in _WORDS:
                line = re.sub(form, words, line)
            parts.append(line)
    where = re.sub(r"\.\(", " (", ".".join(keys)).replace(").", "), ")
    expected = " or ".join(parts) if all(part.startswith("expected ") for part in parts) else "; ".join(parts)
    expected = expected.replace(" or expected ", " or ")
    return f"{where}: {expected}" + (f", got {value}" if value and ", got " not in expected else "")


def with_nearest_option(message: str, known: Iterable[str]) -> str:
    """Return a parser's message about an option that there is not, with the nearest that there is.

    Args:
        message: of argparse or jsonargparse.
        known: the parser's options.
    """
    if "Did you mean" in message:
        return message
    forms = r"unrecognized arguments:.*?--([\w.-]+)|Option '([\w.-]+)' is not accepted"
    if group := re.search(r"Group '([\w.]+)' does not accept option '([\w.-]+)'", message):
        name = f"{group[1]}.{group[2]}"
    elif option := re.search(forms, message):
        name = option[1] or option[2]
    else:
        return message
    options = [option.lstrip("-") for option in known]
    near = get_close_matches(name, options, n=1) or [option for option in options if option.startswith(name)][:1]
    near = near or [option for option in options if option.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:1]
    return f"{message}. Did you mean {near[0]}?" if near else message


def explain(message: str, parts: Mapping[str, Iterable[str]]) -> str:
    """Return a parser's message, with the choices and the nearest where it names an unknown class.

    Args:
        message: of jsonargparse.
        parts: kind → names of the classes there are, such as ``{"necks": ["FPN", "SimpleNeck"]}``.
    """
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    if not unknown:
        return in_one_sentence(message)
    name = unknown[1]
    near = get_close_matches(name, [part for names in parts.values() for part in names], n=1, cutoff=0.5)
    choices = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in parts.items())
    hint = f" Did you mean {near[0]}?" if near and near[0] != name else ""
    key = re.search(r'Parser key "([\w.]+)"', message)
    where = f"{key[1]}: " if key else ""
    return f"{where}{name} is no class that fits here.{hint} {choices}; or module.Class of your own"
