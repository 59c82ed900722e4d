"""Photographs in all the places where `--engine ray` finds them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Files = Mapping[str, bytes]


def bomb() -> bytes:
    """A PNG file of a few kilobytes with more pixels than are decoded."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """Images by name; one that is none and one that is too large among them."""
    rng = np.random.default_rng(3)
    found = {}
    for number in range(7):
        size = (160 + 32 * number, 240 - 16 * number)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        coarse.save(file, "PNG" if number == 3 else "JPEG")
        found[f"{number}.{'png' if number == 3 else 'jpg'}"] = file.getvalue()
    return {**found, "2b.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n", "5b.png": bomb()}


@pytest.fixture
def folder(tmp_path: Path, files: Files) -> Path:
    """A folder of them."""
    path = tmp_path / "photos"
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    (path / "notes.txt").write_text("no image")
    (path / ".hidden.jpg").write_bytes(files["0.jpg"])
    return path


def make_tar(path: Path, files: Files, mode: str = "w") -> Path:
    """Write a tar as WebDataset has them: images, and what belongs to them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            for suffix, data in (("", content), (".json", b"{}")):
                member = tarfile.TarInfo(name + suffix)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def make_parquet(path: Path, files: Files, *, with_paths: bool, row_group_size: int = 3) -> Path:
    """Write a Parquet file with the bytes of images, or with bytes and paths as `datasets` does."""
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `ray` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    images: list[Any] = [{"bytes": content, "path": name} for name, content in files.items()]
    rows = images if with_paths else list(files.values())
    table = pyarrow.table({"label": list(range(len(rows))), "image": rows})
    parquet.write_table(table, path, row_group_size=row_group_size)
    return path


@pytest.fixture
def place(tmp_path: Path, files: Files, folder: Path) -> Callable[[str], str]:
    """Put the images where a kind of source has them, and return the source."""

    def put(kind: str) -> str:
        if kind == "folder":
            return str(folder)
        if kind == "pattern":
            return f"{folder}/*[.][jp]*g"
        if kind == "tar":
            return str(make_tar(tmp_path / "tars" / "a.tar", files).parent)
        if kind == "tar.gz":
            return str(make_tar(tmp_path / "a.tar.gz", files, "w:gz"))
        if kind in ("parquet", "datasets"):
            return str(make_parquet(tmp_path / f"{kind}.parquet", files, with_paths=kind == "datasets"))
        fsspec = pytest.importorskip("fsspec", reason="the extra `ray` is not installed")
        if kind == "file://":
            return f"file://{folder}"
        if kind == "zip://":
            import zipfile

            with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
                for name, content in files.items():
                    archive.writestr(f"in/{name}", content)
            return f"zip://in::file://{tmp_path}/a.zip"
        memory = fsspec.filesystem("memory")
        if kind == "memory://":
            memory.pipe({f"/archive/{name}": content for name, content in files.items()})
            return "memory://archive"
        assert kind == "memory://…tar"
        memory.pipe("/tars/a.tar", make_tar(tmp_path / "b.tar", files).read_bytes())
        return "memory://tars/a.tar"

    return put
