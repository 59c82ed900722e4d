"""The metadata of an exported model file, so that whoever runs it needs no configuration beside it.

One JSON text under `KEY`: in ONNX's metadata, OpenVINO's `rt_info`, an extra file of TorchScript and `.pt2` archives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from centernet.calibration import Calibration
from centernet.detections import Column
from centernet.documents import read_json_text
from centernet.images import Preprocessing
from centernet.lineage import Lineage, recorded_lineage

KEY = "centernet"
"""Name of the metadata in the file (of the extra file in TorchScript and `.pt2`: `centernet.json`)."""

INPUT = "images"
"""Name of the input."""

OUTPUTS = ("bboxes", "labels", "scores")
"""Names of the first three outputs, in this order."""

Dtype: TypeAlias = Literal["uint8", "float32"]
Layout: TypeAlias = Literal["NHWC", "NCHW"]
Precision: TypeAlias = Literal["float32", "float16", "bfloat16", "int8"]

_VERSION = 5  # files of version 1 describe no columns, those to 2 no calibration, to 3 no lineage, to 4 no skeletons


@dataclass(frozen=True)
class ModelMetadata:
    """Everything that one needs to know of an exported detector beside its weights.

    Attributes:
        class_names: by label; empty where the model has none.
        preprocessing: how an image becomes the network's input.
        stride: input pixels a cell of the raw maps.
        num_detections: K, rows an image; files of earlier releases give fewer where the map has fewer cells.
        dtype: of the input: `uint8` RGB values as an image has them (normalised in the graph), or `float32` ones that
            `preprocessing.normalize` has made.
        layout: of the input, N×H×W×3 or N×3×H×W.
        letterbox: the graph itself resizes and pads: images of any size in, boxes in their own pixels out. Without
            it the input is what `preprocessing` makes of an image, and boxes are in its pixels.
        outputs: names in the order in which the file gives them: `bboxes` N×K×4 float32, `labels` N×K int64, `scores`
            N×K float32 (best first), the `columns` N×K×…, then the raw maps; or the raw maps alone.
        columns: what heads add to detections. Empty in files of version 1, whose further outputs are vectors.
        maps: those of `outputs` that are raw maps N×C×H×W, by the names of their heads.
        precision: what the network computes in; the decode is always in float32.
        score_threshold: from which an object is worth showing; that of the calibration unless the export said another.
        calibration: of the scores, which has been applied to the output `scores`, not to raw maps; None where the model
            has none, as in files of versions 1 and 2.
        tracker: arguments of `centernet.tracking.Tracker` that suit the model: strings, numbers, truth values and None
            by name. `Tracker` checks that they are options of it.
        figures: measured of the model, such as `AP`; its own validation's, or as stated at the export.
        lineage: where the weights are from, and their terms; None where nothing is known, as in files to version 3.
    """

    class_names: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    stride: int = 4
    num_detections: int = 100
    dtype: Dtype = "uint8"
    layout: Layout = "NHWC"
    letterbox: bool = False
    outputs: tuple[str, ...] = OUTPUTS
    columns: tuple[Column, ...] = ()
    maps: tuple[str, ...] = ()
    precision: Precision = "float32"
    score_threshold: float = 0.3
    calibration: Calibration | None = None
    tracker: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    lineage: Lineage | None = None

    @property
    def decoded(self) -> bool:
        """False where the raw maps are the only outputs."""
        return bool(set(OUTPUTS) & set(self.outputs))

    def to_json(self) -> str:
        """Return one line of JSON; figures that are not finite are left out, as JSON has no number for them."""
        values = asdict(self) | {
            "preprocessing": self.preprocessing.to_dict(),
            "columns": [column.to_dict() for column in self.columns],
            "figures": {name: float(value) for name, value in self.figures.items() if math.isfinite(value)},
            "lineage": None if self.lineage is None else self.lineage.to_dict(),
        }
        return json.dumps({"version": _VERSION, **values})

    @classmethod
    def from_json(cls, text: str, *, source: str) -> ModelMetadata:
        """Read what `to_json` wrote. The text comes from a file that anybody may have written: it is checked.

        Args:
            text: what stands under `KEY`.
            source: the file, for messages.

        Raises:
            ValueError: the file, the key, and what was expected.
        """

        def wrong(text: str) -> ValueError:
            return ValueError(f"{source}: the metadata {KEY!r} {text}; export the model again")

        try:
            values = read_json_text(text)
        except ValueError as error:
            raise wrong(f"is no JSON ({error})") from error
        version = values.pop("version", None) if isinstance(values, dict) else None
        if not isinstance(version, int) or not 1 <= version <= _VERSION:
            raise wrong(f"is not of version 1 to {_VERSION}: another version of this package wrote the file")
        if version == 1:
            values = {"tracker": {}, "columns": []} | values  # the first files say nothing of a tracker
        if version < 3:
            values = {"calibration": None} | values
        if version < 4:
            values = {"lineage": None} | values
        for key in [*_CHECKS, *values]:
            if key not in values or key not in _CHECKS or not _CHECKS[key](values[key]):
                got = str(values.get(key, "nothing"))[:80]
                raise wrong(f"has {key} = {got!r}, which is not what an export writes")
        try:
            values["preprocessing"] = Preprocessing.from_dict(values["preprocessing"])
            values["columns"] = [Column(**column) for column in values["columns"]]
            values["calibration"] = None if values["calibration"] is None else Calibration(**values["calibration"])
            values["lineage"] = recorded_lineage(values, "in it")
        except (AttributeError, TypeError, ValueError) as error:
            raise wrong(f"is damaged ({error})") from error
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        metadata = cls(**plain)
        named = [*(OUTPUTS if metadata.decoded else ()), *(column.name for column in metadata.columns), *metadata.maps]
        if version > 1 and sorted(named) != sorted(metadata.outputs):
            raise wrong(f"has the outputs {', '.join(metadata.outputs)}, but describes {', '.join(named)}")
        return metadata


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value) and len(set(value)) == len(value)


def _number(value: Any, kind: Any = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and abs(value) < math.inf


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or _number(value)


def _calibration(value: Any) -> bool:
    named = value.get("class_thresholds") if isinstance(value, dict) else None
    numbers = [number for key, number in value.items() if key != "class_thresholds"] if isinstance(value, dict) else []
    return isinstance(named, dict) and all(map(_number, [*numbers, *named.values()]))


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "class_names": _texts,
    "preprocessing": lambda value: isinstance(value, dict),
    "stride": lambda value: _number(value, int) and value >= 1,
    "num_detections": lambda value: _number(value, int) and value >= 1,
    "dtype": lambda value: value in get_args(Dtype),
    "layout": lambda value: value in get_args(Layout),
    "letterbox": lambda value: isinstance(value, bool),
    "outputs": lambda value: _texts(value) and (tuple(value[:3]) == OUTPUTS or not {*value} & {*OUTPUTS}),
    "columns": lambda value: isinstance(value, list) and all(isinstance(column, dict) for column in value),
    "maps": _texts,
    "precision": lambda value: value in get_args(Precision),
    "score_threshold": lambda value: _number(value) and 0 <= value <= 1,
    "calibration": lambda value: value is None or _calibration(value),
    "tracker": lambda value: isinstance(value, dict) and all(map(_scalar, value.values())),
    "figures": lambda value: isinstance(value, dict) and all(_number(figure) for figure in value.values()),
    "lineage": lambda value: value is None or isinstance(value, dict),
}
