"""Options that are given beside a checkpoint: each takes effect, or ends the run with what the checkpoint has."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from centernet.cli import fit
from centernet.cli.main import main
from centernet.training.given import differences, merge

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*dirpath has changed.*"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after two of four epochs."""
    from .conftest import TINY

    folder = tmp_path_factory.mktemp("trained")
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    given = ["--config", str(file), "--output", str(folder), "--trainer.log_every_n_steps", "1"]
    fit.run([*given, "--optimization.lr", "2e-3"], "fit")
    return folder / "tiny" / "version_0" / "checkpoints" / "last.ckpt"


def run(command: str, config: str, checkpoint: Path, output: Path, *options: str) -> int:
    given = ["--config", config, "--ckpt_path", str(checkpoint), "--output", str(output), *options]
    return main([command, *given])


def figures(output: Path) -> dict[str, Any]:
    (path,) = output.rglob("figures.json")
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def test_a_part_of_the_same_class_keeps_what_is_not_given() -> None:
    recorded = {"neck": {"class_path": "a.FPN", "init_args": {"width": 16, "norm": "batch"}}, "nms_iou": None}
    given = {"neck": {"class_path": "a.FPN", "init_args": {"width": 32}}, "nms_iou": 0.5}
    used = merge(recorded, given, "model")
    assert used["neck"]["init_args"] == {"width": 32, "norm": "batch"}
    assert [(d.key, d.given, d.recorded) for d in differences(recorded, used, "model")] == [
        ("model.neck.init_args.width", 32, 16),
        ("model.nms_iou", 0.5, None),
    ]


def test_a_part_of_another_class_and_the_tracker_are_replaced_whole() -> None:
    recorded = {"neck": {"class_path": "a.FPN", "init_args": {"width": 16}}, "tracker": {"preset": "sort", "iou": 1}}
    given = {"neck": {"class_path": "a.Lite"}, "tracker": {"preset": "sort"}}
    assert merge(recorded, given, "model") == given
    assert [d.key for d in differences(recorded, given, "model")] == ["model.neck", "model.tracker"]
    assert str(differences(recorded, given, "model")[0]) == "model.neck is Lite, that of the checkpoint FPN"


def test_options_of_validate_take_effect_and_those_that_are_left_out_are_the_checkpoints(
    tiny: Any, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def validated(*options: str, **changes: Any) -> dict[str, Any]:
        output = tmp_path / str(len(list(tmp_path.iterdir())))
        assert run("validate", tiny(**changes), trained, output, *options) == 0
        assert not options or options[0].removeprefix("--") in capsys.readouterr().out
        return figures(output)

    as_trained = validated()
    assert validated("--model.preprocessing.size", "[32, 32]") != as_trained
    assert validated("--model.preprocessing.mean", "[0.1, 0.1, 0.1]") != as_trained
    assert validated("--model.nms_iou", "0.01") != as_trained
    assert validated(model__preprocessing={}) == as_trained  # 64×64, not the default
    assert validated(model__preprocessing={"size": [96, 64]}) != as_trained


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model__neck": {"class_path": "LiteFPN"}}, ["model.neck", "LiteFPN", "FPN"]),
        ({"model__neck__init_args__width": 24}, ["model.neck.init_args.width", "24", "16"]),
        ({"model__backbone__init_args__num_stages": 3}, ["model.backbone.init_args.num_stages", "3", "2"]),
        ({"model__heads__box__class_path": "SizeOffsetHead"}, ["model.heads.box", "SizeOffsetHead", "LTRBHead"]),
        (
            {"model__heads__embedding": {"class_path": "EmbeddingHead"}},
            ["model.heads", "embedding", "trained with box, heatmap"],
        ),
        ({"model__num_classes": 5}, ["model.num_classes", "5", "6", "disc"]),
        (
            {"model__class_names": ["square", "disc", "triangle", "star", "cross", "ring"]},
            ["model.class_names", "[disc, square"],
        ),
    ],
)
def test_options_that_would_need_other_weights_end_the_run(
    tiny: Any,
    trained: Path,
    tmp_path: Path,
    command: str,
    changes: dict[str, Any],
    said: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(command, tiny(trainer__max_epochs=4, **changes), trained, tmp_path) == 1
    error = capsys.readouterr().err
    for word in [*said, str(trained), f"--start_from {trained}"]:
        assert word in error, f"{word!r} is not in: {error}"
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--optimization.lr", "1e-2"], "optimization.lr"),
        (["--data.augmentation", "null"], "data.augmentation"),
    ],
)
def test_validate_refuses_options_of_training_but_not_the_checkpoints_own(
    tiny: Any, trained: Path, tmp_path: Path, option: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", tiny(), trained, tmp_path, *option) == 1
    assert f"{said} is of training" in capsys.readouterr().err
    assert run("validate", tiny(), trained, tmp_path, "--optimization.lr", "2e-3") == 0


def test_validate_without_weights_and_with_two(
    tiny: Any, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, output = tiny(), str(tmp_path)
    assert main(["validate", "--config", config, "--output", output]) == 0
    assert "no --ckpt_path: the network that is evaluated has learned nothing" in capsys.readouterr().out
    assert main(["validate", "--config", config, "--output", output, "--start_from", "voc-lite"]) == 1
    assert "voc-lite" in capsys.readouterr().err
    for command in ("fit", "validate"):
        assert run(command, config, trained, tmp_path, "--start_from", str(trained)) == 1
        assert "give one of them" in capsys.readouterr().err
    assert main(["fit", "--config", config, "--output", output, "--ckpt_path", "last"]) == 1
    assert "--resume" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- resuming


def resumed(checkpoint: Path, config: str, output: Path, *options: str) -> tuple[list[float], dict[str, Any]]:
    """Resume in a folder of its own. Returns the learning rates of the log, and the optimiser's first group."""
    given = ["--config", config, "--output", str(output), "--ckpt_path", str(checkpoint)]
    fit.run([*given, "--trainer.log_every_n_steps", "1", *options], "fit")
    (metrics,) = output.rglob("metrics.csv")
    with metrics.open(newline="") as file:
        rates = [float(row["train/lr"]) for row in csv.DictReader(file) if row["train/lr"]]
    state = torch.load(next(output.rglob("last.ckpt")), weights_only=True)
    return rates, state["optimizer_states"][0]["param_groups"][0]


@pytest.fixture
def outside(trained: Path, tmp_path: Path) -> Path:
    """The checkpoint outside its run's folder, so that a run that goes on from it has a new one."""
    path = tmp_path / "outside.ckpt"
    path.write_bytes(trained.read_bytes())
    return path


def test_another_rate_takes_effect_and_is_said(
    tiny: Any, outside: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="centernet")
    config = tiny(trainer__max_epochs=4)
    as_before, group = resumed(outside, config, tmp_path / "as")
    assert group["initial_lr"] == pytest.approx(2e-3 * 4 / 64)  # not given, so it is that of the stopped run
    other, group = resumed(outside, config, tmp_path / "other", "--optimization.lr", "6e-3")
    assert group["initial_lr"] == pytest.approx(6e-3 * 4 / 64)
    assert other == pytest.approx([3 * rate for rate in as_before])
    assert "learning rate 0.000375: 0.006 for 64 images" in caplog.text
    assert "optimization.lr is 0.006, that of the checkpoint 0.002" in caplog.text


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        (["--optimization.weight_decay", "0.2"], "weight_decay", 0.2),
        (["--optimization.backbone_lr_factor", "0.5"], "initial_lr", 0.5 * 2e-3 * 4 / 64),
        (["--optimization.optimizer.init_args.eps", "1e-6"], "eps", 1e-6),
    ],
)
def test_other_options_of_the_optimiser_take_effect(
    tiny: Any, outside: Path, tmp_path: Path, options: list[str], key: str, value: float
) -> None:
    """The first group is the backbone's weights, or its norms and biases, which have no decay."""
    config = tiny(trainer__max_epochs=3, optimization={"optimizer": {"class_path": "torch.optim.AdamW"}})
    _, group = resumed(outside, config, tmp_path / "other", *options)
    assert group[key] == pytest.approx(value)


