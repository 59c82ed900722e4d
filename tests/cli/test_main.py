"""The command line: what a person sees, and the exit codes that scripts see."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from centernet import __version__
from centernet.cli import main as main_module
from centernet.cli.main import COMMANDS, LIGHTNING, main

SOURCES = str(Path(main_module.__file__).parents[2])


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Sequence[str]], Any]], None]:
    """Put a function in the place of the file of `detect`."""

    def put(run: Callable[[Sequence[str]], Any]) -> None:
        module = types.ModuleType("centernet.cli.detect")
        module.main = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "centernet.cli.detect", module)

    return put


def fail(error: BaseException) -> Callable[[Sequence[str]], int]:
    def run(arguments: Sequence[str]) -> int:
        raise error

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_lists_the_commands_with_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS) and "example" in text


def test_without_a_command_the_help_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_an_unknown_command_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detekt"]) == 2
    assert "'detect'" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning and jsonargparse, while they load
        assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"centernet {name}" in text or (name in LIGHTNING and "--config" in text)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("photo.jpg: cut off"), "error: photo.jpg: cut off"),
        (FileNotFoundError("no such file: x"), "no such file"),
        (ImportError("needs the package y"), "needs the package y"),
        (FloatingPointError("the loss is nan"), "the loss is nan"),
        (KeyError("surprise"), "may be a fault of centernet"),
    ],
)
def test_errors_are_one_line_without_a_traceback(
    command: Any, capsys: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    command(fail(error))
    assert main(["detect"]) == 1
    text = capsys.readouterr().err
    assert says in text and "Traceback" not in text


def test_debug_shows_the_traceback(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(fail(ValueError("photo.jpg: cut off")))
    assert main(["detect", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_what_stops_a_command_has_its_exit_code(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command(fail(KeyboardInterrupt()))
    assert main(["detect"]) == 130
    assert "kept" in capsys.readouterr().err
    for code, expected in ((0, 0), (2, 2), (None, 0), ("a message", 1)):
        command(fail(SystemExit(code)))
        assert main(["detect"]) == expected


def test_warnings_and_the_log_are_plain_lines(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    def run(arguments: Sequence[str]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("mind the gap", stacklevel=1)
        logging.getLogger("centernet.somewhere").info("wrote x")
        return 0

    command(run)
    shown = warnings.showwarning
    for _ in range(2):
        assert main(["detect"]) == 0
        output = capsys.readouterr()
        assert output.out == "wrote x\n" and output.err == "warning: mind the gap\n"
    assert warnings.showwarning is shown


def test_help_is_quick_and_needs_no_torch() -> None:
    code = (
        "import sys, time; start = time.process_time(); from centernet.cli.main import main; main(['--help']);"
        "main(['detect', '--help']); seconds = time.process_time() - start;"
        "heavy = {'torch', 'lightning', 'onnxruntime'} & set(sys.modules); sys.exit(f'{seconds} s, {heavy}' if "
        "seconds > 1.5 or heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": SOURCES}, stdout=subprocess.DEVNULL)


def test_python_m_centernet_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "centernet", "--version"],
        env={"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"centernet {__version__}\n"


def test_a_reader_that_has_gone_gets_no_traceback() -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "centernet", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None and command.stderr is not None
    command.stdout.close()  # as `| head` does
    assert command.stderr.read() == b""
    command.stderr.close()
    assert command.wait() == 0, "the run goes on to its end"
