"""Training a tracker: identities from videos and still pictures, resumed exactly; figures of tracks in validation."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import CenterNet, Detections
from centernet.cli import fit
from centernet.cli.main import main
from centernet.tracking import Tracker

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*dirpath has changed.*"),
]

VIDEOS: dict[str, Any] = {
    "class_path": "SyntheticSequences",
    "init_args": {"num_sequences": 2, "length": 6, "size": [64, 64]},
}
STILLS: dict[str, Any] = {
    "class_path": "DetectionForTracking",
    "init_args": {
        "dataset": {
            "class_path": "MapClasses",
            "init_args": {
                "dataset": {"class_path": "Synthetic", "init_args": {"num_images": 12, "size": [64, 64]}},
                "classes": {"disc": "object", "square": "object"},
            },
        }
    },
}
MIXED = {"class_path": "Concatenated", "init_args": {"datasets": [VIDEOS, STILLS], "weights": [1, 1]}}
EMBEDDING = {"class_path": "EmbeddingHead", "init_args": {"width": 16, "dim": 8}}
WEIGHTING = {
    "class_path": "UncertaintyWeighting",
    "init_args": {"tasks": {"detection": ["heatmap", "box"], "identity": ["embedding"]}},
}


@pytest.fixture
def tracker(tiny: Any) -> Any:
    """Writes the configuration of a tracker, changed by dotted keys, and gives the path."""

    def write(**changes: Any) -> str:
        given = {
            "model__num_classes": 1,
            "model__heads__embedding": EMBEDDING,
            "model__loss_weighting": WEIGHTING,
            "data__train": MIXED,
            "data__val": VIDEOS | {"init_args": VIDEOS["init_args"] | {"seed": 1}},
        }
        return tiny(**(given | changes))  # type: ignore[no-any-return]

    return write


def last(output: Path, version: int = 0) -> Path:
    return output / "tiny" / f"version_{version}" / "checkpoints" / "last.ckpt"


def test_classifier_and_uncertainty_go_on_where_they_were(tracker: Any, cut_off: Any, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = tracker(trainer__max_epochs=3)
    run = fit.run(["--config", config, "--output", str(whole)], "fit")
    identities = run.datamodule.num_identities
    saved = tmp_path / "middle.ckpt"
    cut_off(config, cut, step=8, save=saved)  # six batches an epoch: in the middle of the second
    fit.run(["--config", config, "--output", str(cut), "--ckpt_path", str(saved)], "fit")

    first, second = (torch.load(path, weights_only=True) for path in (last(whole), last(cut, version=1)))
    for part in ("state_dict", "current_model_state"):
        assert first[part].keys() == second[part].keys()
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), f"{part} {name} differs"
    for name, value in first["optimizer_states"][0]["state"].items():
        assert torch.equal(value["exp_avg"], second["optimizer_states"][0]["state"][name]["exp_avg"])
    now = first["current_model_state"]
    assert now["heads.embedding.classifier.weight"].shape == (identities, 8)
    middle = torch.load(saved, weights_only=True)["current_model_state"]
    for name in ("heads.embedding.classifier.weight", "loss_weighting.log_variances.identity"):
        assert not torch.equal(now[name], middle[name])  # it learned


def test_resuming_with_other_identities_names_a_file(
    tracker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.run(["--config", tracker(trainer__max_epochs=1), "--output", str(tmp_path / "runs")], "fit")
    capsys.readouterr()
    more = {"class_path": "SyntheticSequences", "init_args": VIDEOS["init_args"] | {"num_sequences": 30, "length": 2}}
    config = tracker(data__train=more, trainer__max_epochs=2)
    given = ["--config", config, "--output", str(tmp_path / "other"), "--ckpt_path", str(last(tmp_path / "runs"))]
    assert main(["fit", *given]) == 1
    error = capsys.readouterr().err
    assert "moving_0_00" in error and "the classifier knows" in error
    assert "Traceback" not in error


def test_data_without_identities_end_in_one_line(
    tracker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stills = STILLS["init_args"]["dataset"]
    assert main(["fit", "--config", tracker(data__train=stills), "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "DetectionForTracking" in error
    assert "Traceback" not in error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*images of data.val are also in data.train.*")
@pytest.mark.filterwarnings("ignore:.*images are used.*")
def test_the_small_config_trains_on_videos_and_still_pictures(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path(__file__).resolve().parents[2] / "configs" / "tud_tracking_lite.yaml"
    (tmp_path / "data").symlink_to(shared / "data")
    monkeypatch.chdir(tmp_path)
    given = ["--start_from", "voc-lite", "--data.batch_size", "2", "--data.num_workers", "0"]
    given += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "8"]
    given += [
        "--trainer.check_val_every_n_epoch",
        "1",
        "--trainer.accelerator",
        "cpu",
        "--trainer.precision",
        "32-true",
    ]
    given += ["--model.tracker", "{preset: fairmot}"]
    run = fit.run(["--config", str(config), *given, "--output", "runs"], "fit")
    head = run.model.heads["embedding"]
    assert head.num_identities == run.datamodule.num_identities > 4163 - 557  # VOC's train persons but the difficult
    assert torch.isfinite(run.trainer.callback_metrics["train/identity"])
    assert run.trainer.callback_metrics["val/HOTA"] > 0.3  # what voc-lite finds in PETS09-S3-MF1


# ---------------------------------------------------------------------------------------------- figures of tracks


TWO_PROCESSES = """
import sys

