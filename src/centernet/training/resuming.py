"""Runs that are stopped and go on: the newest checkpoint, what is left of a run, and the command that goes on."""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from centernet.extras import require
from centernet.network.tensor_files import read_checkpoint

logger = logging.getLogger(__name__)

_LAST = "last.ckpt"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a run; the text says how to go on."""


class NothingLeft(ValueError):
    """A run that is to go on has had all its epochs or steps."""


def checkpoints(output: Path, name: str) -> list[Path]:
    """Return the checkpoints of the runs of a name under an output folder.

    The run that wrote one last comes first, and of a run first the end of its last epoch.
    """
    runs = [sorted(run.glob("checkpoints/*.ckpt"), key=_age, reverse=True) for run in (output / name).glob("version_*")]
    runs = [paths for paths in runs if paths]
    runs.sort(key=lambda paths: max((path.stat().st_mtime, path.parent.parent.name) for path in paths), reverse=True)
    return [path for paths in runs for path in paths]


def _age(path: Path) -> tuple[bool, float]:
    return path.name == _LAST, path.stat().st_mtime


def newest_checkpoint(output: Path, name: str) -> Path | None:
    """Return the checkpoint that the newest run of a name goes on from: its last epoch's where there is one.

    None where there is no checkpoint, with a warning: a run that ended before its first begins from the start.
    """
    found = checkpoints(output, name)
    if not found:
        logger.warning(
            "--resume: no checkpoint in %s/version_*/checkpoints: the training begins from the start. If there should "
            "be one, give the --output and the name of the configuration file that the run had, or --ckpt_path FILE",
            output / name,
        )
        return None
    return found[0]


def open_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a run is to go on from or that is evaluated.

    Raises:
        FileNotFoundError, ValueError: the file, what is wrong with it, and the whole ones beside it.
    """
    try:
        return read_checkpoint(path)
    except ValueError as error:
        beside = [str(other) for other in sorted(path.parent.glob("*.ckpt")) if other != path]
        if not beside:
            raise
        raise ValueError(f"{error} Beside it: {', '.join(beside)} (--ckpt_path)") from error


def fetched_checkpoint(address: str) -> Path:
    """Download a checkpoint into torch's folder of them, and return the file, which is read as any other.

    Args:
        address: http or https, or what fsspec opens (s3://…, gs://…).

    Raises:
        ValueError: it cannot be downloaded.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(urlsplit(address).path).name or "checkpoint.ckpt"
    path = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}"
    try:
        if urlsplit(address).scheme in ("http", "https"):
            torch.hub.download_url_to_file(address, str(path), progress=False)
        else:
            fsspec = require("fsspec", f"a checkpoint at {urlsplit(address).scheme}://")
            fsspec.open(address).fs.get(address, str(path))
    except ImportError:
        raise
    except Exception as error:  # urllib and fsspec have many
        raise ValueError(f"{address}: the checkpoint cannot be downloaded ({error}); give it as a file") from error
    logger.info("downloaded: %s", path)
    return path


def check_unfinished(checkpoint: Mapping[str, Any], source: Path, max_epochs: int | None, max_steps: int) -> None:
    """Make sure that a run has something left to train.

    Args:
        checkpoint: of the run.
        source: names it in messages.
        max_epochs, max_steps: of the trainer.

    Raises:
        NothingLeft: it has had all its epochs or steps.
    """
    epochs, steps = int(checkpoint.get("DataModule", {}).get("epoch", 0)), int(checkpoint.get("global_step", 0))
    for had, limit, unit in ((epochs, max_epochs, "epochs"), (steps, max_steps, "steps")):
        if limit is not None and 0 < limit <= had:
            raise NothingLeft(
                f"{source} has had {had} {unit} and trainer.max_{unit} is {limit}: nothing is left to train. To train "
                f"longer give a larger --trainer.max_{unit}; the schedule of the learning rate is stretched over it"
            )


def command_to_go_on(arguments: Sequence[str], checkpoint: Path, newest: Path | None) -> str:
    """Return the command that goes on with a stopped run.

    Args:
        arguments: of the command that was stopped.
        checkpoint: of the run.
        newest: what `--resume` would find.
    """
    kept, passing = [], False
    for argument in arguments:
        if passing or argument == "--resume" or argument.startswith(("--ckpt_path", "--resume=")):
            passing = not passing and argument == "--ckpt_path"
            continue
        kept.append(argument)
    end = ["--resume"] if newest == checkpoint else ["--ckpt_path", str(checkpoint)]
    return shlex.join(["centernet", "fit", *kept, *end])
