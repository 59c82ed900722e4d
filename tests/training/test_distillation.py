"""Learning from a frozen teacher."""

from __future__ import annotations

import copy
import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from centernet import build_centernet
from centernet.cli.main import main
from centernet.data.batch import Batch
from centernet.data.formats.synthetic import SHAPES
from centernet.network import Network
from centernet.training import Distillation
from centernet.training.distillation import _resampled

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*dirpath has changed.*"),
]

ONE = {
    "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
    "neck": {"class_path": "FPN", "init_args": {"width": 16}},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
        "box": {"class_path": "LTRBHead", "init_args": {"width": 16, "quality": 1.0}},
    },
}
SEVERAL = {
    "backbone": {"class_path": "ShuffleNetV2", "init_args": {"finest": 8}},
    "neck": {"class_path": "GhostPAN", "init_args": {"width": 16}},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
        "box": {"class_path": "LTRBHead", "init_args": {"width": 16, "form": "distribution"}},
    },
}


def network(section: dict[str, Any], names: tuple[str, ...] = ("cat", "dog", "bird"), seed: int = 0) -> Network:
    """A network whose scores and boxes differ from cell to cell, in evaluation mode."""
    torch.manual_seed(seed)
    whole = {**copy.deepcopy(section), "class_names": list(names), "preprocessing": {"size": [64, 96]}}
    built = build_centernet({"model": whole}).network
    with torch.no_grad():
        for head in built.every_head:
            for parameter in head.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return built.eval()


def batch(regions: list[tuple[float, float, float, float, int]] | None = None) -> Batch:
    """Two images of noise, with regions to ignore: box and label."""
    rows = torch.tensor(regions or [(0.0, 0.0, 0.0, 0.0, -1)]).expand(2, -1, -1)
    return Batch(
        images=torch.randint(256, (2, 3, 64, 96), dtype=torch.uint8),
        boxes=rows[..., :4].contiguous(),
        labels=rows[..., 4].long(),
        ids=torch.full(rows.shape[:2], -1),
        ignore=torch.full(rows.shape[:2], regions is not None),
        counts=torch.full((2,), len(regions or [])),
        annotations=[],
    )


def terms(distillation: Distillation, student: Network, images: Batch) -> dict[str, Tensor]:
    distillation.prepare(student, student.class_names)
    return distillation(student, student(student.normalize(images.images)), images)


@pytest.mark.parametrize("section", [ONE, SEVERAL], ids=["one level", "several levels"])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(section: dict[str, Any]) -> None:
    teacher, images = network(section), batch()
    student = copy.deepcopy(teacher)
    same = terms(Distillation(teacher), student, images)
    other = terms(Distillation(teacher), network(section, seed=1), images)
    twice = terms(Distillation(teacher, weight=2.0), network(section, seed=1), images)
    assert same.keys() == {"teacher_heatmap", "teacher_box"}
    for name, value in same.items():
        assert abs(value.item()) < 1e-4 < 1e-3 < other[name].item()
        assert twice[name].item() == pytest.approx(2 * other[name].item(), rel=1e-4)
    same["teacher_heatmap"].backward()  # the minimum
    finder = student.every_head[0].parameters()
    assert max(float(p.grad.abs().max()) for p in finder if p.grad is not None) < 1e-6


