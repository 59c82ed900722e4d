"""`.pt2`: a program of `torch.export`, and its compiled form, a package of AOTInductor."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from centernet.export.check import check_file
from centernet.export.graph import DetectionGraph, Prepared, detached, fold_batch_norms, prepare, quietly
from centernet.inference.model_metadata import KEY, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from centernet.network import Network


def export_pt2(
    model: Network,
    path: str | PathLike[str],
    images: Tensor | None = None,
    *,
    num_detections: int = 100,
    raw_maps: bool = False,
    precision: Precision = "float32",
    score_threshold: float = 0.3,
    figures: Mapping[str, float] | None = None,
) -> Path:
    """Write a detector as a program of `torch.export`, and run it against the model.

    `torch.export.load(path).module()` gives it back without this package; it takes any number of pictures of the height
    and width of the sample (the size of the model's preprocessing without one), which is the size in the metadata's
    preprocessing, and returns a tuple in the order of the metadata's `outputs`; the metadata is the archive's extra
    file `centernet.json`. Arguments as of `export_onnx`; `precision` may be `bfloat16` too. There is no letterbox.

    Raises:
        ValueError: a sample or precision that no file has, or a program that finds something else than the model.
    """
    prepared = _prepare(
        model,
        images,
        num_detections=num_detections,
        raw_maps=raw_maps,
        precision=precision,
        score_threshold=score_threshold,
        figures=figures,
    )
    program = _export(prepared)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with quietly():
        torch.export.save(program, path, extra_files={f"{KEY}.json": prepared.metadata.to_json()})
        module = torch.export.load(path).module()
    check_file(path, prepared, detached(model), lambda array: _run(module, prepared, array), same_size=True)
    return path


def compile_pt2(
    model: Network,
    path: str | PathLike[str],
    images: Tensor | None = None,
    *,
    num_detections: int = 100,
    raw_maps: bool = False,
    precision: Precision = "float32",
    score_threshold: float = 0.3,
    figures: Mapping[str, float] | None = None,
) -> Path:
    """Compile a detector by AOTInductor for this machine's processor, and run it against the model.

    `torch._inductor.aoti_load_package(path)` runs it, in Python or C++ without Python; `get_metadata()["centernet"]` of
    it is the metadata. Arguments as of `export_pt2`.

    Raises:
        FileNotFoundError: there is no C++ compiler.
        ValueError: as of `export_pt2`.
    """
    if not any(shutil.which(compiler) for compiler in ("g++", "clang++", "c++", "cl")):
        raise FileNotFoundError("compiling needs a C++ compiler (g++, clang++): install one, or export without")
    prepared = _prepare(
        model,
        images,
        num_detections=num_detections,
        raw_maps=raw_maps,
        precision=precision,
        score_threshold=score_threshold,
        figures=figures,
    )
    program = _export(prepared)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "aot_inductor.metadata": {KEY: prepared.metadata.to_json()},
        "freezing": True,
        "cpp.dynamic_threads": True,  # as many as torch is told to use where it runs, not as it may use here and now
    }
    with quietly("torch._inductor"):
        torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=settings)
        compiled = torch._inductor.aoti_load_package(str(path))
    check_file(path, prepared, detached(model), lambda array: _run(compiled, prepared, array), same_size=True)
    return path


def _prepare(model: Network, images: Tensor | None, *, precision: Precision, **options: Any) -> Prepared:
    if precision == "int8":
        raise ValueError("precision='int8': .pt2 is exported in float32, float16 or bfloat16")
    prepared = prepare(model, images, precision=precision, letterbox=False, **options)
    fold_batch_norms(prepared.model)
    metadata = prepared.metadata
    rows = 1 if metadata.layout == "NHWC" else 2
    height, width = prepared.images.shape[rows : rows + 2]  # what the file takes, and so what is made of a picture
    preprocessing = replace(metadata.preprocessing, size=(height, width))
    return replace(prepared, metadata=replace(metadata, preprocessing=preprocessing))


def _export(prepared: Prepared) -> torch.export.ExportedProgram:
    """Open in the number of pictures alone: of an open size `torch.export` asserts what holds for the sample's."""
    graph = DetectionGraph(prepared.model, prepared.metadata).eval()
    with quietly("torch.export"):
        return torch.export.export(
            graph,
            (prepared.images,),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            strict=False,
        )


def _run(module: Any, prepared: Prepared, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    with quietly():
        values = module(torch.from_numpy(array))
    return {name: value.numpy() for name, value in zip(prepared.metadata.outputs, values, strict=True)}
