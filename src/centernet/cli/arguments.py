"""The parts that commands share: parser, types of values, and options read off the library's own signatures."""

from __future__ import annotations

import argparse
import inspect
import math
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from centernet.cli.corrections import answer
from centernet.configuration import with_nearest_option
from centernet.images.limits import VARIABLE

OptionType = Callable[[str], Any]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest option, and what an option of another program is called."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        answer(self, self.prog.rpartition(" ")[2], args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(with_nearest_option(message, self._option_string_actions))


def command_parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return the parser of `centernet NAME`; the epilog holds its examples and is shown as it stands."""
    return _Parser(
        prog=f"centernet {name}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def above_zero(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def fraction(text: str) -> float:
    """Read a number within 0..1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not within 0..1")
    return value


def score_thresholds(text: str) -> float | dict[str, float]:
    """Read a score, or scores by class with commas between them, `person=.3,traffic light=.5,other=.4`."""
    if "=" not in text:
        return fraction(text)
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    if wrong := [part for name, sign, part in pairs if not (name.strip() and sign)]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not CLASS=SCORE, such as person=.3")
    return {name.strip(): fraction(value) for name, _, value in pairs}


def name_list(text: str) -> list[str]:
    """Read names with commas between them, each once."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return list(dict.fromkeys(names))


def split_list(text: str) -> dict[str, str]:
    """Read names of splits with what each is, `train=first,val=second/list.json`."""
    parts = re.split(r",(?=\w+=)", text)
    pairs = [part.partition("=") for part in parts]
    wrong = [part for part, (split, sign, value) in zip(parts, pairs, strict=True) if not (split and sign and value)]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not NAME=WHAT, such as train=annotations/first.json")
    return {split.strip(): value.strip() for split, _, value in pairs}


def number_list(text: str) -> list[float]:
    """Read numbers above 0 with commas between them, `0.5,1,1.5`."""
    numbers = [float(part) for part in text.strip("[]").split(",")]
    if wrong := [number for number in numbers if not 0 < number < math.inf]:
        raise argparse.ArgumentTypeError(f"{wrong[0]:g} is no number above 0")
    return numbers


DATA_OPTIONS = ("format", "root", "images", "splits")


def add_data_options(parser: argparse._ActionsContainer, *, images: OptionType = Path) -> None:
    """Add the options that say how a folder or file of data is read; those given are read by `data_options`.

    Args:
        parser: of the command.
        images: the type of `--images`, where it has a former meaning too.
    """
    folders: dict[str, tuple[OptionType, str]] = {
        "root": (Path, "folder that paths in the files are relative to, as in YOLO's data.yaml"),
        "images": (images, "folder of the images; default: looked for near the annotations"),
    }
    parser.add_argument("--format", default=argparse.SUPPRESS, help="voc, coco, yolo, mot, …; default: found out")
    for name, (kind, text) in folders.items():
        parser.add_argument(f"--{name}", type=kind, metavar="DIR", default=argparse.SUPPRESS, help=text)
    parser.add_argument(
        "--splits", type=split_list, nargs="+", metavar="NAME=WHAT", default=argparse.SUPPRESS,
        help="the splits by name, each as a split, list, file or folder of the data: train=a.json val=b.json; "
        "default: all, named by what their files and folders are called",
    )  # fmt: skip


def data_options(given: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `add_data_options` that were given, as arguments of `find_format`."""
    found = {name: getattr(given, name) for name in DATA_OPTIONS if hasattr(given, name)}
    if "splits" in found:
        found["splits"] = {split: what for part in found["splits"] for split, what in part.items()}
    return {"name" if name == "format" else name: value for name, value in found.items()}


def choice_list(choices: Iterable[str]) -> OptionType:
    """Return a type for names out of `choices` with commas between them."""
    known = list(choices)

    def read(text: str) -> list[str]:
        names = name_list(text)
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
        return names

    return read


def size(text: str) -> tuple[int, int]:
    """Read `N` or `HEIGHTxWIDTH` as (height, width)."""
    height, _, width = text.lower().partition("x")
    return positive(height), positive(width or height)


