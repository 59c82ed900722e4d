"""Contract suites: what every part of a kind must keep, for this package's own tests and for users' parts."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from .boxes import clip
from .column import Column
from .data import Annotation, Augment, DetectionDataset, Problem, Resize, Sample, Transform
from .data.fields import check_data, has_visibility
from .images import ImageError, Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .network.backbones import Backbone
    from .network.heads import Head
    from .network.necks import Neck
    from .ops import Peaks

_ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "boxes": (np.float32, (4,)),
    "labels": (np.int64, ()),
    "ids": (np.int64, ()),
    "ignore": (np.bool_, ()),
}


def check_dataset(dataset: DetectionDataset, *, samples: int = 20) -> None:
    """Check that a data set keeps the contract that training and evaluation rely on.

    Lengths, types and shapes; boxes with area and inside their images (of an amodal data set: reaching into them);
    labels within `class_names`; identities below `num_identities`, each once in an image; different image ids; an array
    in `data` for each of the data set's fields, with keypoints of visibility 0, 1 or 2, at 0 0 where it is 0;
    sequences of its samples; annotations that are read-only and unchanged after reading and transforming; the same
    samples again, also after the journey to a worker; augmentation that depends on its random generator alone. An
    image that cannot be read must be named in `problems` once that was tried.

    Args:
        dataset: of any format.
        samples: how many of its samples are read, evenly spaced; the annotations of all are checked.

    Raises:
        AssertionError: what is wrong, with the sample's number and file.
    """
    count = len(dataset)
    assert isinstance(dataset, DetectionDataset), f"expected a DetectionDataset, got {type(dataset).__name__}"
    assert count > 0, "the data set has no sample"
    names = dataset.class_names
    assert type(names) is tuple and all(type(name) is str and name for name in names), f"class_names is {names!r}"
    assert len(set(names)) == len(names), f"class_names has a name twice: {names}"
    assert all(isinstance(problem, Problem) for problem in dataset.problems), "problems holds something else"
    if dataset.category_ids is not None:
        assert len(set(dataset.category_ids)) == len(names), "category_ids: expected one number for each class"
    for wrong in (-1, count):
        try:
            dataset.annotation(wrong)
        except IndexError:
            continue
        raise AssertionError(f"annotation({wrong}) of {count} samples: expected an IndexError")

    image_ids: dict[int, int] = {}
    for index in range(count):
        annotation = dataset.annotation(index)
        check_annotation(annotation, len(names), f"annotation({index})", amodal=dataset.amodal, fields=dataset.fields)
        where = f"annotation({index}) ({annotation.path})"
        known, most = annotation.ids[annotation.ids != -1], dataset.num_identities
        wrong_ids = known[(known < 0) | (known >= most)][:1]
        expected = f"-1, or 0 up to num_identities ({most}) without it"
        assert not len(wrong_ids), f"{where}: an identity is {wrong_ids}, expected {expected}"
        assert len(set(known.tolist())) == len(known), f"{where}: an identity is there twice: {known.tolist()}"
        other = image_ids.setdefault(annotation.image_id, index)
        assert other == index, f"samples {other} and {index} have the same image_id {annotation.image_id}"
        assert dataset.path(index) == annotation.path, f"path({index}) is not that of its annotation"

    names_of_videos = [video.name for video in dataset.sequences]
    assert len(set(names_of_videos)) == len(names_of_videos), f"two sequences have one name: {names_of_videos}"
    for video in dataset.sequences:
        inside = 0 <= video.start < video.stop <= count and video.frame_rate > 0
        assert inside, f"{video}: expected a rate above 0 and a range of the {count} samples"

    clone = pickle.loads(pickle.dumps(dataset))
    for index in np.unique(np.linspace(0, count - 1, min(samples, count)).astype(int)).tolist():
        _check_sample(dataset, clone, index)


def check_annotation(
    annotation: Annotation, num_classes: int, where: str, *, amodal: bool = False, fields: Sequence[Column] = ()
) -> None:
    """Check one annotation.

    Args:
        annotation: of any data set.
        num_classes: labels are below it.
        where: begins the messages of AssertionErrors, which say what is wrong.
        amodal: boxes may reach over the edges of the image.
        fields: of the data set.
    """
    where = f"{where} ({annotation.path})"
    height, width = annotation.height, annotation.width
    assert height > 0 and width > 0, f"{where}: the image has the size {height}×{width}"
    _check_arrays(annotation, where, _ARRAYS | {"areas": (np.float32, ())})
    _check_values(annotation, (height, width), num_classes, where, amodal)
    assert (annotation.areas > 0).all(), f"{where}: an area is not above 0"
    _check_data(annotation, fields, where)
    for name, array in annotation.data.items():
        assert not array.flags.writeable, f"{where}: data[{name!r}] can be written to"
    for name in (*_ARRAYS, "areas"):
        assert not getattr(annotation, name).flags.writeable, f"{where}: {name} can be written to"


def _check_sample(dataset: DetectionDataset, clone: DetectionDataset, index: int) -> None:
    where = f"sample {index} ({dataset.path(index)})"
    classes = len(dataset.class_names)
    before = _copy(dataset.annotation(index))
    try:
        sample = dataset[index]
        shape = sample.image.shape
    except ImageError:
        named = any(problem.path == str(dataset.path(index)) for problem in dataset.problems)
        assert named, f"{where}: unreadable, but not named in `problems`"
        return
    assert sample.image.dtype == np.uint8 and shape[2:] == (3,), f"{where}: the image is no uint8 H×W×3"
    _check_arrays(sample, where, _ARRAYS)
    truth = sample.annotation
    assert shape[:2] == (truth.height, truth.width), f"{where}: the image is {shape}, not what its annotation says"
    check_annotation(truth, classes, where, amodal=dataset.amodal, fields=dataset.fields)
    assert sample.fields == dataset.fields, f"{where}: its fields are {sample.fields}, the data set's {dataset.fields}"
    for name in sample.data:
        same = np.array_equal(sample.data[name], truth.data[name])
        assert same, f"{where}: its {name} are not those of its annotation"
    for name in _ARRAYS:
        same = np.array_equal(getattr(sample, name), getattr(truth, name))
        assert same, f"{where}: its {name} are not those of its annotation"
    assert _same(sample, clone[index]), f"{where}: another sample after pickling"
    assert _same(sample, dataset[index]), f"{where}: another sample when read again"

    preprocessing = Preprocessing(size=(96, 128))
    check_transform(Resize(), sample, preprocessing, classes, amodal=dataset.amodal)
    for transform in (Augment(), Augment(scale=(0.3, 0.5), rotate=20, shear=5, vertical_flip=0.5)):
        check_transform(transform, sample, preprocessing, classes, amodal=dataset.amodal)
    sample.boxes[:] = -1  # whoever changes a sample changes nothing else
    sample.labels[:] = -1
    sample.ignore[:] = ~sample.ignore
    for array in sample.data.values():
        array[:] = 1
    assert _copy(dataset.annotation(index)) == before, f"{where}: changing the sample changed its annotation"
    assert _same(dataset[index], clone[index]), f"{where}: changing the sample changed the next one"


def check_transform(
    transform: Transform, sample: Sample, preprocessing: Preprocessing, num_classes: int, *, amodal: bool = False
) -> None:
    """Check what a transform makes of a sample, which must be left as it is; an AssertionError says what is wrong.

    Args:
        transform: any.
        sample: from a data set.
        preprocessing: of a network whose input has a fixed size.
        num_classes: labels are below it.
        amodal: boxes of the result may reach over the edges of the input.
    """
    where = f"{type(transform).__name__} of {sample.annotation.path}"
    before, truth = _copy(sample), _copy(sample.annotation)
    result = transform(sample, np.random.default_rng(1), preprocessing)
    assert _copy(sample) == before, f"{where}: it changed the sample that it was given"
    assert _copy(sample.annotation) == truth, f"{where}: it changed the annotation"
    assert result.annotation is sample.annotation, f"{where}: expected the same annotation in the result"
    expected = (*preprocessing.output_size((sample.image.shape[0], sample.image.shape[1])), 3)
    assert result.image.shape == expected, f"{where}: the image is {result.image.shape}, expected {expected}"
    assert result.image.dtype == np.uint8, f"{where}: the image is {result.image.dtype}, expected uint8"
    _check_arrays(result, where, _ARRAYS)
    _check_values(result, expected[:2], num_classes, where, amodal)
    assert result.fields == sample.fields, f"{where}: it changed the fields"
    _check_data(result, sample.fields, where)
    assert set(result.ids.tolist()) <= {-1, *sample.ids.tolist()}, f"{where}: it made up identities"
    again = transform(sample, np.random.default_rng(1), preprocessing)
    assert _same(result, again), f"{where}: the same random generator gave another result"


def _check_arrays(holder: Annotation | Sample, where: str, arrays: dict[str, tuple[Any, tuple[int, ...]]]) -> None:
    for name, (dtype, rest) in arrays.items():
        array = getattr(holder, name)
        assert isinstance(array, np.ndarray), f"{where}: {name} is a {type(array).__name__}, expected an array"
        assert array.dtype == dtype, f"{where}: {name} is {array.dtype}, expected {np.dtype(dtype)}"
        expected = (len(holder.boxes), *rest)
        assert array.shape == expected, f"{where}: {name} has the shape {array.shape}, expected {expected}"


def _check_data(holder: Annotation | Sample, fields: Sequence[Column], where: str) -> None:
    check_data(holder.data, fields, len(holder.boxes), where)
    for field in fields:
        if has_visibility(field):
            visible = holder.data[field.name][..., 2]
            assert np.isin(visible, (0, 1, 2)).all(), f"{where}: a visibility of {field.name} is none of 0, 1, 2"
            places = holder.data[field.name][visible == 0, :2]
            assert (places == 0).all(), f"{where}: {field.name} that are not labelled have a place, expected 0 0"


def _check_values(holder: Any, size_hw: tuple[int, int], classes: int, where: str, amodal: bool) -> None:
    height, width = size_hw
    boxes = clip(holder.boxes, size_hw) if amodal else holder.boxes
    rows = zip(boxes.tolist(), holder.labels.tolist(), holder.ignore.tolist(), strict=True)
    for row, (box, label, ignored) in enumerate(rows):
        inside = 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height  # false for NaN
        assert inside, f"{where}: box {row} is {box}, expected x1 < x2 and y1 < y2 inside {width}×{height} (W×H)"
        right = 0 <= label < classes or (label == -1 and ignored)
        assert right, f"{where}: box {row} has the label {label} of {classes} classes"


def _copy(holder: Annotation | Sample) -> list[Any]:
    """Return the values of an annotation or sample, to compare with later."""
    names = [field.name for field in fields(Annotation)] if isinstance(holder, Annotation) else [*_ARRAYS, "image"]
    values = [getattr(holder, name) for name in names]
    values += [part for name, array in holder.data.items() for part in (name, array)]
    return [
        (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
        for value in values
        if value is not holder.data
    ]


def _same(a: Sample, b: Sample) -> bool:
    return _copy(a) == _copy(b) and _copy(a.annotation) == _copy(b.annotation)


def check_backbone(backbone: Backbone, *, size: tuple[int, int] = (64, 96)) -> None:
    """Check a backbone: its maps are what it says, and every trainable parameter learns; else an AssertionError.

    The trial input has the (height, width) `size`, multiples of its coarsest stride.
    """
    import torch

    channels, strides = tuple(backbone.out_channels), tuple(backbone.out_strides)
    assert len(channels) == len(strides) > 0, f"{len(channels)} out_channels, {len(strides)} out_strides"
    assert list(strides) == sorted(set(strides)), f"out_strides must ascend, got {strides}"
    maps = backbone.train()(torch.randn(2, 3, *size))
    shapes = [tuple(x.shape) for x in maps]
    expected = [(2, c, size[0] // s, size[1] // s) for c, s in zip(channels, strides, strict=True)]
    assert shapes == expected, f"maps have the shapes {shapes}, out_channels and out_strides say {expected}"
    _check_gradients(backbone, sum(x.float().square().mean() for x in maps))


def check_neck(
    build: Callable[[Sequence[int], Sequence[int]], Neck], *, in_channels: Sequence[int] = (16, 24, 32, 40)
) -> None:
    """Check a neck, on trial maps of stride 4, 8, 16 and 32; an AssertionError says what does not hold.

    Args:
        build: the class, or a partial of it, called with channels and strides.
        in_channels: channels of the trial maps.
    """
    import torch

    strides = [4, 8, 16, 32]
    neck = build(in_channels, strides).train()
    maps = [torch.randn(2, c, 64 // s, 96 // s) for c, s in zip(in_channels, strides, strict=True)]
    out = neck(maps)
    levels = out if isinstance(out, list) else [out]
    out_strides = neck.out_strides or (neck.out_stride,)
    assert list(out_strides) == sorted(set(out_strides)), f"out_strides must ascend, got {out_strides}"
    assert neck.out_stride == out_strides[0], f"out_stride is {neck.out_stride}, the finest of {out_strides} another"
    expected = [(2, neck.out_channels, -(-64 // s), -(-96 // s)) for s in out_strides]
    shapes = [tuple(x.shape) for x in levels]
    assert shapes == expected, f"the maps have the shapes {shapes}, expected {expected}"
    if any(parameter.requires_grad for parameter in neck.parameters()):
        _check_gradients(neck, sum(x.float().square().mean() for x in levels))


def check_head(build: Callable[[int, int, int], Head], *, num_classes: int = 3) -> None:
    """Check a head: shapes, finite losses for full and empty batches under float32 and bf16, gradients, decode, and
    that it exports. An AssertionError says what does not hold.

    Args:
        build: the class, or a partial of it, called with channels, stride and the number of classes.
        num_classes: of the trial batch.
    """
    import torch

    from centernet.ops import Peaks, Targets

    head = build(16, 4, num_classes).train()
    head.prepare(_Trial(head.fields))
    grid = (12, 20)
    features = torch.randn(2, 16, *grid)
    output = head(features)
    several = isinstance(output, dict)
    names = tuple(output) if several else ()
    assert names == tuple(head.maps), (
        f"forward gives the maps {', '.join(names)}, but `maps` are {', '.join(head.maps)}"
    )
    for raw in output.values() if several else (output,):
        assert raw.ndim == 4 and raw.shape[0] == 2 and tuple(raw.shape[2:]) == grid, f"map {tuple(raw.shape)}"

    boxes = [[[4.0, 4, 40, 36], [30, 10, 78, 44], [70.2, 40.1, 71, 41]], [[0, 0, 80, 48.0]] + [[0.0] * 4] * 2]
    full: dict[str, Any] = {
        "boxes": torch.tensor(boxes),
        "labels": torch.tensor([[0, num_classes - 1, 0], [0, -1, -1]]),
        "ids": torch.tensor([[0, 4, 2], [0, -1, -1]]),
        "ignore": torch.zeros(2, 3, dtype=torch.bool),
        "counts": torch.tensor([3, 1]),
    }
    data = {field.name: _trial_data(field, full["boxes"]) for field in head.fields}
    learns = any(parameter.requires_grad for parameter in head.parameters())
    batches = {
        "full": full,
        "ignored": full | {"ignore": ~full["ignore"]},
        "empty": full | {"counts": torch.tensor([0, 0]), "labels": torch.full_like(full["labels"], -1)},
        "unpadded": {name: value[:, :0] if value.ndim > 1 else torch.zeros_like(value) for name, value in full.items()},
    }
    for name, batch in batches.items():
        for bf16 in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                raw = head(features)
                for each in raw.values() if several else (raw,):
                    assert each.dtype == torch.float32, f"the map is {each.dtype}: too coarse to tell neighbours apart"
                known = {key: values[:, : batch["boxes"].shape[1]] for key, values in data.items()}
                targets = Targets(**batch, grid=grid, stride=4, num_classes=num_classes, data=known)
                terms = head.loss(raw, targets)
            assert terms or not learns, f"the {name} batch has no loss term"
            for key, value in terms.items():
                assert value.ndim == 0 and value.dtype == torch.float32, f"{key}: {value.dtype} {tuple(value.shape)}"
                assert torch.isfinite(value), f"{key} of the {name} batch is {value.item()} (bf16: {bf16})"
            if terms:
                _check_gradients(head, sum(terms.values()), moving=name == "full")

    index = torch.tensor([[0, 7, 239], [20, 41, 5]])
    scores, labels = torch.tensor([[0.9, 0.5, 0.1]] * 2), torch.zeros(2, 3, dtype=torch.int64)
    x, y = (index % grid[1]).float(), (index // grid[1]).float()
    center = torch.stack([x, y, x, y], dim=-1) * 4
    around = center + torch.tensor([-12.0, -20, 16, 24])
    peaks = Peaks(scores=scores, labels=labels, cells=index, x=x, y=y, boxes=around)
    decoded, dtypes = head.decode(output, peaks), {column.name: column.dtype for column in head.columns}
    shapes = {"bboxes": (4,), "scores": (), **{column.name: column.shape for column in head.columns}}
    missing, unknown = dtypes.keys() - decoded.keys(), decoded.keys() - shapes.keys()
    assert not missing and not unknown, f"decode leaves out the columns {missing}, and gives {unknown} without a column"
    for key, value in decoded.items():
        expected = (2, 3, *shapes[key])
        assert tuple(value.shape) == expected, f"decode gives {key} of shape {tuple(value.shape)}, expected {expected}"
        dtype = str(value.dtype).removeprefix("torch.")
        assert key not in dtypes or dtype == dtypes[key], f"decode gives {key} of {dtype}, its column {dtypes[key]}"
        assert torch.isfinite(value.float()).all(), f"decode gives {key} that is not finite"
    coarser = build(16, 8, num_classes)
    coarser.load_state_dict(head.state_dict(), strict=False)
    kinds = {"bboxes": "boxes", **{column.name: column.kind for column in head.columns}}
    for key, value in coarser.decode(output, peaks).items():
        if head.proportional and kinds.get(key) in ("boxes", "points"):
            fine, coarse = (x[..., :2] if kinds[key] == "points" else x for x in (decoded[key], value))
            right = torch.allclose(coarse, 2 * fine, rtol=1e-4)
            assert right, f"decode gives {key} that do not grow with the stride, but the head is `proportional`"
    _check_export(head.eval(), features, peaks)


def _check_export(head: Head, features: Tensor, peaks: Peaks) -> None:
    """Check that what `torch.export` makes of map and decode gives what they give."""
    import torch
    from torch import nn

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, features: Tensor, *peaks: Tensor) -> dict[str, Tensor]:
            return self.head.decode(self.head(features), kind(*peaks))

    kind = type(peaks)
    with torch.no_grad():
        try:
            exported = torch.export.export(Graph(), (features, *peaks)).module()(features, *peaks)
        except Exception as error:
            raise AssertionError(f"torch.export cannot take forward and decode: {error}") from error
        for key, value in head.decode(head(features), peaks).items():
            assert torch.allclose(exported[key].float(), value.float(), atol=1e-4), f"exported, {key} is another"


def _trial_data(field: Column, boxes: Tensor) -> Tensor:
    """Return a field of the data for boxes B×M×4: places in the boxes, every other point labelled; else noise."""
    import torch

    values = torch.rand(*boxes.shape[:2], *field.shape)
    if field.kind == "points":
        corners: Any = boxes[..., :2], boxes[..., 2:]
        first, second = (corner.unflatten(2, (*[1] * (len(field.shape) - 1), 2)) for corner in corners)
        values[..., :2] = first + values[..., :2] * (second - first)
        values[..., 2:] = torch.arange(values.shape[-2]).remainder(2).mul(2.0).unsqueeze(1)
    return values


class _Trial:
    """Answers what a head asks of the training data."""

    num_identities = 5
    fields: tuple[Column, ...] = ()

    def __init__(self, fields: tuple[Column, ...]) -> None:
        self.fields = fields

    def check_identities(self, known: int) -> None:
        assert known >= self.num_identities, f"the head knows {known} of {self.num_identities} identities"


def _check_gradients(module: nn.Module, loss: Any, *, moving: bool = True) -> None:
    """Check that every trainable parameter has a finite gradient, and, where it should move, one that is not 0."""
    import torch

    module.zero_grad()
    loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient: distributed training would hang"
            assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
            assert not moving or parameter.grad.abs().sum() > 0, f"the gradient of {name} is 0"
