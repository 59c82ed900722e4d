"""A package that isn't there is named with the command that brings it; the table of extras is pyproject.toml's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from centernet.extras import EXTRAS, explain, require

ROOT = Path(__file__).resolve().parents[1]


def listed() -> dict[str, set[str]]:
    """Extra → the packages that pyproject.toml lists in it (read by eye: tomllib came with Python 3.11)."""
    section = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.optional-dependencies]")[1]
    section = section.split("\n[")[0]
    found: dict[str, set[str]] = {}
    for name, body in re.findall(r"^([\w-]+) = \[((?:[^\]\"]|\"[^\"]*\")*)\]", section, re.MULTILINE):
        found[name] = {re.split(r"[\[><=;]", text)[0].replace("-", "_") for text in re.findall(r'"([^"]+)"', body)}
    return found


def test_every_package_is_in_the_extra_that_errors_name() -> None:
    extras = listed()
    assert {"train", "onnx", "export", "openvino", "video", "hub", "dev"} <= set(extras)
    for package, extra in EXTRAS.items():
        assert package in extras[extra], f"the extra {extra} does not bring {package}"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"^running ONNX needs .* onnxruntime: pip install 'centernet\[onnx\]'"):
        require("onnxruntime", "running ONNX")
    with pytest.raises(ImportError, match=r"pip install no_such_package$"):
        require("no_such_package.part", "x")
    assert require("json.decoder", "x").JSONDecoder


def test_a_fault_within_the_package_is_not_taken_for_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        require("centernet.nothing", "x")
    assert explain(caught.value) is caught.value


@pytest.mark.parametrize("code", ["from centernet import CenterNet", "from centernet import build_centernet"])
def test_the_public_names_that_need_torch_say_so(code: str) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); sys.modules['torch'] = None\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("needs the package torch: pip install 'centernet[train]'")


@pytest.mark.parametrize("given", [None, "0"])
def test_running_an_onnx_file_tells_no_address_of_it(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 1.32 on it does on Linux, unless a variable says otherwise before it is loaded."""
    pytest.importorskip("onnxruntime")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if given is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", given)
    program = (
        f"import sys, os; sys.path.insert(0, {str(ROOT / 'src')!r}); sys.modules['onnxruntime'] = os\n"
        "from centernet.extras import require\n"
        "require('onnxruntime', 'x'); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == f"{given or 1}\n", done.stderr


def test_opening_an_openvino_file_tells_no_address_of_it() -> None:
    """Its package looks up an address when it is imported."""
    pytest.importorskip("openvino")
    program = f"""
import sys; sys.path.insert(0, {str(ROOT / "src")!r})
import os, socket, threading
socket.getaddrinfo = lambda *address, **_: os.write(1, str(address).encode())  # in a child process, too
from centernet.extras import require
assert require("openvino", "x").Core
for thread in threading.enumerate():
    thread is threading.main_thread() or thread.join(2)
import openvino_telemetry
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr
