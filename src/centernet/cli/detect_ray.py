"""`centernet detect SOURCE --engine ray`: the command's other engine, for more images than one process gets through.

centernet detect s3://bucket/photos --engine ray --output found
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from centernet.cli.arguments import given_options
from centernet.cli.log import tell
from centernet.cli.output import DRAWING, output_folder
from centernet.cli.progress import Progress, say
from centernet.distributed.engine import ShardError, run_shards
from centernet.distributed.plan import NAME, check_plan, list_shards, read_plan, write_plan
from centernet.distributed.rows import FORMATS
from centernet.distributed.worker import Task, model_file
from centernet.ending import held
from centernet.extras import require
from centernet.images.limits import VARIABLE
from centernet.inference import Detector
from centernet.inference.writers import counted
from centernet.remote import without_password
from centernet.text import shown
from centernet.whole import write_bytes

SHARD_SIZE = 256
"""Images of a shard where nobody says how many."""

_LOCAL = ("show", "annotations", "calib", "device", *DRAWING)


def check_options(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """End the command, as wrong usage, for options of the other engine."""
    wrong = [name for name in _LOCAL if getattr(given, name, None)] if given.engine == "ray" else []
    if given.engine == "ray" and given.every > 1:
        wrong.append("every")
    if given.engine == "local":
        wrong += [name for name in ("workers", "shard_size") if getattr(given, name) is not None]
    if wrong:
        other = "local" if given.engine == "ray" else "ray"
        parser.error(f"--{wrong[0].replace('_', '-')} is of --engine {other}")
    formats = given.format or []
    if given.engine == "ray" and (len(formats) > 1 or not set(formats) <= set(FORMATS)):
        parser.error(f"--format {','.join(formats)}: --engine ray writes {' or '.join(FORMATS)}")
    if given.engine == "local" and set(formats) & set(FORMATS):
        parser.error(f"--format {','.join(formats)}: {' and '.join(FORMATS)} are of --engine ray")


def run(given: argparse.Namespace) -> int:
    """Run the command; 1 where an image could not be read, or a shard not be done."""
    for package in ("ray", "pyarrow", "fsspec"):
        require(package, "--engine ray")
    path = model_file(given.model)
    options = {name: value for name, value in given_options(given, Detector).items() if name != "model"}
    detector = Detector(path, **{"threads": 1, **options})  # a wrong option is told at once
    task = Task(given.model, options, given.source, (given.format or FORMATS)[0], os.environ.get(VARIABLE))
    size = given.shard_size or SHARD_SIZE
    about = _about(given, task, path, size, detector.class_names)
    with output_folder(given.output, "detections", given.source, resume=given.resume, record=NAME) as folder:
        plan = folder / NAME
        if given.resume and plan.is_file():
            check_plan(plan, about)
        else:
            _check_free(folder)
            write_plan(plan, about, list_shards(given.source, recursive=given.recursive, size=size))
        return _run(folder, plan, task, given.workers)


def _run(folder: Path, plan: Path, task: Task, workers: int | None) -> int:
    """Do the shards of a plan whose files are not there."""
    total = finished = 0
    for shard in read_plan(plan):
        total += 1
        finished += _file(folder, shard.number, task).is_file()
    if finished:
        tell(f"{finished} of {counted(total, 'shard')} are finished already")
    if finished == total:
        return 0
    left = (shard for shard in read_plan(plan) if not _file(folder, shard.number, task).is_file())
    images = objects = failed = wrote = undone = 0
    progress = Progress(total - finished, unit="shards")
    progress.begin()
    try:
        with closing(run_shards(left, task, workers=workers)) as found:
            for done in found:
                if isinstance(done, ShardError):
                    undone += 1
                    say(f"not done: {shown(done)}")
                else:
                    with held():
                        write_bytes(_file(folder, done.number, task), done.content)
                    wrote += 1
                    images, objects, failed = images + done.images, objects + done.objects, failed + done.failed
                progress.advance()
    except KeyboardInterrupt as stop:
        text = f"what was finished is written ({counted(wrote, 'shard')}); to go on, give the same command with"
        raise type(stop)(f"{text} --output {folder} --resume") from stop
    finally:
        progress.close(whole=not undone and wrote == total - finished)
        tell(f"{counted(objects, 'object')} in {counted(images, 'image')}")
        if failed:
            tell(f"{failed} could not be read; their rows have the reason in `error`")
        tell(f"wrote {counted(wrote, 'shard')} to {folder} ({finished + wrote} of {total} are there)")
    if undone:
        tell(f"{counted(undone, 'shard')} not done; --resume tries them again")
    return 1 if failed or undone else 0


def _file(folder: Path, number: int, task: Task) -> Path:
    return folder / f"shard-{number:06d}.{task.form}"


def _check_free(folder: Path) -> None:
    """Raise a ValueError where shards of another run are in a folder: two plans would be mixed."""
    there = next((path for form in FORMATS for path in folder.glob(f"shard-*.{form}")), None)
    if there is not None or (folder / NAME).exists():
        raise ValueError(
            f"{folder}: has the shards of a run already; go on with that one (--resume), or give another --output"
        )


def _about(
    given: argparse.Namespace, task: Task, model: Path, size: int, class_names: tuple[str, ...]
) -> Mapping[str, Any]:
    """Return what makes up a run: another value gives other results."""
    digest = hashlib.sha256()
    for path in _parts(model):
        digest.update(path.read_bytes())
    return {
        "version": 1,
        "model": Path(given.model).name,
        "sha256": digest.hexdigest(),
        "class_names": class_names,
        "sources": [without_password(source) if "://" in source else source for source in given.source],
        "recursive": given.recursive,
        "shard_size": size,
        "format": task.form,
        "max_pixels": task.max_pixels,
        "options": {name: value for name, value in task.options.items() if name not in ("threads", "batch_size")},
    }


def _parts(model: Path) -> Iterator[Path]:
    """Iterate over the files of a model: itself, and the weights beside it."""
    yield model
    for path in (model.with_suffix(".bin"), model.with_suffix(".safetensors"), Path(f"{model}.data")):
        if path.is_file():
            yield path
