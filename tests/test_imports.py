"""The rules of who may import whom, read from the sources, and what importing costs, measured in fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import centernet

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "centernet"

ORDER = (
    *("extras", "text", "documents", "archives", "files", "remote", "tars", "ending", "whole", "claim", "boxes"),
    "configuration",
    *("packaged", "trust", "calibration", "lineage", "skeleton", "column", "fonts", "drawing", "detections", "boxes3d"),
    *("birds_eye", "images"),
    *("annotations", "tracking", "evaluation", "ops", "data", "network", "inference", "export", "foreign", "training"),
    *("models", "serving", "distributed", "report", "cli"),
)
"""Modules and folders directly under the package: each imports only from those before it, or from within itself."""
PUBLIC = {name: home.removeprefix("centernet.").partition(".")[0] for name, home in centernet._HOMES.items()}
"""Name that `centernet` offers → its room."""
ABOVE_ALL = {"__init__", "__main__", "testing"}  # may import any room
FORMER = {"models/backbones.py", "models/heads.py", "models/necks.py", "inference/drawing.py"}  # addresses of before
WITHOUT_TORCH = (
    *("extras", "text", "documents", "archives", "files", "remote", "tars", "ending", "whole", "claim", "boxes"),
    *("packaged", "trust"),
    *(
        "calibration",
        "lineage",
        "skeleton",
        "column",
        "fonts",
        "drawing",
        "detections",
        "boxes3d",
        "birds_eye",
        "images",
        "annotations",
        "tracking",
        "evaluation",
    ),
    *("data", "inference", "distributed"),
)
WITH_TORCH = {  # modules of these rooms that are torch's, or Lightning's
    *("centernet.data.batch", "centernet.data.datamodule", "centernet.data.loading", "centernet.data.streaming"),
    "centernet.inference.torch_runtime",
}


def may_import(importer: str, imported: str) -> bool:
    """Whether a module of the room `importer` may import from the room `imported`."""
    if importer in ABOVE_ALL:
        return True
    if imported in ABOVE_ALL:
        return False
    return ORDER.index(imported) <= ORDER.index(importer)


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
    assert may_import("cli", "ops") and may_import("inference", "network") and may_import("images", "boxes")
    assert not may_import("ops", "models") and not may_import("evaluation", "data") and not may_import("models", "cli")
    assert not may_import("export", "training") and not may_import("boxes", "detections")


def test_every_room_has_its_place() -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").is_file())
    }  # fmt: skip
    assert rooms - ABOVE_ALL <= set(ORDER), "rooms without a place in the order of imports"


def test_imports_go_down_or_stay_within_a_room() -> None:
    """Deferred imports and those for type checkers count."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if path.relative_to(PACKAGE).as_posix() in FORMER:
            continue
        for line, imported in imported_rooms(path):
            if imported in PUBLIC:
                imported = PUBLIC[imported]  # `from centernet import CenterNet` imports from the room of the name
            if imported in ORDER and not may_import(room, imported):
                wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports centernet.{imported}")
    assert not wrong, "imports that go up:\n" + "\n".join(wrong)


def test_no_two_rooms_import_each_other() -> None:
    """Follows from the order; counted again without it, over modules."""
    graph: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room not in ABOVE_ALL and path.relative_to(PACKAGE).as_posix() not in FORMER:
            graph.setdefault(room, set()).update(PUBLIC.get(name, name) for _, name in imported_rooms(path))
    pairs = [(a, b) for a in graph for b in graph[a] if a < b and a in graph.get(b, set())]
    assert not pairs, f"rooms that import each other: {pairs}"


def test_a_network_needs_no_lightning() -> None:
    loaded = fresh_python(
        "import centernet.network; print(*sorted({'lightning', 'matplotlib', 'pytorch_lightning'} & set(sys.modules)))"
    )
    assert loaded == ""


def test_an_eager_detector_needs_no_lightning() -> None:
    code = "from centernet import Detector; Detector('voc-lite')\n"
    code += "print(*sorted({'lightning', 'matplotlib', 'pytorch_lightning'} & set(sys.modules)))"
    assert fresh_python(code) == ""


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
    modules = [name for name in modules_of(room) if name not in WITH_TORCH]
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
