"""`centernet models`: what a person reads of models and their terms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import centernet
from centernet.cli.main import main
from centernet.cli.models import markdown_table
from centernet.configuration import PACKAGED, read_yaml
from centernet.foreign.zoo import ZOO
from centernet.lineage import Lineage
from centernet.packaged import choose_model

SOURCES = str(Path(centernet.__file__).parents[1])


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_list_says_what_each_packaged_model_is_and_is_bad_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = words(capsys.readouterr().out)
    for config in PACKAGED.glob("*/config.yaml"):
        content = read_yaml(config)
        for text in (config.parent.name, *content["model"]["class_names"], *content["about"]["bad_at"]):
            assert text in said
        assert f"AP {content['figures']['AP']:.3f}" in said
        assert f"{(config.parent / 'model.safetensors').stat().st_size / 1e6:.1f} MB" in said


def test_the_list_has_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    for name, file in ZOO.items():
        (line,) = (line for line in said.splitlines() if f"zoo:{name} " in line)
        assert file.network in line and file.licence in line


def test_licences_prints_sources_notices_limits_and_texts_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--licences"]) == 0
    said = words(capsys.readouterr().out)
    for config in PACKAGED.glob("*/config.yaml"):
        for step in Lineage.from_dict(read_yaml(config)["lineage"], source="x").steps:
            for text in (step.name, *step.sources, *step.notices, *step.limits):
                assert words(text) in said
    assert said.count("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION") == 1


@pytest.mark.parametrize("kind", ["folder", "checkpoint", "script"])
def test_any_file_of_a_model_says_its_own(
    kind: str, model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    began = Lineage(name="public", licence="Apache-2.0", notices=("Copyright somebody",))
    model.lineage = Lineage(name="pets", licence="Private", limits=("not for cars",), started_from=began)
    path = tmp_path / {"folder": "pets", "checkpoint": "pets.ckpt", "script": "pets.pt"}[kind]
    if kind == "folder":
        model.save_pretrained(path)
    elif kind == "script":
        model.to_torchscript(path)
    else:
        hyper = dict(model.network.hyper_parameters)
        content = {"state_dict": model.state_dict(), "hyper_parameters": hyper, "lineage": model.lineage.to_dict()}
        torch.save(content, path)
    model.lineage = None
    assert main(["models", "--licences", str(path)]) == 0
    said = words(capsys.readouterr().out)
    for text in ("not for cars", "started from public", "Copyright somebody", "Private", "Apache License"):
        assert text in said
    assert "Its text does not come with this package" in said
    assert main(["models", str(path)]) == 0
    said = words(capsys.readouterr().out)
    assert "3: cat, dog, bird" in said and "Private; started from public (Apache-2.0)" in said


def test_what_is_no_model_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "voc-light"]) == 1
    assert "voc-lite" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("no model")
    assert main(["models", "--licences", str(tmp_path / "notes.txt")]) == 1
    assert "notes.txt" in capsys.readouterr().err


def test_the_packaged_models_are_listed_without_torch() -> None:
    code = (
        "import sys; from centernet.cli.main import main; assert main(['models', '--licences']) == 0;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": SOURCES}, stdout=subprocess.DEVNULL)


def test_the_documentation_has_the_table_of_the_models() -> None:
    """`python tools/model_table.py` writes it."""
    for page in ("README.md", "docs/report.md"):
        text = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
        assert f"-->\n{markdown_table()}\n<!-- /models -->" in text, page


@pytest.mark.parametrize(
    ("task", "classes", "chosen"),
    [
        ("detection", [], "coco-lite"),
        ("detection", ["person"], "coco-lite"),
        ("detection", ["aeroplane"], "voc-lite"),
        ("detection", ["unicorn"], "coco-lite"),  # the detector then says what it knows
        ("tracking", ["person"], "coco-lite"),
    ],
)
def test_a_model_is_chosen_by_task_and_classes(task: str, classes: list[str], chosen: str) -> None:
    name, why = choose_model(task, classes)
    assert (
        name == chosen and f"{len(read_yaml(PACKAGED / name / 'config.yaml')['model']['class_names'])} classes" in why
    )
    assert ("it knows aeroplane" in why) == (classes == ["aeroplane"])
