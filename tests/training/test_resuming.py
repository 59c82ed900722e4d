"""Runs that were stopped: by Ctrl-C, by a crash, with a broken file; the command and the option that go on."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from centernet import CenterNet
from centernet.cli.main import main
from centernet.training.files import ContinuedLog, RunLog, WholeCheckpoints, read_table
from centernet.training.resuming import checkpoints, command_to_go_on, newest_checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*treespec.*"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*instantiate_classes.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*dirpath has changed.*"),
]


def write(path: Path, time: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    os.utime(path, (time, time))
    return path


def test_the_newest_checkpoint_is_the_last_of_the_run_that_wrote_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = write(tmp_path / "tiny" / "version_2" / "checkpoints" / "last.ckpt", 100)
    last = write(tmp_path / "tiny" / "version_0" / "checkpoints" / "last.ckpt", 200)
    best = write(tmp_path / "tiny" / "version_0" / "checkpoints" / "best.ckpt", 201)
    write(tmp_path / "other" / "version_0" / "checkpoints" / "last.ckpt", 300)
    (tmp_path / "tiny" / "version_3").mkdir()
    assert checkpoints(tmp_path, "tiny") == [last, best, old]
    assert newest_checkpoint(tmp_path, "tiny") == last
    last.unlink()
    assert newest_checkpoint(tmp_path, "tiny") == best
    assert newest_checkpoint(tmp_path, "tin") is None and "begins from the start" in caplog.text


def test_the_command_that_goes_on(tmp_path: Path) -> None:
    last = tmp_path / "last.ckpt"
    given = [
        "--config",
        "my file.yaml",
        "--ckpt_path",
        "x.ckpt",
        "--trainer.max_epochs",
        "4",
        "--ckpt_path=y",
        "--resume",
    ]
    assert (
        command_to_go_on(given, last, last) == "centernet fit --config 'my file.yaml' --trainer.max_epochs 4 --resume"
    )
    end = f"--ckpt_path {last}"
    assert command_to_go_on(given, last, None) == f"centernet fit --config 'my file.yaml' --trainer.max_epochs 4 {end}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_the_command_that_goes_on(
    tiny: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    def interrupt(self: Any, *_: Any) -> None:
        if self.global_step == 8:  # in the second of three epochs
            os.kill(os.getpid(), number)

    command = ["fit", "--config", tiny(trainer__max_epochs=3), "--output", str(tmp_path / "runs")]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes in the background ignore it from the start
    with monkeypatch.context() as patch:
        patch.setattr(CenterNet, "on_train_batch_start", interrupt)
        assert main(command) == 128 + number
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    goes_on = capsys.readouterr().err.strip().splitlines()[-1]
    assert goes_on == shlex.join(["centernet", *command, "--resume"])
    assert main(shlex.split(goes_on)[1:]) == 0
    said = capsys.readouterr().out
    last = tmp_path / "runs" / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    assert f"resume: {last}" in said and "epoch 3/3" in said and "epoch 1/3" not in said
    assert torch.load(last, weights_only=True)["global_step"] == 18


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_ctrl_c_before_anything_was_written(
    tiny: Any, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--config", tiny(trainer__max_epochs=1), "--output", str(tmp_path)]
    if command == "validate":
        assert main(["fit", *given]) == 0
        given += ["--ckpt_path", str(tmp_path / "tiny" / "version_0" / "checkpoints" / "last.ckpt")]

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CenterNet, "training_step" if command == "fit" else "validation_step", interrupt)
    assert main([command, *given]) == 130
    said = capsys.readouterr().err
    assert ("no checkpoint" if command == "fit" else "nothing was written") in said
    assert "Traceback" not in said


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("way", ["--resume", "--ckpt_path", "--start_from"])
def test_a_checkpoint_that_was_cut_off_is_named(
    tiny: Any, tmp_path: Path, share: float, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": {"x": torch.rand(1000)}}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    (path.parent / "best.ckpt").write_bytes(content)
    given = [way] if way == "--resume" else [way, str(path)]
    assert main(["fit", "--config", tiny(), "--output", str(tmp_path), *given]) == 1
    error = capsys.readouterr().err
    assert str(path) in error and "Traceback" not in error
    assert way == "--start_from" or "best.ckpt" in error


def test_weights_alone_and_a_missing_file_are_no_run_to_go_on_from(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(trainer__max_epochs=1)
    assert main(["fit", "--config", config, "--output", str(tmp_path)]) == 0
    whole = torch.load(tmp_path / "tiny" / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    path = tmp_path / "weights.ckpt"
    torch.save({key: whole[key] for key in ("state_dict", "hyper_parameters", "config")}, path)
    given = ["--config", config, "--output", str(tmp_path), "--trainer.max_epochs", "2"]
    assert main(["fit", *given, "--ckpt_path", str(path)]) == 1
    error = capsys.readouterr().err
    assert "weights alone" in error and f"--start_from {path}" in error
    whole["state_dict"].pop("neck.merge.0.weight", None) or whole["state_dict"].popitem()
    torch.save(whole, path)
    assert main(["fit", *given, "--ckpt_path", str(path)]) == 1
    assert f"{path}: its weights do not fit" in capsys.readouterr().err
    for command in ("fit", "validate"):
        assert main([command, *given, "--ckpt_path", "nowhere.ckpt"]) == 1
        assert "nowhere.ckpt does not exist" in capsys.readouterr().err
    assert main(["fit", *given, "--resume", "--ckpt_path", str(path)]) == 1
    assert "give one of them" in capsys.readouterr().err


def test_a_resumed_run_from_nothing_and_one_that_is_done(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", "--config", tiny(trainer__max_epochs=1), "--output", str(tmp_path), "--resume"]
    assert main(command) == 0, "no checkpoint yet: from the start"
    assert "begins from the start" in capsys.readouterr().out
    table = (tmp_path / "tiny" / "version_0" / "metrics.csv").read_bytes()
    assert main(command) == 0 and "nothing is left to train" in capsys.readouterr().out
    assert (tmp_path / "tiny" / "version_0" / "metrics.csv").read_bytes() == table
    assert not list(tmp_path.rglob(".centernet*")) and not (tmp_path / "tiny" / "version_1").exists()


def test_a_resumed_run_keeps_its_precision_and_the_seed_is_that_of_the_data_too(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("centernet.training.trainer.bf16_speedup", lambda: 2.0)
    command = ["fit", "--config", tiny(trainer__max_epochs=1), "--output", str(tmp_path), "--trainer.precision", "auto"]
    command += ["--trainer.accelerator", "cpu", "--seed_everything", "3"]
    assert main(command) == 0 and "precision bf16-mixed" in capsys.readouterr().out
    written = yaml.safe_load((tmp_path / "tiny" / "version_0" / "config.yaml").read_text())
    assert written["data"]["seed"] == 3
    monkeypatch.setattr("centernet.training.trainer.bf16_speedup", lambda: 0.5)
    assert main([*command, "--trainer.max_epochs", "2", "--resume"]) == 0
    assert "precision bf16-mixed" in capsys.readouterr().out
    assert main([*command, "--data.seed", "4"]) == 0 and "precision 32-true" in capsys.readouterr().out
    written = yaml.safe_load((tmp_path / "tiny" / "version_1" / "config.yaml").read_text())
    assert written["data"]["seed"] == 4 and written["seed_everything"] == 3


def test_a_table_that_was_cut_off_goes_on_with_its_whole_rows(tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "version_0"
    folder.mkdir(parents=True)
    rows = "epoch,step,val/AP\r\n0,3,0.1\r\n0,7,0.2\r\n1,11,0.3\r\n"
    (folder / "metrics.csv").write_bytes(f"{rows}1,1".encode())
    log = ContinuedLog(folder, step=8)
    assert (folder / "metrics.csv").read_bytes().decode() == rows.removesuffix("1,11,0.3\r\n"), "the third comes again"
    log.log_metrics({"val/AP": 0.4, "epoch": 1}, step=11)
    log.save()
    log.log_metrics({"val/HOTA": 0.5, "epoch": 1}, step=12)
    log.save()
    assert [row["step"] for row in read_table(folder / "metrics.csv")] == ["3", "7", "11", "12"]
    assert read_table(folder / "metrics.csv")[-1] == {"epoch": "1", "step": "12", "val/AP": "", "val/HOTA": "0.5"}


def test_runs_that_begin_at_once_have_folders_of_their_own(tmp_path: Path) -> None:
    logs = [RunLog(tmp_path, name="tiny") for _ in range(3)]
    assert [log.version for log in logs] == [0, 1, 2]


def test_a_checkpoint_is_whole_or_the_one_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"state_dict": {"a": torch.ones(3)}}, path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"last\.ckpt: was not written: its disk is full"):
        WholeCheckpoints().save_checkpoint({"state_dict": {"a": torch.zeros(3)}}, path)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["last.ckpt"]


def test_the_page_of_a_resumed_run_is_that_of_one_that_was_never_stopped(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the best epoch was before the stop, and where the run was stopped before the page was written."""
    still = ["--optimization.lr", "1e-12", "--optimization.frozen_norms", "true"]  # the first epoch stays the best
    command = ["fit", "--config", tiny(trainer__max_epochs=2), *still, "--output"]
    assert main([*command, str(tmp_path / "whole")]) == 0

    def interrupt(self: Any, *_: Any) -> None:
        if self.global_step == 8:  # in the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CenterNet, "on_train_batch_start", interrupt)
        assert main([*command, str(tmp_path / "stopped")]) == 130
    assert main([*command, str(tmp_path / "stopped"), "--resume"]) == 0
    whole, run = (tmp_path / name / "tiny" / "version_0" for name in ("whole", "stopped"))
    expected = (whole / "report.json").read_text()
    assert "the figures are those of epoch 1" in expected
    assert (run / "report.json").read_text() == expected
    for name in ("report.json", "report.html"):
        (run / name).unlink()
    assert main([*command, str(tmp_path / "stopped"), "--resume"]) == 0
    assert "nothing is left to train" in capsys.readouterr().out
    assert (run / "report.json").read_text() == expected and (run / "report.html").is_file()