def add_options(
    parser: argparse._ActionsContainer,
    target: Callable[..., Any],
    names: Iterable[str] | None = None,
    *,
    types: Mapping[str, OptionType] | None = None,
    help: Mapping[str, str] | None = None,
    defaults: bool = True,
) -> None:
    """Add an option for each parameter of a function or class, with the type, default and text that it states itself.

    Options that are not given are left out of the namespace, so that the callee's own defaults hold; read those that
    are with `given_options`.

    Args:
        parser: of the command, or a group of it.
        target: a function, a class or a dataclass with Google-style `Args:` or `Attributes:`.
        names: the parameters, in this order; None for all that may be given by keyword.
        types: readers of values for parameters whose annotation does not say enough.
        help: texts that differ from those of the docstring.
        defaults: False leaves the defaults out of the texts, where they depend on something else.
    """
    signature, texts = inspect.signature(target).parameters, parameter_texts(target)
    for name in signature if names is None else names:
        parameter = signature[name]
        text = (help or {}).get(name, texts.get(name, "")).replace("%", "%%").rstrip(".")
        settings = _settings(_annotation(target, parameter), (types or {}).get(name))
        default = parameter.default
        if defaults and default is not inspect.Parameter.empty and "default:" not in text:
            shown = "none" if default is None else str(default)
            text += f"; default: {shown}" if not (default is None and "None" in text) else ""
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, dest=name, default=argparse.SUPPRESS, help=text, **settings)


def add_max_pixels(parser: argparse._ActionsContainer) -> None:
    """Add --max-pixels, which holds for all images and videos of the command and of the processes that it starts."""
    text = "the most pixels of an image or of a frame that are decoded; default: 179 million, with --tile 500 million"
    parser.add_argument("--max-pixels", type=_pixels, action=_MaxPixels, metavar="N", help=text)


class _MaxPixels(argparse.Action):
    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        os.environ[VARIABLE] = str(values)


def _pixels(text: str) -> float:
    """Read a number of pixels, such as 250000000, 250e6 or 250M."""
    value = float(text[:-1]) * 1e6 if text[-1:] in ("M", "m") else float(text)
    if not value >= 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def add_trust(parser: argparse._ActionsContainer) -> None:
    """Add --trust."""
    text = (
        "run what the model file brings: modules of classes of its own, machine code (a compiled .pt2), operations of "
        "other libraries; only for files whose author you trust"
    )
    parser.add_argument("--trust", action="store_true", default=argparse.SUPPRESS, help=text)


def add_old_name(parser: argparse._ActionsContainer, option: str, **settings: Any) -> None:
    """Add a former name of an option, which is still understood but not shown."""
    parser.add_argument(option, help=argparse.SUPPRESS, default=argparse.SUPPRESS, **settings)


def given_options(given: argparse.Namespace, target: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of `target` that were given on the command line."""
    return {name: getattr(given, name) for name in inspect.signature(target).parameters if hasattr(given, name)}


def parameter_texts(target: Callable[..., Any]) -> dict[str, str]:
    """Return the text of each parameter in the `Args:` or `Attributes:` of a Google-style docstring."""
    section = re.search(r"^(?:Args|Attributes):\n((?:[ ].*\n?|\n)+)", f"{inspect.getdoc(target)}\n", re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n     +.*)*)", section[1], re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).strip() for names, text in entries for name in names.split(", ")}


def _annotation(target: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return the type of one parameter. Others of its signature may name types that exist for type checkers alone."""
    annotation = parameter.annotation
    return eval(annotation, vars(sys.modules[target.__module__])) if isinstance(annotation, str) else annotation


def _settings(annotation: Any, read: OptionType | None) -> dict[str, Any]:
    """Return what `add_argument` is to know of a type."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    kinds = [member for member in members if member is not type(None)]
    optional = len(kinds) < len(members)
    kind = kinds[0]
    if read is None and kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if read is None and get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if read is None and get_origin(kind) is tuple:
        return {"nargs": len(get_args(kind)), "type": get_args(kind)[0]}
    if read is None:
        read = name_list if get_origin(kind) in (list, Sequence) else kind
    metavar = {int: "N", float: "X", str: "TEXT", positive: "N", fraction: "X", name_list: "LIST", size: "SIZE"}
    metavar[number_list] = "X,X"
    metavar[score_thresholds] = "X|CLASS=X,…"
    return {"type": _or_none(read) if optional else read, "metavar": metavar.get(read, "VALUE")}


def _or_none(read: OptionType) -> OptionType:
    """Return a type that also takes the word none."""

    def read_or_none(text: str) -> Any:
        return None if text.lower() == "none" else read(text)

    read_or_none.__name__ = getattr(read, "__name__", "value")  # argparse names it in its errors
    return read_or_none