from centernet.cli import fit

if __name__ == "__main__":
    run = fit.run(sys.argv[1:], "fit")
    stats = run.model.validated.tracking.stats
    print(f"figures {run.trainer.global_rank} {stats['HOTA']:.10f} {stats['IDs']} {stats['GT_Dets']}", flush=True)
"""


def perfect(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Detections], Detections] | None = None) -> None:
    """Validation finds just what is there, or what `change` makes of it, by the number of the frame."""

    def step(self: CenterNet, batch: Any, batch_idx: int) -> dict[str, Any]:
        assert self._validating is not None
        for annotation in batch.annotations:
            shown = ~annotation.ignore
            found = Detections(annotation.boxes[shown], annotation.labels[shown], np.ones(int(shown.sum()), np.float32))
            frame = int(annotation.path.stem) - 1
            self._validating.update(annotation, found if change is None else change(frame, found))
        return {"detections": []}

    monkeypatch.setattr(CenterNet, "validation_step", step)


def still(tiny_videos: int = 2, frames: int = 6, **options: Any) -> dict[str, Any]:
    """Videos of objects that are too few to meet."""
    given = {"num_sequences": tiny_videos, "length": frames, "size": [64, 64], "objects": [1, 1], "seed": 1}
    return {"class_path": "SyntheticSequences", "init_args": given | options}


@pytest.mark.parametrize("camera_motion", [False, True])
def test_perfect_detections_give_tracks_without_a_mistake(
    tracker: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    camera_motion: bool,
) -> None:
    perfect(monkeypatch)
    options = {"preset": "default", "confirm_hits": 1, "camera_motion": camera_motion}
    config = tracker(data__val=still(), model__tracker=options, trainer__max_epochs=1)
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 0
    assert ", MOTA 1.000, IDF1 1.000" in capsys.readouterr().out
    with (tmp_path / "tiny" / "version_0" / "metrics.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["val/HOTA"]]
    for name, value in {"MOTA": 1, "IDF1": 1, "IDSW": 0}.items():
        assert float(row[f"val/{name}"]) == pytest.approx(value)
    for name in ("HOTA", "AssA", "DetA"):  # the tracks' boxes are smoothed
        assert 0.7 < float(row[f"val/{name}"]) <= 1


def test_frames_come_to_the_tracker_in_the_order_of_time(
    tracker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is only in the second half of each video was missed in the first, and not the other way round."""
    seen: list[list[int]] = []
    update = Tracker.update

    def watch(self: Tracker, detections: Detections, image: Any = None) -> Detections:
        if self.frame == 0:
            seen.append([])
        seen[-1].append(len(detections))
        return update(self, detections, image)

    monkeypatch.setattr(Tracker, "update", watch)
    perfect(monkeypatch, lambda frame, found: found if frame >= 3 else Detections.empty())
    fit.run(["--config", tracker(data__val=still(), trainer__max_epochs=1), "--output", str(tmp_path)], "fit")
    assert [counts[:3] for counts in seen] == [[0, 0, 0]] * 2
    assert all(len(counts) == 6 for counts in seen)


