"""Beginning with the weights of another model."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from centernet import build_centernet
from centernet.cli import fit
from centernet.network import load_network
from centernet.training import start_from
from centernet.training.likeness import answers

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]

SMALL: dict[str, Any] = {
    "model": {
        "class_names": ["cat", "dog", "bird"],
        "backbone": {"class_path": "ResNet", "init_args": {"name": "resnet18", "num_stages": 2}},
        "neck": {"class_path": "FPN", "init_args": {"width": 16}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"width": 16}},
            "box": {"class_path": "LTRBHead", "init_args": {"width": 16}},
        },
        "preprocessing": {"size": [64, 64]},
    }
}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    model = build_centernet(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.save_pretrained(tmp_path / "trained")


def test_what_fits_is_taken_over_and_classes_go_by_name(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = copy.deepcopy(SMALL)
    config["model"]["class_names"] = ["horse", "bird", "cat"]
    config["model"]["heads"]["embedding"] = {"class_path": "EmbeddingHead", "init_args": {"width": 16, "dim": 8}}
    model, fresh = build_centernet(config), build_centernet(SMALL)
    model.heads["embedding"].set_identities(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with caplog.at_level(logging.INFO, logger="centernet"):
        anew = start_from(model.network, trained)
    given, now = type(fresh).from_pretrained(trained).state_dict(), model.state_dict()
    for name in ("backbone.conv1.weight", "heads.box.layers.2.bias", "heads.heatmap.layers.0.weight"):
        assert torch.equal(now[name], given[name])
    for part in ("weight", "bias"):
        name = f"heads.heatmap.layers.2.{part}"
        assert name in anew
        assert torch.equal(now[name][1:], given[name][[2, 0]])  # bird, cat
        assert torch.equal(now[name][0], before[name][0])
    for name in now:
        if name.startswith("heads.embedding."):
            assert torch.equal(now[name], before[name])
    assert "classes taken over: bird, cat" in caplog.text
    assert "anew: heads.embedding, heads.heatmap" in caplog.text


def test_the_same_classes_leave_nothing_anew(trained: Path) -> None:
    assert start_from(build_centernet(SMALL).network, trained) == []


def test_another_backbone_is_refused(trained: Path) -> None:
    with pytest.raises(ValueError, match="backbone"):
        start_from(build_centernet(SMALL, overrides=["model.backbone={class_path: MobileNetV2}"]).network, trained)
    with pytest.raises(FileNotFoundError, match="voc-lite"):
        start_from(build_centernet(SMALL).network, "voc-light")


def test_another_normalisation_is_said(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = build_centernet(SMALL, overrides=["model.preprocessing.std=[0.5, 0.5, 0.5]"])
    start_from(other.network, trained)
    assert "model.preprocessing.std is [0.5, 0.5, 0.5]" in caplog.text and "mean" not in caplog.text


LEVELS: dict[str, Any] = {
    "model": {
        "class_names": ["cat", "dog", "airplane"],
        "backbone": {
            "class_path": "ShuffleNetV2",
            "init_args": {"width": "0.5", "norm": False, "finest": 8, "activation": "leaky_relu"},
        },
        "neck": {"class_path": "GhostPAN", "init_args": {"width": 16, "norm": False, "point": 0.0}},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": {"depth": 0}},
            "box": {"class_path": "LTRBHead", "init_args": {"depth": 0, "form": "distribution"}},
        },
        "preprocessing": {"size": [128, 128]},
    }
}


def batch_of(boxes: list[list[float]], labels: list[int]) -> Any:
    return SimpleNamespace(
        images=torch.randint(0, 255, (1, 3, 128, 128), dtype=torch.uint8),
        boxes=torch.tensor([boxes]),
        labels=torch.tensor([labels]),
        ignore=torch.zeros(1, len(labels), dtype=torch.bool),
    )


def answering(monkeypatch: pytest.MonkeyPatch, answer: list[list[float]]) -> None:
    monkeypatch.setattr("centernet.training.start.answers", lambda *_: torch.tensor(answer))


def test_new_classes_begin_from_those_that_answer_and_known_ones_keep_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trained = build_centernet(LEVELS)
    for head in trained.network.every_head:
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter)
    folder = trained.save_pretrained(tmp_path / "trained")
    given = load_network(folder).state_dict()
    model = build_centernet(LEVELS, overrides=["model.class_names=[raccoon, aeroplane, cell]"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    answering(monkeypatch, [[0.4, 0.2, 0.0], [0.9, 0.0, 0.0], [0.05, 0.05, 0.0]])
    with caplog.at_level(logging.INFO, logger="centernet"):
        anew = start_from(model.network, folder, [])
    assert "raccoon starts from cat .40, dog .20" in caplog.text and "cell starts anew" in caplog.text
    assert "classes taken over: aeroplane" in caplog.text
    assert len(anew) == 8 and all(name.startswith("heads.heatmap.") for name in anew)  # of the cell, on four levels
    for name in anew:
        now, rows = model.state_dict()[name], given[name]
        assert torch.allclose(now[0], 0.8 * rows[0] + 0.2 * rows[1], atol=1e-6)  # squares: .16 and .04
        assert torch.equal(now[1], rows[2]) and torch.equal(now[2], before[name][2])


def test_an_answer_is_a_score_times_the_fit_of_its_box() -> None:
    """Class 0 answers with a box of 56 around (64, 64) at stride 8; class 1 everywhere, with wrong boxes."""
    network = build_centernet(LEVELS).network.eval()
    encoded = {"heatmap": [], "box": []}  # type: ignore[var-annotated]
    for stride in network.strides:
        side = 128 // stride
        encoded["heatmap"].append(torch.full((1, 3, side, side), -20.0))
        encoded["box"].append(torch.zeros(1, 32, side, side))  # 7 strides wide and high
    encoded["heatmap"][0][0, 0, 8, 8] = 0.0
    encoded["heatmap"][3][0, 1] = 20.0
    network.forward = lambda images: encoded  # type: ignore[method-assign]
    batch = batch_of([[36, 36, 92, 92], [0, 0, 20, 20], [50, 50, 78, 78]], [1, 0, 1])
    answer = answers(network, [batch], 3)
    assert answer[1, 0] == pytest.approx((0.5 + 0.5 * 28**2 / 56**2) / 2, abs=1e-4)
    assert answer[1, 1] < 0.1 and answer[0, 0] < 1e-6 and (answer[2] == 0).all()  # no object of the last


def test_a_finer_level_begins_as_the_next_and_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    trained = build_centernet(LEVELS).eval()
    folder = trained.save_pretrained(tmp_path / "trained")
    start = load_network(folder)
    model = build_centernet(LEVELS, overrides=["model.backbone.init_args.finest=4"]).eval()
    anew = start_from(model.network, folder)
    assert {".".join(name.split(".")[:3]) for name in anew} == {"neck.reduce.4", "neck.bottom_up.8"}
    for name in ("neck.towers.{}.0.0.weight", "neck.top_down.{}.first.primary.0.bias", "heads.box.{}.layers.0.weight"):
        assert torch.equal(model.state_dict()[name.format(4)], start.state_dict()[name.format(8)])
    images = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        expected, found = start(images), model.network(images)
    for name in expected:
        assert len(found[name]) == len(expected[name]) + 1
        for map_, other in zip(found[name][1:], expected[name], strict=True):
            assert torch.allclose(map_, other, atol=1e-5)


def test_a_run_of_several_levels_begins_from_another_and_draws_its_images(tmp_path: Path) -> None:
    folder = build_centernet(LEVELS).save_pretrained(tmp_path / "trained")
    train, val = (
        {"class_path": "Synthetic", "init_args": {"num_images": 8, "size": [128, 128], "seed": seed}} for seed in (0, 1)
    )
    section = LEVELS["model"] | {"class_names": None, "num_classes": 6, "level_assignment": "fit"}
    content = {
        "model": section,
        "data": {"train": train, "val": val, "batch_size": 4, "num_workers": 0},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true", "num_sanity_val_steps": 0},
        "log_images": {"every_n_epochs": 1},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    arguments = ["--config", str(tmp_path / "run.yaml"), "--start_from", str(folder), "--output", str(tmp_path)]
    run = fit.run(arguments, "fit")
    assert list(Path(run.trainer.log_dir or "").glob("images/*.jpg")) and Path(run.checkpoint).is_file()


def posed(names: list[str], offset: str = "each") -> dict[str, Any]:
    config = copy.deepcopy(SMALL)
    options = {"width": 16, "skeleton": {"names": names}, "offset": offset}
    config["model"]["heads"]["keypoints"] = {"class_path": "KeypointHead", "init_args": options}
    return config


@pytest.mark.parametrize("offset", ["each", "shared"])
def test_keypoints_that_both_know_keep_their_rows(
    offset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of regression and offset has two rows a keypoint; an offset that all share is taken as it is."""
    trained, model = (
        build_centernet(posed(names, offset)) for names in (["nose", "ear", "tail"], ["tail", "paw", "nose"])
    )
    source, before = trained.save_pretrained(tmp_path / "posed"), model.network.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    with caplog.at_level(logging.INFO, logger="centernet"):
        anew = start_from(model.network, source)
    given, now = load_network(source).state_dict(), model.network.state_dict()
    heatmap = "heads.keypoints.heatmap.2.weight"
    assert torch.equal(now[heatmap][[0, 2]], given[heatmap][[2, 0]]) and torch.equal(
        now[heatmap][1], before[heatmap][1]
    )
    pairs = "heads.keypoints.regression.2.bias"
    assert torch.equal(now[pairs][[0, 1, 4, 5]], given[pairs][[4, 5, 0, 1]])
    assert {heatmap, pairs} <= set(anew) and "heads.keypoints.heatmap.0.weight" not in anew
    assert ("heads.keypoints.offset.2.bias" in anew) == (offset == "each")
    assert "keypoints: the start knows 2 of 3 (tail, nose), which keep what it learned" in caplog.text
    assert start_from(build_centernet(posed(["nose", "ear", "tail"], offset)).network, source) == []
