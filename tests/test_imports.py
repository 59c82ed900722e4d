"""The rules of who may import whom, read from the sources, and what importing costs, measured in fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "centernet"

# A room is a module or folder directly under the package. The rooms of one set may import one another.
LEVELS: list[list[set[str]]] = [
    [{"boxes", "images", "detections", "extras"}],
    [{"ops"}, {"data"}, {"evaluation"}, {"tracking"}, {"inference"}],
    [{"models"}],
    [{"training"}, {"export"}, {"checkpoints"}],
    [{"cli"}],
]
ABOVE_ALL = {"__init__", "__main__", "testing"}  # may import any room
# CenterNet's to_onnx and to_torchscript hand the model up, inside the methods: importing models imports no export.
HANDED_UP = {("models/centernet.py", "export")}
WITHOUT_TORCH = ("boxes", "images", "detections", "extras", "inference", "tracking", "evaluation")
TORCH_RUNTIMES = {"centernet.inference.torch_runtime"}  # runs models that are torch's


def level(room: str) -> int:
    for number, rooms in enumerate(LEVELS, start=1):
        if any(room in group for group in rooms):
            return number
    pytest.fail(f"the room centernet.{room} has no level; give it one in {__file__}")


def may_import(importer: str, imported: str) -> bool:
    """Whether a module of the room `importer` may import from the room `imported`."""
    if importer in ABOVE_ALL:
        return True
    if imported in ABOVE_ALL:
        return False
    if any({importer, imported} <= group for rooms in LEVELS for group in rooms):
        return True
    return level(imported) < level(importer)


def imported_rooms(path: Path) -> list[tuple[int, str]]:
    """(line, room) of each import from the package in a file, those inside functions and `if TYPE_CHECKING` too."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = parts[:-1]
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = start + tuple((node.module or "").split("."))
            base = tuple(part for part in base if part)
            names = [(*base, alias.name) for alias in node.names]
        found += [(node.lineno, name[1]) for name in names if name[0] == "centernet" and len(name) > 1]
    return found


def test_the_rules_tell_right_from_wrong() -> None:
    assert may_import("cli", "ops") and may_import("models", "inference") and may_import("images", "boxes")
    assert not may_import("ops", "models") and not may_import("data", "evaluation") and not may_import("models", "cli")
    assert not may_import("training", "export")


def test_imports_go_down_or_stay_within_a_room() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        public = {entry.stem for entry in PACKAGE.iterdir() if entry.suffix == ".py" or entry.is_dir()}
        for line, imported in imported_rooms(path):
            if (path.relative_to(PACKAGE).as_posix(), imported) in HANDED_UP:
                continue
            if imported in public and not may_import(room, imported):
                wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports centernet.{imported}")
    assert not wrong, "imports that go up, or sideways into another room:\n" + "\n".join(wrong)


def test_what_is_handed_up_is_not_imported_before() -> None:
    fresh_python("import sys, centernet.models; sys.exit('centernet.export' in sys.modules)")


def fresh_python(code: str) -> str:
    """Output of `code` run by a new interpreter that has the sources on its path."""
    program = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def modules_of(room: str) -> list[str]:
    base = PACKAGE / room
    if not base.is_dir():
        return [f"centernet.{room}"] if base.with_suffix(".py").is_file() else []
    paths = sorted(base.rglob("*.py"))
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_room_imports_without_torch(room: str) -> None:
    modules = [name for name in modules_of(room) if name not in TORCH_RUNTIMES]
    if not modules:
        pytest.skip(f"centernet.{room} does not exist yet")
    code = "import importlib\n"
    code += "sys.modules['torch'] = None  # as if it were not installed\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\n"
    fresh_python(code)


def test_importing_the_package_is_cheap() -> None:
    code = "import time; start = time.process_time(); import centernet; seconds = time.process_time() - start\n"
    code += "heavy = sorted({'torch', 'cv2', 'numpy', 'lightning', 'PIL'} & set(sys.modules))\n"
    code += "print(seconds, *heavy)"
    outputs = [fresh_python(code).split() for _ in range(3)]
    assert min(float(output[0]) for output in outputs) < 0.2  # seconds of the processor, the best of three
    assert outputs[0][1:] == []


def test_src_models_are_the_package_s_own() -> None:
    root = str(PACKAGE.parents[1])
    code = f"sys.path.insert(0, {root!r}); import centernet; from src.models import CenterNet, build_centernet\n"
    code += "print(CenterNet is centernet.CenterNet, build_centernet is centernet.build_centernet)"
    assert fresh_python(code) == "True True"
