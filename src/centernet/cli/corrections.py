"""Answers to other programs' words: what each is called here, and the whole command to paste."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from centernet.cli.synonyms import (
    ALWAYS,
    CLASSES,
    COCO,
    COMMANDS,
    FINETUNE,
    FIT,
    MODEL_SIZE,
    MODES,
    PROGRAMS,
    TABLES,
    TASKS,
    WITHOUT,
    Ours,
    Table,
    no,
    so,
)

CALLED = "called:"
"""Begins the argument that says what a command was called."""
COMMAND = Ours("")
"""Stands for what a command was called."""
CONFIG = {"-c", "--config"}
DATA = ("data", "dataset", "dataset_dir", "data_path", "data_dir")
UNKNOWN = "there is no option of this name: see --help"
_FALSE = ("false", "no", "off", "0", "none")
_TRUE = ("true", "yes", "on", "1")
_NUMBERS = re.compile(r"[\[(]?\d+([,x ]+\d+)*[\])]?,?")


def _sides(values: Sequence[str]) -> list[str]:
    found = re.findall(r"\d+", " ".join(values)) or ["512"]
    return [found[0], found[-1]]


def _devices(values: Sequence[str]) -> list[str]:
    numbers = re.findall(r"\d+", " ".join(values))
    if numbers:
        return ["--trainer.accelerator", "gpu", "--trainer.devices", f"[{', '.join(numbers)}]"]
    name = values[0].partition(":")[0]
    return ["--trainer.accelerator", {"cuda": "gpu", "": "auto"}.get(name, name)]


def _preset(values: Sequence[str]) -> list[str]:
    name = Path(values[0]).stem.lower().replace("-", "").replace("_", "")
    return [name if name in ("sort", "bytetrack", "fairmot") else "default"]


def _class_names(values: Sequence[str]) -> list[str]:
    numbers = [int(number) for number in re.findall(r"\d+", " ".join(values))]
    return [",".join(COCO[number] if number < len(COCO) else str(number) for number in numbers)]


FORMS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "": list,
    "size": lambda values: [f"[{', '.join(_sides(values))}]"],
    "sides": _sides,
    "size_text": lambda values: ["x".join(dict.fromkeys(_sides(values)))],
    "devices": _devices,
    "preset": _preset,
    "names": _class_names,
    "seconds": lambda values: [f"{float(values[0]) / 30:.3g}"],
    "optimizer": lambda values: [values[0] if "." in values[0] else f"torch.optim.{values[0]}"],
    "cache": lambda values: [{"disk": "disk", "false": "none"}.get(values[0].lower(), "memory")],
}
"""Form → the words that the values of a word become."""


class _Word(NamedTuple):
    """One of theirs among the arguments."""

    shown: str
    name: str
    ours: Ours
    values: list[str]
    is_on: bool = True

    @property
    def words(self) -> list[str] | None:
        """Our words, or None where there are none."""
        template = self.ours.words if self.is_on else self.ours.off
        if template is None:
            return None
        found: list[str] = []
        for part in template.split():
            form = re.fullmatch(r"\{(\w*)\}", part)
            found += FORMS[form[1]](self.values) if form and form[1] in FORMS else [part]
        return found


def answer(parser: argparse.ArgumentParser, command: str, arguments: Sequence[str]) -> None:
    """End the process with code 2, and the command as it is here, where arguments are another program's."""
    text = _answer(parser, command, list(arguments))
    if text:
        print(text, file=sys.stderr)
        raise SystemExit(2)


def command_of(word: str, arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return our command, and its arguments, for one of another program; None where it is none."""
    rest, said = list(arguments), word
    if word in PROGRAMS:
        while rest and (rest[0] in TASKS and len(rest) > 1 and rest[1] in MODES):
            rest.pop(0)
        if not rest or rest[0] not in MODES:
            return None
        said = rest.pop(0)
    ours = COMMANDS.get(said, said if word in PROGRAMS else None)
    if said in ("train", "fit") and ours:
        ours = "fit" if {"--config", "-c"} & {text.partition("=")[0] for text in rest} else "finetune"
    return None if ours is None else (ours, [f"{CALLED}{word}" + f" {said}" * (word in PROGRAMS), *rest])


def _answer(parser: argparse.ArgumentParser, command: str, arguments: list[str]) -> str:
    positions, kept, theirs = [], [], []
    for part in _parts(command, parser._option_string_actions, arguments):
        if isinstance(part, _Word):
            theirs.append(part)
        elif part[0].startswith("-"):
            kept.append(part)
        else:
            positions += part
    if not any(word.ours.why != UNKNOWN for word in theirs):
        return ""
    given = {option[0].partition("=")[0] for option in kept}
    if command == "fit" and not given & CONFIG and ("--data" in given or any(word.name in DATA for word in theirs)):
        from centernet.cli import finetune  # which trains on data without a configuration

        return str(finetune.main([f"{CALLED}fit", *arguments]))
    later = [word for word in theirs if command == "finetune" and _is_for_fit(word)]
    now = [word for word in theirs if word not in later]
    positions = [value for word in now if word.ours.words == "{}" for value in word.values] + positions
    required = [action for action in parser._actions if not action.option_strings and action.nargs in (None, "+")]
    positions += [str(action.metavar or action.dest).upper() for action in required[len(positions) :]]
    merged = _merged(kept, [word for word in now if word.ours.words != "{}"], positions)
    if command in ("fit", "validate") and not given & CONFIG:
        merged["--config"] = [_config_of(merged.get("--ckpt_path", []))]
    options = [text for option, values in merged.items() for text in ([option, *values] if option else values)]
    line = shlex.join(["centernet", command, *positions, *options])
    if any(word.words for word in later):
        folder = merged.get("--output", ["runs/finetune"])[0]
        further = ["centernet", "fit", "--config", f"{folder}/finetune.yaml", "--output", folder]
        line += " --dry-run && " + shlex.join(further + [text for word in later for text in word.words or ()])
    width = max(len(word.shown) for word in theirs)
    lines = [f"  {word.shown:<{width}}  {_explained(word, command, merged)}" for word in theirs]
    return "\n".join([f"error: centernet {command} calls these otherwise", *lines, "the whole command:", f"  {line}"])


def _is_for_fit(word: _Word) -> bool:
    """Return True for what `finetune` leaves to its configuration, and `fit` has an option for."""
    return word.name not in FINETUNE and word.ours is FIT.get(word.name)


def _config_of(checkpoint: Sequence[str]) -> str:
    """Return the configuration that stands beside the run of a checkpoint, or what such a file is called."""
    for path in checkpoint:
        beside = Path(path).parent.parent / "config.yaml"
        if beside.is_file():
            return str(beside)
    return "config.yaml"


def _explained(word: _Word, command: str, merged: Mapping[str, list[str]]) -> str:
    words, why = word.words, word.ours.why
    if word.ours is COMMAND:
        return f"centernet {command}"
    if words is None:
        return f"no counterpart: {why}"
    if not words:
        return f"nothing to write: {why}"
    if words[0] in ("--output", "--format"):  # one word for all of them
        words = [words[0], *merged.get(words[0], words[1:])]
    return shlex.join(words) + f"  ({why})" * bool(why)


def _parts(command: str, options: Mapping[str, argparse.Action], arguments: list[str]) -> Iterator[_Word | list[str]]:
    """Yield the arguments: an option with its values, a position, or a word of theirs."""
    table = TABLES.get(command, {})
    rest = list(arguments)
    while rest:
        text = rest.pop(0)
        if text.startswith(CALLED):
            yield _Word(text.removeprefix(CALLED), "", COMMAND, [])
            continue
        match = re.fullmatch(r"(-{0,2})([A-Za-z][\w.-]*)(?:=(.*))?", text, re.DOTALL)
        option = text.partition("=")[0]
        if option in options and text.startswith("-"):
            values = [] if "=" in text else _values_of(options[option], rest)
            numbers = [*values, *rest[: _number_of_values(rest)]]
            if option == "--classes" and command in ("detect", "track") and len(numbers) > 1 and _all_numbers(numbers):
                del rest[: len(numbers) - len(values)]
                yield _Word(f"{text} {' '.join(numbers)}", "classes", CLASSES, numbers)
            else:
                yield [text, *values]
        elif not match or (not match[1] and (Path(text).exists() or not _may_be_theirs(match, table))):
            yield [text]
        else:
            word = _word(table, options, text, match, rest, command)
            yield [text] if word is None else word


def _may_be_theirs(match: re.Match[str], table: Table) -> bool:
    """Return True for a word without dashes that has a value, or is a switch of theirs: `save_txt`."""
    ours = table.get(match[2])
    return match[3] is not None or (ours is not None and not ours.valued)


def _word(
    table: Table, options: Mapping[str, argparse.Action], text: str, match: re.Match[str], rest: list[str], command: str
) -> _Word | None:
    """Return a word of theirs, with its values taken out of the rest; None where it is none."""
    name, given = match[2].replace("-", "_").lower(), match[3]
    ours = table.get(name)
    if ours is None and command == "finetune" and not {f"--{match[2]}", f"--{name.replace('_', '-')}"} & options.keys():
        ours = FIT.get(name)
    if ours is None and not match[1]:  # ours, but for the dashes
        option = next((o for o in (f"--{match[2]}", f"--{name.replace('_', '-')}") if o in options), None)
        if option is None:
            return _Word(text, name, no(UNKNOWN), [given]) if name.isidentifier() else None
        if option == "--classes" and command in ("detect", "track") and _all_numbers([given]):
            return _Word(text, name, CLASSES, [given])
        is_switch = options[option].nargs == 0
        ours = Ours(option if is_switch else f"{option} {{}}", valued=not is_switch)
    if ours is None:
        return _Word(text, name, no(UNKNOWN), []) if match[1] == "--" else None
    if given is None:
        number = 0
        if ours.valued:
            sized = any(form in (ours.words or "") for form in ("size", "sides", "devices")) or ours.why == MODEL_SIZE
            positional = next((i for i, v in enumerate(rest) if v.startswith("-") or "=" in v), len(rest))
            number = positional if ours.words == "{}" else max(_number_of_values(rest) * sized, min(1, positional))
        elif rest and rest[0].lower() in (*_TRUE[:3], *_FALSE[:3]):
            number = 1
        values, rest[:number] = rest[:number], []
        shown = " ".join([text, *values])
    else:
        values, shown = [given], text
    first = values[0].lower() if values else ""
    if not ours.valued:
        return _Word(shown, name, ours, values, first not in _FALSE)
    if ours.words is not None and "{}" in ours.words and first in (*_TRUE[:3], *_FALSE[:3]):
        ours = so(ALWAYS) if first in _TRUE else no(WITHOUT)
    return _Word(shown, name, ours, values) if values else None


def _values_of(action: argparse.Action, rest: list[str]) -> list[str]:
    """Take the values of an option of ours."""
    free = next((i for i, value in enumerate(rest) if re.match(r"-[^\d.]", value)), len(rest))
    if isinstance(action.nargs, int):
        number = action.nargs
    elif action.nargs == "?":
        number = int(bool(rest) and rest[0].isdecimal())
    else:
        number = free if action.nargs in ("*", "+") else 1
    values, rest[:number] = rest[:number], []
    return values


def _number_of_values(rest: Sequence[str]) -> int:
    return next((i for i, value in enumerate(rest) if not _NUMBERS.fullmatch(value)), len(rest))


def _all_numbers(values: Sequence[str]) -> bool:
    return bool(values) and all(_NUMBERS.fullmatch(value) for value in values)


def _merged(kept: Sequence[list[str]], words: Sequence[_Word], positions: Sequence[str]) -> dict[str, list[str]]:
    """Return options with their values: folders inside one another become one, and formats a list.

    Values of the option "" are what stands alone.
    """
    from centernet.inference.moving import is_video  # heavy

    drawn = "video" if any(is_video(name) for name in positions) else "images"
    order = {"project": 0, "name": 1}
    ours = [word.words or [] for word in sorted(words, key=lambda word: order.get(word.name, 2))]
    undrawn = any(word.name == "nosave" or (word.name == "save" and not word.is_on) for word in words)
    merged: dict[str, list[str]] = {}
    for option in filter(None, [*kept, *ours]):
        if option[0] in ("--output", "--format") and option[1:]:
            merged.setdefault(option[0], []).extend(option[1:])
        elif option[0] in merged or "=" in option[0] or (len(option) > 2 and option[2].startswith("--")):
            merged.setdefault("", []).extend(option)
        else:
            merged[option[0]] = option[1:]
    if "--output" in merged:
        merged["--output"] = ["/".join(merged["--output"])]
    if "--format" in merged:
        names = [name for text in merged["--format"] for name in text.replace("{drawn}", drawn).split(",")]
        if undrawn and len(set(names)) > 1:
            names = [name for name in names if name not in (drawn, "json")] or ["json"]
        merged["--format"] = [",".join(dict.fromkeys(names))]
    return merged
