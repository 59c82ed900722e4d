"""`export`: prepare a detector once, write it in a format, and check the file with the runtime that users open it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from centernet.export import onnx, openvino, pt2, torchscript
from centernet.export.comparison import check_file
from centernet.export.graph import Prepared, prepare
from centernet.export.options import ExportOptions
from centernet.extras import require

if TYPE_CHECKING:
    from torch import Tensor

    from centernet.network import Network


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        suffix: of its files, by which `centernet.inference.opening.RUNTIMES` opens them.
        write: writes what `prepare` gave.
        precisions: that a file may have.
        options: those of `ExportOptions` that not every format has.
        packages: that are needed to write and check it, beside torch.
    """

    suffix: str
    write: Callable[[Prepared, Path], None]
    precisions: tuple[str, ...]
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


FLOATS = ("float32", "float16", "bfloat16")
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
FORMATS = {
    "onnx": Format(".onnx", onnx.write, ("float32", "float16", "int8"), ("letterbox", "opset"), ONNX_PACKAGES),
    "torchscript": Format(".pt", torchscript.write, FLOATS, ("letterbox",)),
    "pt2": Format(".pt2", pt2.write, FLOATS, ("compile",)),
    "openvino": Format(".xml", openvino.write, (*FLOATS, "int8"), ("letterbox",), (*ONNX_PACKAGES, "openvino")),
}


def export(
    network: Network,
    path: str | PathLike[str],
    options: ExportOptions = ExportOptions(),  # noqa: B008 - frozen
    images: Tensor | None = None,
    *,
    format: str | None = None,
) -> Path:
    """Write a detector to a file with the decode in its graph, open it as a user does, and compare it with the network.

    Input, outputs and metadata of the file: `centernet.inference.model_metadata`.

    Args:
        network: the detector; it is left as it is.
        path: of the file.
        options: how it is written.
        images: a sample input, which decides type and layout: uint8 N×H×W×3 or N×3×H×W (RGB values, normalised in the
            graph), or float32 N×3×H×W (normalised, what the network itself takes); uint8 N×H×W×3 when None. The file
            takes any number and size of images; a ``.pt2`` any number of the sample's size (without one: that of the
            network's preprocessing).
        format: one of `FORMATS`; by the suffix of `path` when None.

    Returns:
        The path written.

    Raises:
        ImportError: a package that the format needs isn't installed; the message names the extra that brings it.
        FileNotFoundError: there is no C++ compiler, which `compile` needs.
        ValueError: a suffix, sample or option that the format has not; a float32 file that finds something else than
            the network.
    """
    path = Path(path)
    name = format or format_of(path)
    check_options(name, options)
    kind = FORMATS[name]
    if path.suffix.lower() != kind.suffix:
        raise ValueError(f"{path}: give a path that ends {kind.suffix}, as files of the format {name} do")
    for package in kind.packages:
        require(package, f"{name} export")
    prepared = prepare(network, options, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind.write(prepared, path)
    check_file(path, network, prepared.sample_hw)
    return path


def format_of(path: Path) -> str:
    """Return the name of the format whose files have this suffix."""
    for name, kind in FORMATS.items():
        if path.suffix.lower() == kind.suffix:
            return name
    expected = ", ".join(f"{kind.suffix} ({name})" for name, kind in FORMATS.items())
    raise ValueError(f"{path}: no format has files with the suffix {path.suffix!r}; expected one of {expected}")


def check_options(format: str, options: ExportOptions) -> None:
    """Check that a format has what the options ask for.

    Raises:
        ValueError: the option, and what has it.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    for name in sorted({name for kind in FORMATS.values() for name in kind.options}):
        having = [other for other, kind in FORMATS.items() if name in kind.options]
        if getattr(options, name) and format not in having:
            raise ValueError(f"{name} belongs to the format {' or '.join(having)}, not {format}")
    precisions = FORMATS[format].precisions
    if options.precision not in precisions:
        raise ValueError(f"precision {options.precision!r}: {format} is exported in {', '.join(precisions)}")
    if (options.precision == "int8") != (options.calibrate is not None):
        raise ValueError("int8 and calibrate, a folder of images, go together: ranges are measured on images")