@pytest.mark.parametrize("section", [ONE, SEVERAL], ids=["one level", "several levels"])
def test_a_few_steps_lower_both_terms_and_change_the_student_alone(section: dict[str, Any]) -> None:
    distillation, student, images = Distillation(network(section)), network(section, seed=1).train(), batch()
    before = {name: value.clone() for name, value in distillation.teacher.state_dict().items()}
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    history = []
    for _ in range(12):
        values = terms(distillation, student, images)
        optimizer.zero_grad()
        torch.stack(list(values.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append({name: value.item() for name, value in values.items()})
    assert all(history[-1][name] < 0.8 * history[0][name] for name in history[0]), history
    assert all(part.grad is not None for part in student.every_head[1].parameters())
    assert all(p.grad is None and not p.requires_grad for p in distillation.teacher.parameters())
    assert not distillation.teacher.training
    for name, value in distillation.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_classes_go_by_name_and_unknown_ones_learn_nothing(caplog: pytest.LogCaptureFixture) -> None:
    teacher = network(ONE, ("aeroplane", "cat", "dog"))
    student = network(ONE, ("dog", "horse", "airplane"), seed=1)
    last = ("heads.heatmap.layers.2.weight", "heads.heatmap.layers.2.bias")
    given = teacher.state_dict()
    mixed = {name: value[[2, 1, 0]] if name in last else value for name, value in given.items()}  # horse as cat
    student.load_state_dict(mixed)
    images = batch()
    distillation = Distillation(teacher)
    with caplog.at_level(logging.INFO, logger="centernet"):
        distillation.prepare(student, student.class_names)
    assert "2 of 3 classes: dog, airplane" in caplog.text
    encoded = student(student.normalize(images.images))
    encoded["heatmap"].retain_grad()
    values = distillation(student, encoded, images)
    assert values["teacher_heatmap"].item() < 1e-3
    values = distillation(student, {**encoded, "heatmap": encoded["heatmap"] + 1}, images)
    values["teacher_heatmap"].backward()
    reached = encoded["heatmap"].grad.abs().amax((0, 2, 3))
    assert reached[1] == 0 and reached[0] > 0 and reached[2] > 0


@pytest.mark.parametrize("section", [ONE, SEVERAL], ids=["one level", "several levels"])
def test_ignored_regions_stay_out(section: dict[str, Any]) -> None:
    teacher, student = network(section), network(section, seed=1)
    everywhere = (0.0, 0.0, 96.0, 64.0)
    for value in terms(Distillation(teacher), student, batch([(*everywhere, -1)])).values():
        assert value.item() == 0
    images = batch([(*everywhere, 1)])  # of one class
    distillation = Distillation(teacher)
    distillation.prepare(student, student.class_names)
    encoded = student(student.normalize(images.images))
    maps = encoded["heatmap"] if isinstance(encoded["heatmap"], list) else [encoded["heatmap"]]
    found = torch.autograd.grad(distillation(student, encoded, images)["teacher_heatmap"], maps)
    for gradient in found:
        assert gradient[:, 1].abs().max() == 0 and gradient[:, [0, 2]].abs().amin(0).max() > 0


def test_maps_on_another_grid_keep_their_places() -> None:
    """A map whose value is its own place in pixels says the same places on a finer grid, for any point of cells."""
    for stride, point, own_point in ((8, 0.5, 0.5), (16, 0.5, 0.5), (16, 0.0, 0.5)):
        places = (torch.arange(64 // stride) + point) * stride
        x = _resampled(places.expand(1, 1, 32 // stride, -1), stride, point, (8, 16), 4, own_point)
        own = (torch.arange(16) + own_point) * 4
        torch.testing.assert_close(x, own.clamp(places[0], places[-1]).expand(1, 1, 8, 16))
    fine = torch.zeros(1, 1, 15, 24)
    fine[0, 0, 9, 5] = 0.9  # pixels 20..24, 36..40
    coarse = _resampled(fine, 4, 0.5, (8, 12), 8, 0.5)
    assert coarse[0, 0, 4, 2] == pytest.approx(0.9) and (coarse > 1e-4).sum() == 1


def test_a_student_of_one_level_learns_from_a_teacher_of_several() -> None:
    """An object on the level of stride 16 stands out, and trains the box of the student's cell at its centre."""
    teacher, student, images = network(SEVERAL), network(ONE), batch()
    seen = teacher(teacher.normalize(images.images))
    for output in seen["heatmap"]:
        output.data.fill_(-12.0)
    level = teacher.strides.index(16)
    seen["heatmap"][level].data[:, 2, 1, 3] = 3.0
    teacher.forward = lambda images: seen  # type: ignore[method-assign]
    x1, y1, x2, y2 = teacher.decode_detections(seen, 1)["bboxes"][0, 0].tolist()
    distillation = Distillation(teacher)
    distillation.prepare(student, student.class_names)
    encoded = student(student.normalize(images.images))
    values = distillation(student, encoded, images)
    heatmap, box = torch.autograd.grad(torch.stack(list(values.values())).sum(), [encoded["heatmap"], encoded["box"]])
    cell = (min(int((y1 + y2) / 8), 15), min(int((x1 + x2) / 8), 23))
    assert box[0].abs().sum(0).nonzero().tolist() == [list(cell)]
    assert int(heatmap[0].amin((1, 2)).argmin()) == 2  # only there is more wanted
    row, column = divmod(int(heatmap[0, 2].argmin()), heatmap.shape[3])
    middle = [(i + teacher.neck.point) * 16 for i in (1, 3)]
    assert abs((row + 0.5) * 4 - middle[0]) <= 4 and abs((column + 0.5) * 4 - middle[1]) <= 4


def test_what_cannot_teach_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"teacher: voc-light: no such model.*voc-lite"):
        Distillation("voc-light")
    with pytest.raises(ValueError, match="teacher_weight is 0"):
        Distillation(network(ONE), 0)
    several = network(SEVERAL)
    with pytest.raises(ValueError, match="none of the classes plate, cup: its own are cat, dog, bird"):
        Distillation(several).prepare(several, ["plate", "cup"])
    with pytest.raises(ValueError, match=r"strides 4 \(point 0.5\), the model 8, 16"):
        Distillation(network(ONE)).prepare(several, several.class_names)


def columns(folder: Path) -> dict[str, list[float]]:
    """The logged values of each term of the teacher."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("train/teacher_heatmap", "train/teacher_box")
    return {name: [float(row[name]) for row in rows if row.get(name)] for name in names}


def test_fit_learns_from_a_teacher_and_goes_on_with_it(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(trainer__log_every_n_steps=1, trainer__max_epochs=1)
    section = {**yaml.safe_load(Path(config).read_text())["model"], "num_classes": None}
    folder = build_centernet({"model": {**section, "class_names": SHAPES[::-1]}}).save_pretrained(tmp_path / "teacher")
    given = ["--config", config, "--output", str(tmp_path / "runs"), "--data.batch_size", "auto", "--memory", "100"]
    assert main(["fit", *given, "--teacher", str(folder), "--teacher_weight", "2"]) == 0
    assert f"teacher {folder}: 6 of 6 classes" in capsys.readouterr().out
    run = tmp_path / "runs" / "tiny" / "version_0"
    assert {len(values) for values in columns(run).values()} == {1}
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    plain = build_centernet({"model": {**section, "class_names": SHAPES}})
    assert last["state_dict"].keys() == plain.state_dict().keys()
    averaged = last.get("current_model_state", plain.state_dict())  # beside the average, of EMA
    assert averaged.keys() == plain.state_dict().keys()
    trained = sum(len(group["params"]) for group in last["optimizer_states"][0]["param_groups"])
    assert trained <= len(list(plain.parameters()))
    assert main(["fit", *given, "--resume", "--trainer.max_epochs", "2"]) == 0  # the teacher is that of the run
    assert {len(values) for values in columns(run).values()} == {2}
    assert main(["validate", *given, "--teacher", "gone", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")]) == 0
    capsys.readouterr()
    for teacher, words in (("gone", "teacher: gone: no such model"), ("voc-lite", "none of the classes")):
        assert main(["fit", *given, "--teacher", teacher]) == 1
        assert words in capsys.readouterr().err


def test_averages_share_the_teacher() -> None:
    model = build_centernet({"model": {**ONE, "class_names": ["cat"]}})
    model.distillation = Distillation(network(ONE, ("cat",)))
    assert copy.deepcopy(model).distillation is model.distillation
    assert not any("teacher" in name for name, _ in model.named_modules())
