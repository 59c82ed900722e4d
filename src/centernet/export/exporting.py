"""`export`: prepare a detector once, write it, and check the file with the runtime that users open it by."""

from __future__ import annotations

import logging
from importlib import import_module
from os import PathLike
from pathlib import Path

from torch import Tensor

from centernet.export.comparison import check_file
from centernet.export.graph import prepare
from centernet.export.options import FORMATS, ExportOptions, check_options, format_of
from centernet.extras import require
from centernet.network import Network
from centernet.whole import whole_files

logger = logging.getLogger(__name__)


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
        options: of the file.
        images: a sample input, which decides type and layout: uint8 N×H×W×3 or N×3×H×W (RGB values, normalised in the
            graph), or float32 N×3×H×W (normalised, what the network itself takes); uint8 N×H×W×3 when None. The file
            takes any number and size of images; a ``.pt2`` any number of the sample's size (without one: that of the
            network's preprocessing); those of litert, coreml, ncnn and executorch one image of that size.
        format: one of `FORMATS`; by the suffix of `path` when None.

    Returns:
        The path written.

    Raises:
        ImportError, FileNotFoundError: a package that the format needs isn't installed; there is no C++ compiler.
        ValueError: a suffix, sample or option that the format has not; a float32 file that finds something else.
        OSError: the file cannot be written. After any error what was there before is as it was.
    """
    path = Path(path)
    name = format or format_of(path)
    check_options(name, options)
    kind = FORMATS[name]
    if not path.name.lower().endswith(kind.suffix):
        raise ValueError(f"{path}: give a path that ends {kind.suffix}, as files of the format {name} do")
    for package in kind.packages:
        require(package, f"{name} export")
    prepared = prepare(network, options, images, gather=kind.gather)
    with whole_files(path) as draft:  # what was there before stays until a checked one is there
        import_module(f"centernet.export.{kind.module}").write(prepared, draft)
        if kind.checked:
            try:
                check_file(draft, network, prepared)
            except ValueError as error:
                raise ValueError(str(error).replace(str(draft), str(path))) from error
    if not kind.checked:
        logger.warning("%s: was written, not run: nothing opens %s files here", path.name, kind.suffix)
    return path