def test_the_best_weights_before_count_where_they_are_and_are_named_where_they_are_not(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose folder was moved, and its last checkpoint by itself, as it is brought to another machine."""
    still = ["--optimization.lr", "1e-12", "--optimization.frozen_norms", "true"]  # the first epoch stays the best
    command = ["fit", "--config", tiny(trainer__max_epochs=1), *still]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main([*command, "--output", "runs"]) == 0
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    run = (tmp_path / "here" / "runs").rename(tmp_path / "moved") / "tiny" / "version_0"
    best, last = (run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    alone, first = tmp_path / "there" / "last.ckpt", best.read_bytes()
    alone.write_bytes(last.read_bytes())
    capsys.readouterr()

    longer = [*command, "--trainer.max_epochs", "2", "--output"]
    assert main([*longer, str(tmp_path / "moved"), "--resume"]) == 0
    said = capsys.readouterr()
    assert best.read_bytes() == first and f"checkpoint: {best}" in said.out
    assert "are not in" not in said.out + said.err
    assert "the figures are those of epoch 1" in (run / "report.json").read_text()

    assert main([*longer, "runs", "--ckpt_path", str(alone)]) == 0
    said = capsys.readouterr()
    new = tmp_path / "there" / "runs" / "tiny" / "version_0"
    assert "the best weights before (val/AP " in said.out + said.err and "are not in" in said.out + said.err
    assert torch.load(new / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] == 1
    assert "the figures are those of epoch 2" in (new / "report.json").read_text()
