"""The documentation as a site: it builds without a warning, and every page of docs/ is in its navigation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_site_builds(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=quiet)
    assert built.returncode == 0, built.stderr
    home = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert 'href="finetuning/"' in home and "docs/finetuning.md" not in home
    reference = (tmp_path / "site" / "api" / "index.html").read_text("utf-8")
    for name in ("Detector", "Head", "Targets", "ExportOptions"):
        assert f'id="centernet.{name}"' in reference or f".{name}</" in reference or f'.{name}"' in reference
    assert "score_threshold" in reference
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {folder.name for folder in (tmp_path / "site").iterdir()}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f": {page.name}" not in navigation]
    assert not missing
