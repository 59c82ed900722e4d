"""Files that torch wrote as runtimes of `Detector`: TorchScript, programs of torch.export, packages of AOTInductor.

torch is imported when one is opened, not before; nothing else of training is needed.
"""

from __future__ import annotations

import logging
import platform
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from centernet.archives import ADVICE, UntrustedFileError, check_archive
from centernet.documents import read_json_text
from centernet.extras import require
from centernet.inference import inspection
from centernet.inference.devices import torch_device
from centernet.inference.exported import ExportedRuntime, read_metadata, unreadable
from centernet.inference.model_metadata import KEY, ModelMetadata
from centernet.inference.torch_runtime import best_device, torch_threads
from centernet.trust import Trust

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

PACKAGE = "data/aotinductor/model/"
"""Folder of a `.pt2` archive, below its root, that holds the machine code of a package; programs have none."""

X86_INSTRUCTIONS = {"AVX2", "AVX512", "AVX512_VNNI", "AMX_TILE"}
"""Names by which AOTInductor says what its code needs of an x86 processor."""


class ExportedTorchRuntime(ExportedRuntime):
    """Runs what `centernet export` wrote for torch: TorchScript (``.pt``), or a program or compiled package (``.pt2``).

    A package is machine code, and opened only where `trust` is True; programs are where all their operations are
    torch's and none reaches beyond them. A package runs on the device that it was compiled for; others by default on a
    GPU where there is one.
    """

    def __init__(
        self, path: Path, *, device: str | None = None, threads: int | None = None, trust: Trust = False
    ) -> None:
        self._torch = require("torch", f"running {path.name}")
        super().__init__(path, device=device, threads=threads)
        is_script = path.suffix.lower() == ".pt"
        self.trust = trust is True
        package = None if is_script else _read_archive(path)
        if not self.trust:
            _check_content(path, is_script, is_package=package is not None)
        with quietly():
            opened = _open_program(path, device, is_script) if package is None else _open_package(path, device, package)
        self.module, self.metadata, self._place = opened
        self.one_size = not is_script

    def __reduce__(self) -> tuple[Any, ...]:
        options: dict[str, Any] = {"device": self.device, "threads": self.threads, "trust": self.trust}
        return partial(type(self), **options), (self.path.absolute(),)

    def run(self, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the program. A ``.pt2`` takes inputs of one size, which is checked: machine code would not notice."""
        expected = self.metadata.preprocessing.size
        height, width = inputs.shape[1:3] if self.metadata.layout == "NHWC" else inputs.shape[2:]
        if self.one_size and (height, width) != expected:
            raise ValueError(
                f"{self.path}: takes inputs of {expected[0]}×{expected[1]} pixels (height×width) alone, got "
                f"{height}×{width}; ONNX and TorchScript files take any size"
            )
        with self._torch.inference_mode(), torch_threads(self.threads):
            values = self.module(self._torch.from_numpy(inputs).to(self._place))
        return {name: value.cpu().numpy() for name, value in zip(self.metadata.outputs, values, strict=True)}


Opened = tuple[Any, ModelMetadata, "torch.device"]
"""The program of a file, its metadata, and the device that it runs on."""


def _check_content(path: Path, is_script: bool, *, is_package: bool) -> None:
    """Raise a ValueError where opening a file would run more than torch's own operations."""
    if is_package:
        raise UntrustedFileError(
            f"{path}: a compiled package (AOTInductor) is machine code, which runs with all your rights; {ADVICE}"
        )
    try:
        inspection.check_torchscript(path) if is_script else inspection.check_program(path)
    except UntrustedFileError:
        raise
    except Exception as error:  # also what the decompression of a broken archive raises
        raise unreadable(path, error, "a TorchScript file" if is_script else "a program of torch.export") from error


def _read_archive(path: Path) -> dict[str, str] | None:
    """Compare an archive's checksums, and return what a package states of itself; None where it has no machine code."""
    if zipfile.is_zipfile(path):
        check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # code in which a bit has changed would be run all the same
            parts = [name for name in archive.namelist() if name.partition("/")[2].startswith(PACKAGE)]
            texts = [archive.read(name) for name in parts if name.endswith("_metadata.json")][:1]
            said = read_json_text(texts[0]) if texts else {}
    except Exception as error:  # also what the decompression of a broken archive raises
        raise unreadable(path, error, "a .pt2 archive") from error
    if damaged is not None or not isinstance(said, dict):
        raise unreadable(path, ValueError(f"{damaged or 'its metadata'} is damaged"), "a .pt2 archive")
    return {str(key): str(value) for key, value in said.items()} if parts else None


def _open_program(path: Path, device: str | None, is_script: bool) -> Opened:
    import torch

    place = torch_device(device or best_device())
    extra: dict[str, Any] = {f"{KEY}.json": ""}
    try:
        if is_script:
            load: Any = torch.jit.load
            module = load(str(path), map_location=place, _extra_files=extra).eval()
        else:
            module = torch.export.load(str(path), extra_files=extra).module().to(place)
    except Exception as error:
        raise unreadable(path, error, "a TorchScript file" if is_script else "a program of torch.export") from error
    return module, read_metadata(path, extra[f"{KEY}.json"]), place


def _open_package(path: Path, device: str | None, said: Mapping[str, str]) -> Opened:
    import torch

    metadata = read_metadata(path, said.get(KEY))
    place = torch.device(said.get("AOTI_DEVICE_KEY", "cpu"))
    if device is not None and torch_device(device).type != place.type:
        text = f"was compiled for the device {place.type!r} and cannot run on {device!r}; export without --compile"
        raise ValueError(f"{path}: {text}")
    _check_machine(path, said)
    try:
        module = torch._inductor.aoti_load_package(str(path))
    except Exception as error:
        hint = "is the file whole? A package may need the version of torch that compiled it"
        raise unreadable(path, error, "a package of AOTInductor", hint) from error
    return module, metadata, place


def _check_machine(path: Path, said: Mapping[str, str]) -> None:
    """Compare the machine with the code's: a processor that lacks an instruction ends the process without a word."""
    built = " ".join(said.get(f"AOTI_{key}", "") for key in ("PLATFORM", "MACHINE", "CPU_ISA"))
    here = {"AOTI_PLATFORM": sys.platform, "AOTI_MACHINE": platform.machine()}
    lacks = [value for key, value in here.items() if said.get(key, value) != value]
    reason = f"this is {' '.join(here.values())}" if lacks else ""
    if not lacks and platform.machine() in ("x86_64", "AMD64"):
        from torch._inductor.cpu_vec_isa import x86_isa_checker

        needed = X86_INSTRUCTIONS.intersection(said.get("AOTI_CPU_ISA", "").upper().split())
        lacks = sorted(needed - {name.upper() for name in x86_isa_checker()})
        reason = f"this processor has no {', '.join(lacks)}"
    if lacks:
        text = f"was compiled for another machine ({built.strip()}; {reason}); compile it here, or export without"
        raise ValueError(f"{path}: {text} --compile")


@contextmanager
def quietly() -> Iterator[None]:
    """Silence notices of deprecation and progress, and torch's remarks on compilers and graphics cards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
