"""The examples in docstrings give what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "src"
WITH_EXAMPLES = [path for path in sorted((SOURCES / "centernet").rglob("*.py")) if ">>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(SOURCES))) for path in WITH_EXAMPLES])
def test_examples(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0, "see the output above"


RIDDLES = {"What", "Of", "Whether", "How", "Where", "From", "That"}


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=str(p.relative_to(SOURCES))) for p in sorted(SOURCES.rglob("*.py"))]
)
def test_docstrings_begin_with_a_verb_or_a_noun(path: Path) -> None:
    """A docstring says what a thing is or does, and does not open with a question."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [
        ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, nodes)
    ]
    wrong = [text.splitlines()[0] for text in texts if text and text.split()[0] in RIDDLES]
    assert not wrong, wrong
