"""Where weights are from: read, written, and what the package says of its own models."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from centernet.configuration import PACKAGED, read_yaml
from centernet.lineage import Lineage, licence_text, recorded_lineage, started_from

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in PACKAGED.glob("*/config.yaml"))

OLDEST = Lineage(name="public", licence="Apache-2.0", notices=("© somebody",), sources=("https://example.org",))
MINE = Lineage(name="mine", licence="MIT", limits=("not for cars",), started_from=OLDEST)


def test_there_and_back_without_what_is_empty() -> None:
    assert Lineage.from_dict(MINE.to_dict(), source="x") == MINE
    assert Lineage.from_dict({}, source="x") == Lineage() and Lineage().to_dict() == {}
    assert Lineage(started_from=Lineage()).to_dict() == {"started_from": {}}
    assert MINE.licences == ("MIT", "Apache-2.0") and MINE.steps == (MINE, OLDEST)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("MIT", "lineage: expected a section"),
        ({"license": "MIT"}, "unknown key 'license'; expected name, sources, licence"),
        ({"notices": "© me"}, "lineage.notices: expected a list of texts"),
        ({"sources": [1]}, "lineage.sources"),
        ({"started_from": {"name": 3}}, "lineage.started_from.name: expected a text"),
    ],
)
def test_what_is_damaged_is_named(values: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"file.ckpt: {says}|file.ckpt: lineage.* {says}"):
        recorded_lineage({"lineage": values}, "file.ckpt")


def test_a_file_that_nests_for_ever_is_refused() -> None:
    values: dict[str, Any] = {}
    for _ in range(100_000):
        values = {"started_from": values}
    with pytest.raises(ValueError, match="nested more than 100 times"):
        Lineage.from_dict(values, source="x")


def test_a_start_is_a_step_with_a_name(tmp_path: Path) -> None:
    assert started_from("somebody/cells", None) == Lineage(started_from=Lineage(name="somebody/cells"))
    assert started_from("voc-lite", MINE).steps[1:] == (MINE, OLDEST)
    (tmp_path / "folder").mkdir()
    assert started_from(tmp_path / "folder", None).steps[1].name == "folder"  # no path of a machine travels
    run = Lineage(started_from=MINE)
    assert started_from("runs/version_0/checkpoints/best.ckpt", run) == run


@pytest.mark.parametrize("name", NAMES)
def test_packaged_models_say_what_the_terms_ask_for(name: str) -> None:
    content = read_yaml(PACKAGED / name / "config.yaml")
    lineage = recorded_lineage(content, name)
    assert lineage is not None and lineage.name == name and lineage.limits
    assert content["about"]["task"] and content["about"]["bad_at"] and content["figures"]
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for step in lineage.steps:
        assert step.sources and step.licence and step.notices
        assert licence_text(step.licence), "its text has to come with the package"
        for text in step.notices:
            assert " ".join(text.split()) in " ".join(notice.split()), "NOTICE in the repository's root has it too"


def test_the_package_has_the_text_of_its_licence() -> None:
    assert licence_text("apache-2.0") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence_text("../Apache-2.0") is None and licence_text("") is None


@pytest.mark.slow
def test_the_wheel_holds_licences_and_notices(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    sources = tmp_path / "sources"  # a build leaves files in the folder that it is made from
    shutil.copytree(ROOT / "src", sources / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, sources)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(sources)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    assert "centernet/licences/Apache-2.0.txt" in held
    assert all(f"centernet/weights/{name}/config.yaml" in held for name in NAMES)
    assert {"LICENSE", "NOTICE"} <= {path.rpartition("/")[2] for path in held if ".dist-info/licenses/" in path}
