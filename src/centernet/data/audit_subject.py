"""The subject of an audit: data sets from a folder or a configuration, with what is known of the model for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..configuration import make_parser
from ..extras import explain as explain_missing
from ..images import Preprocessing
from .dataset import DetectionDataset
from .detect_format import find_format
from .report_html import TrainingSample
from .sample import DataError, DataWarning

if TYPE_CHECKING:
    from torch import Tensor

    from ..ops import Targets

_SAMPLES = 12
_SPLITS = ("train", "val", "test")


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


def is_configuration(path: Path) -> bool:
    """Return True for a YAML file other than YOLO's data.yaml, which has `names`.

    Raises:
        ValueError: it is no valid YAML.
    """
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    return not isinstance(content, dict) or "names" not in content


def open_folder(
    path: Path,
    *,
    format: str | None = None,
    class_names: Sequence[str] | None = None,
    size: tuple[int, int] = Preprocessing.size,
    stride: int = 4,
    require_images: bool = True,
) -> AuditSubject:
    """Open all splits of a folder (or COCO file) of data.

    Args:
        path: the folder or file.
        format: voc, coco, yolo, mot, …; default: found out.
        class_names: the classes, with commas between; default: all.
        size: of the network's input, N or HEIGHTxWIDTH.
        stride: of its output.
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
    subject = AuditSubject(source.format.title + also, stride=stride, configuration=source.configuration())
    subject.preprocessing = Preprocessing(size=size)
    for split in source.splits:
        try:
            subject.datasets[split] = source.open(split)
        except DataError as error:
            subject.failed[split] = str(error)
    return subject


def open_section(section: Mapping[str, Any], *, source: str) -> AuditSubject:
    """Open the data sets of a `data` section, each by itself, so that one that fails doesn't hide the others.

    Args:
        section: as in the YAML file.
        source: begins the messages.

    Raises:
        ImportError: training is not installed.
        ValueError: an unknown key or class, or a value of the wrong type.
    """
    from .datamodule import DataModule

    parser = make_parser(parts())
    parser.add_class_arguments(DataModule, "data", skip=set(_SPLITS), instantiate=False)
    others = {key: value for key, value in section.items() if key not in _SPLITS}
    settings = dict(vars(parser.instantiate(_parse(parser, {"data": others}, source)).data))
    given = [split for split in _SPLITS if section.get(split) is not None]
    subject = AuditSubject("a configuration with " + ", ".join(given), preprocessing=settings.pop("preprocessing"))
    subject.class_names, subject.num_classes = settings.pop("class_names"), settings.pop("num_classes")
    subject.settings = settings
    for split in given:
        parser = make_parser(parts())
        parser.add_argument(f"--{split}", type=DetectionDataset)
        parsed = _parse(parser, {split: section[split]}, f"{source}: data")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # problems in the data are in the data sets' `problems`
            try:
                subject.datasets[split] = parser.instantiate(parsed)[split]
            except (DataError, OSError) as error:
                subject.failed[split] = str(error)
    return subject


def parts() -> dict[str, list[str]]:
    """Return the names of the classes that a `data` section may name, by kind."""
    from .. import data

    bases = {"data sets": DetectionDataset, "augmentation": data.Transform, "sampling": data.Sampling}
    classes = {name: value for name in data.__all__ if isinstance(value := getattr(data, name), type)}
    return {kind: [name for name in classes if issubclass(classes[name], base)] for kind, base in bases.items()}


def _parse(parser: Any, values: dict[str, Any], source: str) -> Any:
    try:
        return parser.parse_object(values)
    except Exception as error:  # jsonargparse's own, which tells the key and what was expected
        raise DataError(f"{source}: {error}") from error


def training_samples(subject: AuditSubject) -> tuple[list[TrainingSample], str]:
    """Return the first samples of the first epoch, with the heatmaps that they are trained with, or none and why."""
    try:
        from ..ops import Targets
        from .datamodule import DataModule
    except ModuleNotFoundError as error:
        return [], f"Left out: {explain_missing(error, 'showing what training sees')}."
    train = subject.datasets.get("train")
    if train is None or not train.class_names:
        return [], ""
    settings = {**subject.settings, "num_workers": 0, "batch_size": min(_SAMPLES, len(train))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they are in the report
        try:
            names = None if subject.class_names is None else list(subject.class_names)
            module = DataModule(train, preprocessing=subject.preprocessing, class_names=names, **settings)
            batch = next(iter(module.train_dataloader()))
        except DataError:  # the report says why
            return [], ""
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
    samples = [
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
    return samples, ""
