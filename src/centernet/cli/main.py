"""`centernet COMMAND …`: finds the command's file, runs it, and turns errors into a line and an exit code."""

from __future__ import annotations

import difflib
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from centernet import ending
from centernet.cli.corrections import command_of
from centernet.cli.log import Lines, tell
from centernet.cli.progress import say
from centernet.cli.streams import usable_streams
from centernet.ending import NAMES
from centernet.extras import explain
from centernet.images.limits import VARIABLE

COMMANDS = {
    "fit": "train a model from a configuration",
    "finetune": "train a detector for your own images, starting from a trained one",
    "validate": "evaluate a checkpoint: COCO's figures on the validation or test images",
    "detect": "find objects in images, a folder or a video",
    "label": "make a data set of unlabelled images: boxes that one model or several find",
    "track": "follow objects through a video, a folder of frames or a camera's images",
    "evaluate": "compute the figures of detections that are in files: COCO, VOC, CrowdHuman, KITTI, tracks",
    "evaluate-tracking": "compare tracks with the truth: HOTA, MOTA, IDF1, of MOTChallenge and KITTI",
    "report": "a page on a model: how good it is and where it fails; of two, what sets them apart",
    "benchmark": "measure how fast models are on this machine, from JPEG files to boxes",
    "export": "write a trained model as ONNX, TorchScript, torch.export or OpenVINO, also in int8",
    "serve": "put a detector behind an address: images in, objects as JSON out",
    "models": "list the models that come with the package, and the terms of the weights of any model",
    "convert": "read a published network of another project, and write it as a model of ours",
    "check": "read a data set wholly, and name what is wrong with it",
    "convert-data": "write a data set in another format: coco, voc, yolo or mot",
    "demo": "train and run a small detector on generated scenes, in minutes, without data",
}
"""Name of each command → what it does."""

LIGHTNING = ("fit", "validate")  # share one file, `cli/fit.py`, which takes the command's name

OK, PROBLEM, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: what follows `centernet` on the command line; the process's own when None.

    Returns:
        0 when all went well, 1 for a problem in the data or files, 2 for wrong usage, 130 after Ctrl-C, 143 after
        SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):  # class and file names that a console has no letters for end no run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if argv is not None:
        return _ended(argv)
    with usable_streams() as lost:
        code = _ended(None)
        sys.stdout.flush()
        if lost.error is not None and code == OK:
            code = _say(f"not all of the output could be printed ({lost.error}); the files are written")
    return code


def _ended(argv: Sequence[str] | None) -> int:
    """Run a command; one that was told to stop does not end with 0, but a camera's after Ctrl-C."""
    try:
        with ending.ends_are_errors():
            code = _main(argv)
            told = ending.received()
    except KeyboardInterrupt:  # while it was ending
        return ending.exit_code()
    return ending.exit_code() if told not in (None, signal.SIGINT) and code != USAGE else code


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return OK if arguments else USAGE
    if arguments[0] == "--version":
        from centernet import __version__

        print(f"centernet {__version__}")
        return OK
    command, *rest = arguments
    if command not in COMMANDS and (theirs := command_of(command, rest)):
        command, rest = theirs
    if command not in COMMANDS:
        nearest = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        tell(f"error: unknown command {command!r}{hint} Expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return USAGE
    with _plain_messages(debug), _own_limit():
        return _run(command, rest, debug=debug)


def _run(command: str, arguments: list[str], *, debug: bool) -> int:
    try:
        if command in LIGHTNING:
            return int(import_module("centernet.cli.fit").main(arguments, command))
        return int(import_module(f"centernet.cli.{command.replace('-', '_')}").main(arguments))
    except SystemExit as stop:  # --help and wrong usage, from the parsers
        return stop.code if isinstance(stop.code, int) else OK if stop.code is None else _say(str(stop.code))
    except KeyboardInterrupt as stop:  # a run says how to go on
        return _interrupted(str(stop))
    except Exception as error:
        if ending.received() is not None:  # processes that had the same signal
            return _interrupted("")
        if debug:
            traceback.print_exc()
        return _say(_message(error, command))


def _interrupted(text: str) -> int:
    number = ending.received()
    by = "interrupted" if number in (None, signal.SIGINT) else f"ended by {ending.name_of(number)}"
    text = "" if text in NAMES else text
    print(f"\n{by}; {text or 'what was finished before is kept'}", file=sys.stderr)
    return ending.exit_code()


def _message(error: Exception, command: str) -> str:
    if isinstance(error, ModuleNotFoundError):  # of an extra that isn't installed
        return str(explain(error, f"centernet {command}"))
    if isinstance(error, (ValueError, OSError, ImportError, FloatingPointError)):  # data, files, missing packages
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}\nThis may be a fault of centernet: --debug shows where it happened"


def _say(message: str) -> int:
    tell("error: " + message.replace("\n", "\n  "), file=sys.stderr)  # a name cannot begin a line of ours
    return PROBLEM


def _help() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return f"""usage: centernet COMMAND [options]

Anchor-free object detection: train, evaluate, detect.

commands:
{lines}

options:
  -h, --help  this text; `centernet COMMAND --help` for a command's options and an example
  --version   the version
  --debug     with any command: show the traceback of an error

example:
  centernet detect photo.jpg --output found"""


@contextmanager
def _own_limit() -> Iterator[None]:
    """Forget, after the command, the limit of pixels that it set."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


@contextmanager
def _plain_messages(debug: bool) -> Iterator[None]:
    """The package's log as plain lines on standard output, and warnings as one line each, while a command runs."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        say(f"warning: {message!s}".replace("\n", "\n  "))

    log = logging.getLogger("centernet")
    handler = Lines("stdout")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.showwarning = show
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
