"""The subject of an audit: data sets from a folder or a configuration, with what is known of the model for them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..annotations.problems import DataError, DataWarning, Problem
from ..configuration import make_parser
from ..extras import explain as explain_missing
from ..images import Preprocessing
from .dataset import DetectionDataset
from .detect_format import Source
from .fields import keypoint_field
from .findings import counted
from .report_html import Figure, figure
from .unread import explain_unread, nearest_formats

_SAMPLES = 12
_SPLITS = ("train", "val", "test")


@dataclass
class AuditSubject:
    """Data sets to audit by split, and the model that they are for."""

    description: str
    datasets: dict[str, DetectionDataset] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # splits that could not be opened, and why
    model: dict[str, Any] = field(default_factory=dict)  # what is known of the model: arguments of `audit`
    settings: dict[str, Any] = field(default_factory=dict)  # further arguments of `DataModule`
    radii: dict[str, Any] = field(default_factory=lambda: {"form": "ellipse"})  # arguments of `Targets.radii`
    configuration: str = ""  # YAML that trains on the data
    unread: list[Problem] = field(default_factory=list)  # files beside the data that look like annotations
    refusal: str = ""  # the message of the error over them, where nobody said that they are not wanted
    notes: list[str] = field(default_factory=list)  # on other files beside the data

    @contextmanager
    def opening(self, split: str) -> Iterator[None]:
        """Note that a split cannot be opened, so that it doesn't hide the others. Problems in the data aren't said."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            try:
                yield
            except (DataError, OSError) as error:
                self.failed[split] = str(error)

    def use_network(self, network: Any) -> None:
        """Take over what a `centernet.network.Network` says of its input, its classes and its targets."""
        self.model = {name: getattr(network, name) for name in self.model}
        head = next(head for head in network.every_head if hasattr(head, "find_peaks"))
        if hasattr(head, "radius"):
            self.radii = {"form": head.radius, "min_overlap": head.min_overlap, "alpha": head.alpha}


def open_folder(
    data: Source,
    *,
    class_names: Sequence[str] | None = None,
    size: tuple[int, int] = Preprocessing.size,
    stride: int = 4,
    require_images: bool = True,
) -> AuditSubject:
    """Open all splits of a folder or file of data.

    Args:
        data: the folder or file, as `find_format` returns it.
        class_names: only these classes, with commas between, in this order; default: all.
        size: of the network's input, N or HEIGHTxWIDTH.
        stride: of its output.
        require_images: False lets images be elsewhere, where the format's reader can do without.
    """
    if class_names is not None:
        data.options["class_names"] = class_names
    if not require_images and "require_images" in inspect.signature(data.format.reader).parameters:
        data.options["require_images"] = False
    subject = AuditSubject(data.description, configuration=data.configuration())
    subject.model = {"preprocessing": Preprocessing(size=size), "stride": stride}
    for split in data.splits:
        with subject.opening(split):
            dataset = data.open(split)
            len(dataset.columns)  # shards are read now
            subject.datasets[split] = dataset
    unread = data.unread(list(subject.datasets.values()))
    kind = "left-out-file" if data.chosen else "unread-annotation"
    subject.unread = [Problem(str(data.path / group.folder), kind, str(group)) for group in unread.annotations]
    subject.notes = unread.notes()
    if unread.annotations and not data.chosen:
        subject.refusal = explain_unread(data.path, data.format.title, unread, data.refusals)
        subject.notes += [nearest_formats(data.refusals)] if data.refusals else []
    return subject


def open_configuration(content: Mapping[str, Any], *, source: str) -> AuditSubject:
    """Open the data sets of the `data` section of a YAML file.

    Raises:
        ValueError: no such section, an unknown key or class, or a value of the wrong type; `source` begins the message.
    """
    from .datamodule import DataModule

    if not isinstance(content.get("data"), dict):
        raise ValueError(f"{source} has no `data` section (it has: {', '.join(map(str, content)) or 'nothing'})")
    values = {key: value for key, value in content["data"].items() if value is not None or key not in _SPLITS}
    given = [split for split in _SPLITS if split in values]
    subject = AuditSubject("a configuration with " + ", ".join(given))
    parser = make_parser(parts())
    parser.add_class_arguments(DataModule, "data", skip=set(_SPLITS), instantiate=False)
    for split in given:
        parser.add_argument(f"--data.{split}", type=DetectionDataset)
    try:
        parsed = parser.parse_object({"data": values})
    except Exception as error:  # jsonargparse's own, which tells the key and what was expected
        raise ValueError(f"{source}: {error}") from error
    datasets = {split: type(parsed)({f"data.{split}": parsed.data.pop(split)}) for split in given}
    subject.settings = dict(vars(parser.instantiate(parsed).data))
    subject.model = {key: subject.settings.pop(key) for key in ("preprocessing", "class_names", "num_classes")}
    subject.model["stride"] = 4
    for split, dataset in datasets.items():
        with subject.opening(split):
            subject.datasets[split] = parser.instantiate(dataset).data[split]
    return subject


def parts() -> dict[str, list[str]]:
    """Return the names of the classes that a `data` section may name, by kind."""
    from .. import data

    bases = {"data sets": DetectionDataset, "augmentation": data.Transform, "sampling": data.Sampling}
    classes = {name: value for name, value in sorted(vars(data).items()) if isinstance(value, type)}
    return {kind: [name for name in classes if issubclass(classes[name], base)] for kind, base in bases.items()}


def training_samples(subject: AuditSubject) -> list[Figure] | str:
    """Return the first samples of the first epoch, with the heatmaps to be predicted, or why there are none."""
    try:
        from ..ops import Targets
        from .datamodule import DataModule
    except ModuleNotFoundError as error:
        return f"Left out: {explain_missing(error, 'showing what training sees')}."
    train = subject.datasets.get("train")
    if train is None or not train.class_names:
        return []
    model, stride = subject.model, subject.model["stride"]
    settings = {**subject.settings, "preprocessing": model["preprocessing"], "class_names": model.get("class_names")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they are in the report
        try:
            module = DataModule(train, **settings | {"num_workers": 0, "batch_size": min(_SAMPLES, len(train))})
            batch = next(iter(module.train_dataloader()))
        except DataError:  # the report says why
            return []
    height, width = (-(-side // stride) for side in batch.images.shape[-2:])
    boxes = batch.boxes, batch.labels, batch.ignore
    targets = Targets(*boxes, batch.counts, grid=(height, width), stride=stride, num_classes=len(module.class_names))
    heatmaps = targets.heatmap(targets.radii(**subject.radii)).amax(1).numpy()
    points, figures = keypoint_field(batch.fields), []
    for place, count in enumerate(batch.counts.tolist()):
        pixels = batch.images[place].permute(1, 2, 0).numpy()
        truth, labels, ignore = (column[place, :count].numpy() for column in boxes)
        caption = f"{batch.annotations[place].path.name} · {counted(int((~ignore).sum()), 'object')}"
        shown = pixels, truth, labels, ignore, module.class_names, caption
        pose: dict[str, Any] = {}
        if points is not None:
            pose = {"keypoints": batch.data[points.name][place, :count].numpy(), "skeleton": points.skeleton}
        figures.append(figure(*shown, heatmap=heatmaps[place], width=320, **pose))
    return figures