@pytest.mark.parametrize(("batch_size", "steps"), [(8, 3), (2, 12)])
def test_with_another_batch_the_schedule_goes_on_at_the_same_share(
    tiny: Any, outside: Path, tmp_path: Path, batch_size: int, steps: int
) -> None:
    config = tiny(trainer__max_epochs=4, optimization={"reference_batch": 0, "warmup": 0.0})
    rates, _ = resumed(outside, config, tmp_path / "other", "--data.batch_size", str(batch_size))
    assert len(rates) == 2 * steps
    assert rates[0] == pytest.approx(1e-3, rel=1e-3)  # half of a cosine from the checkpoint's .002
    assert sorted(rates, reverse=True) == rates
    if batch_size == 2:
        return
    again = next((tmp_path / "other").rglob("last.ckpt"))
    outside.write_bytes(again.read_bytes())
    options = ["--data.batch_size", "8", "--trainer.max_epochs", "8"]
    longer, _ = resumed(outside, config, tmp_path / "longer", *options)
    assert longer[0] == pytest.approx(1e-3, rel=1e-3)  # the place is kept once more


def test_another_optimiser_and_frozen_stages_are_refused(
    tiny: Any, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(trainer__max_epochs=4)
    sgd = ["--optimization.optimizer", "torch.optim.SGD"]
    frozen = ["--model.backbone.init_args.frozen_stages", "1"]
    for options, said in ((sgd, ["optimization.optimizer", "SGD", "AdamW"]), (frozen, ["frozen_stages", "0"])):
        assert run("fit", config, trained, tmp_path, *options) == 1
        error = capsys.readouterr().err
        for word in [*said, "--start_from"]:
            assert word in error, f"{word!r} is not in: {error}"


def test_data_of_other_classes_end_a_run_that_is_resumed(
    tiny: Any, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = {
        "disc": "plate",
        "square": "square",
        "triangle": "triangle",
        "star": "star",
        "cross": "cross",
        "ring": "ring",
    }
    data = {"class_path": "Synthetic", "init_args": {"num_images": 8, "size": [64, 64]}}
    train = {"class_path": "MapClasses", "init_args": {"dataset": data, "classes": renamed}}
    assert run("fit", tiny(trainer__max_epochs=4, data__train=train), trained, tmp_path) == 1
    error = capsys.readouterr().err
    assert "plate" in error and "disc" in error and f"--start_from {trained}" in error


def test_a_run_that_is_over_says_so(
    tiny: Any, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", tiny(), trained, tmp_path) == 1
    assert "2 epochs" in capsys.readouterr().err
    assert run("fit", tiny(trainer__max_epochs=None, trainer__max_steps=7), trained, tmp_path) == 1
    assert "12 steps" in capsys.readouterr().err
