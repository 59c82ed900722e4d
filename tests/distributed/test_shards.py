"""Plans and workers without Ray: whatever the source, each image once, as `Detector` finds its objects."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.annotations.problems import DataError
from centernet.cli.main import main
from centernet.detections import Detections
from centernet.distributed.plan import Shard, check_plan, list_shards, read_plan, write_plan
from centernet.distributed.worker import Done, Task, Worker
from centernet.inference.sources import SourceError

from .conftest import make_parquet, make_tar

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
KINDS = ("folder", "pattern", "tar", "tar.gz", "parquet", "datasets", "file://", "zip://", "memory://", "memory://…tar")
OPTIONS = {"score_threshold": 0.05}


def shards_of(*sources: str, size: int = 4, recursive: bool = False) -> list[Shard]:
    return list(list_shards(sources, recursive=recursive, size=size))


@cache
def opened() -> Worker:
    return Worker(Task("coco-lite", OPTIONS, [], "jsonl"))


def done(sources: list[str], size: int = 4, form: str = "jsonl") -> Iterator[Done]:
    worker = opened()
    worker.task = replace(worker.task, sources=sources, form=form)
    return map(worker.run, shards_of(*sources, size=size))


def rows_of(sources: list[str], size: int = 4) -> list[dict[str, Any]]:
    return [json.loads(line) for one in done(sources, size) for line in one.content.splitlines()]


@pytest.fixture(scope="module")
def truth(files: Mapping[str, bytes]) -> dict[str, Detections]:
    detector = opened().detector
    return {name: detector(content) for name, content in files.items() if name not in ("2b.jpg", "5b.png")}


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_of_a_source_has_a_row(
    kind: str, place: Callable[[str], str], truth: Mapping[str, Detections], files: Mapping[str, bytes]
) -> None:
    source = place(kind)
    rows = rows_of([source])
    names = list(files) if kind == "parquet" else [row["image"].rpartition("/")[2] for row in rows]
    assert sorted(names) == sorted(files) and len({row["image"] for row in rows}) == len(files) == len(rows)
    assert sum(len(found) for found in truth.values()) >= 5
    for name, row in zip(names, rows, strict=True):
        if name in truth:
            assert row["error"] is None and row["names"] == truth[name].names and row["height"] > 0
            np.testing.assert_allclose(np.reshape(row["bboxes"], (-1, 4)), truth[name].bboxes, rtol=1e-6, atol=1e-4)
            np.testing.assert_allclose(row["scores"], truth[name].scores, rtol=1e-6)
        else:
            assert row["bboxes"] == [] and row["height"] is None
            assert ("are more than" if name == "5b.png" else "not an image") in row["error"]


def test_shards_have_a_size_and_an_order(folder: Path, tmp_path: Path, files: Mapping[str, bytes]) -> None:
    tar = make_tar(tmp_path / "more" / "in" / "a.tar", files)
    parquet = make_parquet(tmp_path / "more" / "b.parquet", files, with_paths=False)
    found = shards_of(str(folder), str(tmp_path / "more"), recursive=True)
    assert found == shards_of(str(folder), str(tmp_path / "more"), recursive=True)
    assert [shard.number for shard in found] == list(range(len(found)))
    assert [len(shard.paths) for shard in found if shard.kind == "files"] == [4, 4, 1]
    assert [shard.row_groups for shard in found if shard.kind == "parquet"] == [(0,), (1,), (2,)], "rows: 3, 3, 3"
    assert [shard.paths for shard in found if shard.kind == "tar"] == [(str(tar),)]
    assert {shard.paths[0] for shard in shards_of(str(tmp_path / "more"))} == {str(parquet)}, "not in subfolders"
    assert [shard.row_groups for shard in shards_of(str(parquet), size=6)] == [(0, 1), (2,)]


def test_a_plan_is_read_as_it_was_written(tmp_path: Path, place: Callable[[str], str]) -> None:
    shards = shards_of(place("folder"), place("parquet"))
    write_plan(tmp_path / "plan", {"model": "a", "names": ("x",)}, iter(shards))
    assert list(read_plan(tmp_path / "plan")) == shards
    check_plan(tmp_path / "plan", {"model": "a", "names": ("x",)})
    with pytest.raises(DataError, match="another run \\(model was a, is b\\)"):
        check_plan(tmp_path / "plan", {"model": "b", "names": ("x",)})


def test_a_listing_that_fails_leaves_no_plan(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: no such file or folder"):
        write_plan(tmp_path / "out" / "plan", {}, list_shards([str(folder), "nowhere"], recursive=False, size=4))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}", "no images, tars or Parquet files here"),
        ("{}/none*.jpg", "no images, tars or Parquet files here"),
        ("memory://nowhere/at/all", "no such file or folder"),
        ("nosuch://a/b", "nosuch"),
        ("{}/clip.mp4", "a video"),
    ],
)
def test_a_source_that_is_none_is_named(source: str, message: str, tmp_path: Path) -> None:
    if "mp4" in source:
        (tmp_path / "clip.mp4").write_bytes(b"\0" * 64)
    if "://" in source:
        pytest.importorskip("fsspec", reason="the extra `ray` is not installed")
    with pytest.raises((SourceError, ImportError), match=message):
        shards_of(source.format(tmp_path))


def test_a_tar_that_breaks_off_says_so_behind_its_images(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    tar = make_tar(tmp_path / "a.tar", files)
    whole = tar.read_bytes()
    place = whole.index(b"4.jpg")
    for damaged in (whole[: place + 700], whole[:place] + b"\xff" * 512 + whole[place + 512 :]):
        tar.write_bytes(damaged)
        rows = rows_of([str(tar)])
        assert [row["image"].rpartition("/")[2] for row in rows] == ["0.jpg", "1.jpg", "2.jpg", "3.png", "a.tar"]
        assert "cannot be read any further than 4 images" in rows[-1]["error"]
    (one,) = done([str(tar)])
    assert (one.images, one.failed) == (4, 1)


def test_a_hostile_tar(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w") as archive:
        for name, kind in (
            ("../../up.jpg", tarfile.REGTYPE),
            ("link.jpg", tarfile.SYMTYPE),
            ("dev.jpg", tarfile.CHRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = len(files["0.jpg"]) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(files["0.jpg"]))
        huge = tarfile.TarInfo("huge.jpg")
        huge.size = 10**12
        archive.addfile(huge)
    (up, large, end) = rows_of([str(tar)])
    assert up["error"] is None and up["image"] == f"{tar}/../../up.jpg" and "larger than" in large["error"]
    assert "cannot be read any further" in end["error"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar"], "nothing is unpacked"
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 10**10
    tar.write_bytes(long.tobuf(tarfile.GNU_FORMAT) + b"a" * 2000)
    (row,) = rows_of([str(tar)])
    assert "a name or fields of 10000000000 bytes" in row["error"], "and tarfile does not ask for ten gigabytes"


def test_a_parquet_file_without_images_or_of_other_content(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `ray` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    for number, (columns, message) in enumerate((
        ({"a": [1]}, "its columns are a"),
        ({"a": [b"x"], "b": [b"y"]}, "its columns of bytes are a, b"),
        ({"image": [None], "b": [b"y"]}, "the row has no image"),
    )):  # fmt: skip
        if columns.get("image"):
            columns["image"] = pyarrow.array([None], pyarrow.binary())
        parquet.write_table(pyarrow.table(columns), tmp_path / f"{number}.parquet")
        (row,) = rows_of([str(tmp_path / f"{number}.parquet")])
        assert message in row["error"]
    (tmp_path / "cut.parquet").write_bytes(
        make_parquet(tmp_path / "x.parquet", files, with_paths=False).read_bytes()[:99]
    )
    (row,) = rows_of([str(tmp_path / "cut.parquet")])
    assert row["image"] == str(tmp_path / "cut.parquet") and "cannot be read any further" in row["error"]


def test_both_formats_say_the_same(place: Callable[[str], str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `ray` is not installed")
    source = place("folder")
    tables = [parquet.read_table(io.BytesIO(one.content)) for one in done([source], form="parquet")]
    rows, lines = [row for table in tables for row in table.to_pylist()], rows_of([source])
    assert [list(row) for row in rows] == [list(line) for line in lines]
    for row, line in zip(rows, lines, strict=True):
        for key in row:
            if key in ("bboxes", "scores"):
                np.testing.assert_allclose(np.ravel(row[key]), np.ravel(line[key]), rtol=1e-6)
            else:
                assert row[key] == line[key]
    assert Counter(row["error"] is None for row in rows) == {True: 7, False: 2}


def test_what_is_not_of_the_engine_is_wrong_usage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ("--engine ray --show", "--show is of --engine local"),
        ("--engine ray --every 2", "--every is of --engine local"),
        ("--engine ray --format csv", "--engine ray writes parquet or jsonl"),
        ("--format parquet", "parquet and jsonl are of --engine ray"),
        ("--workers 2", "--workers is of --engine ray"),
    ):
        assert main(["detect", str(folder), *words.split()]) == 2
        assert message in capsys.readouterr().err


def test_without_ray_the_extra_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["detect", str(folder), "--engine", "ray", "--output", str(folder / "out")]) == 1
    assert "needs the package ray: pip install 'centernet[ray]'" in capsys.readouterr().err
    assert not (folder / "out").exists()
