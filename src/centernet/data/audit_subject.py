"""The subject of an audit: data sets from a folder or a configuration, with what is known of the model for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images import Preprocessing
from .dataset import DetectionDataset
from .detect_format import find_format
from .report_html import TrainingSample
from .sample import DataError, DataWarning

if TYPE_CHECKING:
    from torch import Tensor

    from ..ops import Targets

_SAMPLES = 12


@dataclass
class AuditSubject:
    """Data sets to audit, and the model that they are for.

    Attributes:
        description: for people.
        datasets: by split.
        failed: splits that could not be opened, and why.
        preprocessing: of the network's input.
        stride: of its output.
        class_names: that the model is to know, where it says so.
        num_classes: the same.
        settings: further arguments of `DataModule`.
        radii: of the targets' blobs.
        configuration: YAML that trains on the data.
    """

    description: str
    datasets: dict[str, DetectionDataset] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    stride: int = 4
    class_names: Sequence[str] | None = None
    num_classes: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    radii: Callable[[Targets], Tensor] = lambda targets: targets.radii("ellipse")
    configuration: str = ""

    @property
    def trained_names(self) -> Sequence[str]:
        """The class names of the labels in training."""
        if self.class_names is not None:
            return self.class_names
        return next(iter(self.datasets.values())).class_names if self.datasets else ()


def open_folder(
    path: Path, *, format: str | None = None, class_names: Sequence[str] | None = None, require_images: bool = True
) -> AuditSubject:
    """Open all splits of a folder (or COCO file) of data, in a format that is found out.

    Args:
        path: the folder or file.
        format: its name; None takes the first that fits.
        class_names: those to read; None reads all.
        require_images: False lets COCO's images be elsewhere.

    Raises:
        DataError: no such folder, or nothing in it that is known.
    """
    source = find_format(path, name=format)
    if class_names is not None:
        source.options["class_names"] = class_names
    if not require_images and source.format.name == "coco":
        source.options["require_images"] = False
    also = f"; it looks like {', '.join(source.also)} too (--format chooses)" if source.also else ""
    subject = AuditSubject(source.format.title + also, configuration=source.configuration())
    for split in source.splits:
        try:
            subject.datasets[split] = source.open(split)
        except DataError as error:
            subject.failed[split] = str(error)
    return subject


def training_samples(subject: AuditSubject) -> list[TrainingSample]:
    """Return the first samples of the first epoch, with the heatmaps that they are trained with; none where training
    would not start.

    Raises:
        ModuleNotFoundError: training is not installed.
    """
    from ..ops import Targets
    from .datamodule import DataModule

    train = subject.datasets.get("train")
    if train is None or not train.class_names:
        return []
    settings = {**subject.settings, "num_workers": 0, "batch_size": min(_SAMPLES, len(train))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they are in the report
        try:
            names = None if subject.class_names is None else list(subject.class_names)
            module = DataModule(train, preprocessing=subject.preprocessing, class_names=names, **settings)
            batch = next(iter(module.train_dataloader()))
        except DataError:  # the report says why
            return []
    height, width = batch.images.shape[-2:]
    targets = Targets(
        batch.boxes,
        batch.labels,
        batch.ignore,
        batch.counts,
        grid=(-(-height // subject.stride), -(-width // subject.stride)),
        stride=subject.stride,
        num_classes=len(module.class_names),
    )
    heatmaps = targets.heatmap(subject.radii(targets)).amax(1)
    return [
        TrainingSample(
            title=batch.annotations[i].path.name,
            image=batch.images[i].permute(1, 2, 0).numpy(),
            boxes=batch.boxes[i, :count].numpy(),
            labels=batch.labels[i, :count].numpy(),
            ignore=batch.ignore[i, :count].numpy(),
            heatmap=heatmaps[i].numpy(),
        )
        for i, count in enumerate(batch.counts.tolist())
    ]