def test_every_class_has_figures(tracker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perfect(monkeypatch)
    videos = still(one_class=False, shapes=["disc", "square"], objects=[2, 2])
    train = {**videos, "init_args": videos["init_args"] | {"seed": 0}}
    config = tracker(model__num_classes=2, data__train=train, data__val=videos, trainer__max_epochs=1)
    run = fit.run(["--config", config, "--output", str(tmp_path)], "fit")
    logged = {name.removeprefix("val/") for name in run.trainer.callback_metrics}
    assert {"HOTA", "disc/HOTA", "square/HOTA", "disc/IDSW"} <= logged


def test_validate_reports_tracks(tracker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tracker(trainer__max_epochs=1)
    fit.run(["--config", config, "--output", str(tmp_path)], "fit")
    capsys.readouterr()
    given = ["--config", config, "--ckpt_path", str(last(tmp_path)), "--output", str(tmp_path)]
    assert main(["validate", *given]) == 0
    said = capsys.readouterr().out
    assert "val/HOTA 0." in said and "moving_1_0001" in said
    figures = json.loads(Path(said.strip().splitlines()[-1].partition(": ")[2]).read_text())
    assert {"AP", "HOTA", "MOTA", "IDF1"} <= figures.keys()


def test_still_pictures_have_no_figures_of_tracks(tracker: Any, tmp_path: Path) -> None:
    stills = {"class_path": "Synthetic", "init_args": {"num_images": 8, "size": [64, 64], "seed": 5}}
    mapped = {"class_path": "MapClasses", "init_args": {"dataset": stills, "classes": {"disc": "object"}}}
    config = tracker(data__val=mapped, trainer__max_epochs=1)
    run = fit.run(["--config", config, "--output", str(tmp_path)], "fit")
    assert run.model.validated is not None
    assert run.model.validated.tracking is None


def test_options_of_the_tracker_are_checked_when_the_model_is_built(
    tracker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tracker(model__tracker={"high_skore": 0.3})
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) in (1, 2)
    assert "high_skore" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_do_not_tear_videos(tracker: Any, tmp_path: Path) -> None:
    """Each device evaluates every other frame; the tracks are those of whole videos."""
    script = tmp_path / "run.py"
    script.write_text(TWO_PROCESSES)
    figures = []
    for name, changes in (("one", {}), ("two", {"trainer__devices": 2, "trainer__strategy": "ddp"})):
        # no training, so both have the same weights: the threshold lets the untrained network's boxes become tracks
        config = tracker(
            trainer__max_epochs=1,
            trainer__limit_train_batches=1,
            optimization={"lr": 1e-12},
            model__tracker={"preset": "sort", "high_score": 0.02, "new_score": 0.02},
            ema_decay=0.0,
            **changes,
        )
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        given = ["--config", config, "--output", str(tmp_path / name), "--data.batch_size", "4"]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(script), *given],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        figures.append(re.findall(r"figures \d (.*)", done.stdout))
    assert len(figures[0]) == 1 and len(figures[1]) == 2, figures
    assert len({*figures[0], *figures[1]}) == 1, figures
    assert int(figures[0][0].split()[1]) > 0  # there were tracks
