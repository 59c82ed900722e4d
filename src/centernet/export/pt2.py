"""`.pt2`: a program of `torch.export`, or its compiled form, a package of AOTInductor."""

from __future__ import annotations

import io
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from centernet.export.graph import DetectionGraph, Prepared, fold_batch_norms, lower
from centernet.inference.exported_torch_runtime import quietly
from centernet.inference.model_metadata import KEY
from centernet.whole import explaining, write_bytes


def write(prepared: Prepared, path: Path) -> None:
    """Write a program of `torch.export`, or with `options.compile` a package for this machine's processor.

    `torch.export.load(path).module()` gives a program back without this package; it returns a tuple in the order of the
    metadata's `outputs`, and the metadata is the archive's extra file `centernet.json`. A package is run by
    `torch._inductor.aoti_load_package(path)`, in Python or C++ without Python; `get_metadata()["centernet"]` of it is
    the metadata. Without a C++ compiler that is a FileNotFoundError.
    """
    if prepared.options.compile and not any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl")):
        raise FileNotFoundError("compiling needs a C++ compiler (g++, clang++): install one, or export without")
    lower(prepared)
    fold_batch_norms(prepared.network)
    # Images are to become what the file takes: inputs of the sample's size alone.
    preprocessing = replace(prepared.metadata.preprocessing, size=prepared.sample_hw)
    metadata = replace(prepared.metadata, preprocessing=preprocessing).to_json()
    with quietly(), torch.no_grad():
        # Open in the number of images alone: of an open size `torch.export` asserts what holds for the sample's.
        program = torch.export.export(
            DetectionGraph(prepared).eval(),
            (prepared.images,),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            strict=False,
        )
        if not prepared.options.compile:
            buffer = io.BytesIO()  # torch ends the process where its own file cannot be written
            torch.export.save(program, buffer, extra_files={f"{KEY}.json": metadata})
            write_bytes(path, buffer.getbuffer())
            return
        settings = {
            "aot_inductor.metadata": {KEY: metadata},
            "freezing": True,
            "cpp.dynamic_threads": True,  # as many as torch is told to use where it runs, not here and now
        }
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "model.pt2"
            torch._inductor.aoti_compile_and_package(program, package_path=str(package), inductor_configs=settings)
            with explaining(path):
                shutil.copyfile(package, path)
