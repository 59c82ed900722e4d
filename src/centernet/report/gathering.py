"""A model and the images that it is judged on: opened by what a person names, and run over one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from centernet.annotations.class_names import places_of
from centernet.annotations.problems import DataError, with_nearest
from centernet.data import DetectionDataset
from centernet.data.detect_format import Source
from centernet.documents import read_yaml_text
from centernet.inference import Detector
from centernet.inference.opening import RUNTIMES
from centernet.inference.validation import Validation
from centernet.report.runs import Run, is_run

_FORMS = tuple(suffix for suffix in RUNTIMES if suffix not in (".ckpt", ".param"))


@dataclass
class Subject:
    """The subject of a report.

    Attributes:
        name: as given.
        model: that `Detector` opens; None for a run without a checkpoint.
        run: that it is of, if it is of one.
        config: of the run, or of the checkpoint; None where there is none.
        forms: exported files beside it.
    """

    name: str
    model: str | None
    run: Run | None = None
    config: Mapping[str, Any] | None = None
    forms: list[Path] = field(default_factory=list)


def open_subject(given: str) -> Subject:
    """Find out what is given: the folder of a run, a checkpoint of one, or anything that `Detector` opens."""
    path = Path(given)
    if path.is_dir() and is_run(path):
        run = Run.read(path)
    elif path.suffix == ".ckpt" and path.is_file() and path.resolve().parent.name == "checkpoints":
        run = replace(Run.read(path.resolve().parent.parent), checkpoint=path)
    elif path.is_dir() and not any(path.iterdir()):
        raise ValueError(f"{given}: an empty folder; give a run of `centernet fit`, a model file or a model's name")
    else:
        config = _recorded(path) if path.suffix == ".ckpt" and path.is_file() else None
        return Subject(given, given, config=config, forms=_forms(path.parent) if path.suffix == ".ckpt" else [])
    forms = [file for folder in (run.folder, run.folder / "checkpoints") for file in _forms(folder)]
    model = None if run.checkpoint is None else str(run.checkpoint)
    return Subject(given, model, run, run.config, forms)


def open_data(subject: Subject, source: Source | None, split: str | None) -> DetectionDataset:
    """Open the images that a report is on: those given, else the validation or test split of the run's configuration.

    Raises:
        DataError: no such split, or no data at all.
    """
    if source is not None:
        return source.open(_chosen(list(source.splits), split, str(source.path)))
    data = (subject.config or {}).get("data") or {}
    splits = [name for name in ("val", "test", "train") if data.get(name)]
    if not splits:
        raise DataError(f"{subject.name}: does not say on which images it is judged; name them: --data FOLDER_OR_FILE")
    from centernet.data.audit_subject import open_configuration

    chosen = _chosen(splits, split, f"the configuration of {subject.name}")
    opened = open_configuration({"data": {chosen: data[chosen]}}, source=f"the configuration of {subject.name}")
    if chosen in opened.failed:
        raise DataError(f"{opened.failed[chosen]}; name other images by --data FOLDER_OR_FILE")
    return opened.datasets[chosen]


def evaluate(
    detector: Detector,
    dataset: DetectionDataset,
    *,
    renamed: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Validation, list[str]]:
    """Run a detector over a data set, and compute the figures.

    Args:
        detector: with the score threshold 0. Its classes are matched with those of the data by their names.
        dataset: the images and the truth.
        renamed: names of the data by those of the detector, for classes that both call differently.
        progress: called with 1 after each image.

    Returns:
        The validation, and lines on classes that only one of the two knows and on images that could not be read.

    Raises:
        DataError: they have no class in common, a name in `renamed` is no class, or no image could be read.
    """
    names = detector.class_names or dataset.class_names
    renamed = renamed or {}
    for own, given in ((names, list(renamed)), (dataset.class_names, list(renamed.values()))):
        if unknown := [name for name in given if name not in own]:
            whose = detector.name if own is names else repr(dataset)
            raise DataError(f"--rename: {with_nearest(unknown, own)} is no class of {whose}, which has {_some(own)}")
    places = np.array(places_of([renamed.get(name, name) for name in names], dataset.class_names))
    if not (places >= 0).any():
        text = f"the model's classes ({_some(names)}) are none of the data's ({_some(dataset.class_names)})"
        raise DataError(f"{detector.name}: {text}; --rename MODEL'S=DATA'S says which mean the same")
    notes, failed = _class_notes(detector, dataset, places), list[str]()
    validation = Validation(dataset.class_names, dataset, detector.tracker)

    def items() -> Iterator[Any]:
        own = dataset.reader is None
        for index in range(len(dataset)):
            yield dataset.path(index) if own else dataset.image(index).read()[0]

    stream = detector.stream(items(), on_error=lambda error: failed.append(str(error)))
    for frame, found in stream:
        known = places[found.labels] >= 0
        kept = found[known]
        kept = replace(kept, labels=places[kept.labels], class_names=dataset.class_names)
        validation.update(dataset.annotation(frame.index), kept)
        if progress is not None:
            progress(1)
    if failed:
        notes.append(f"{len(failed)} images could not be read and are left out; the first: {failed[0]}")
    if not len(validation):
        raise DataError(f"{dataset!r}: no image could be read. {' '.join(failed[:1])}")
    validation.compute()
    return validation, notes


def _class_notes(detector: Detector, dataset: DetectionDataset, places: Any) -> list[str]:
    there = set(places[places >= 0].tolist())
    lacking = [name for label, name in enumerate(dataset.class_names) if label not in there]
    without = [name for name, place in zip(detector.class_names, places.tolist(), strict=False) if place < 0]
    notes = []
    if lacking:
        notes.append(
            f"{len(lacking)} classes of the data that the model does not know count as missed: {_some(lacking)}"
        )
    if without:
        notes.append(f"{len(without)} classes of the model that the data do not have are left out: {_some(without)}")
    return notes


def _chosen(splits: list[str], given: str | None, where: str) -> str:
    if given is not None and given not in splits:
        raise DataError(f"{where}: no split {with_nearest([given], splits)}; there are {', '.join(splits)}")
    usual = [name for name in ("val", "test") if name in splits] or (splits if len(splits) == 1 else [])
    if given is None and not usual:
        raise DataError(f"{where}: on which of the splits {', '.join(splits)}? --split says it")
    return given or usual[0]


def _recorded(path: Path) -> dict[str, Any] | None:
    """Return the configuration in a checkpoint."""
    from centernet.network.tensor_files import read_checkpoint

    content = read_yaml_text(str(read_checkpoint(path).get("config") or ""))
    return content if isinstance(content, dict) else None


def _forms(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _FORMS and path.is_file())


def _some(names: Any) -> str:
    return ", ".join([*names][:12]) + ", …" * (len(names) > 12)
