"""Runs on Ray itself, two workers on this machine: faults lose nothing, and nothing is there twice."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from centernet.cli.main import main
from centernet.distributed import engine
from centernet.distributed.plan import Shard, list_shards
from centernet.distributed.worker import Task, Worker
from centernet.whole import write_bytes

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    *(pytest.mark.filterwarnings(f"ignore::{name}") for name in ("DeprecationWarning", "ResourceWarning")),
    *(pytest.mark.filterwarnings(f"ignore::{name}") for name in ("FutureWarning", "UserWarning")),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).resolve().parents[2]
COMMON = ["--model", "coco-lite", "--engine", "ray", "--workers", "2", "--shard-size", "3", "--format", "jsonl"]

STAND_IN = '''
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem


class Bucket(DirFileSystem):
    """Stands for an object store: buckets are folders of a folder here."""

    protocol = "standin"

    def __init__(self, **options):
        super().__init__(path={root!r}, fs=LocalFileSystem(), **options)

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("standin://").strip("/")
'''


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray with two processors, which the runs of these tests join."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def archive(tmp_path: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of some more images."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for copy in range(5):
        for name, content in files.items():
            (folder / f"{copy}_{name}").write_bytes(content)
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("shard-*.jsonl")) for line in path.open()]


def one_process(source: str) -> list[dict[str, Any]]:
    worker = Worker(Task("coco-lite", {}, [source], "jsonl"))
    shards = list_shards([source], recursive=False, size=3)
    return [json.loads(line) for shard in shards for line in worker.run(shard).content.splitlines()]


def actors() -> list[int]:
    """Process ids of the actors that run detectors and come from this process."""
    parents, names = dict[int, int](), dict[int, str]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = (entry / "cmdline").read_text()
            except (OSError, ValueError):
                continue

    def is_ours(pid: int) -> bool:
        return pid in parents and (parents[pid] == os.getpid() or is_ours(parents[pid]))

    return [pid for pid, name in names.items() if name.startswith("ray::MapWorker") and is_ours(pid)]


def test_two_workers_of_which_one_is_killed(
    cluster: None, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, killed = tmp_path / "out", list[int]()

    def kill() -> None:
        while len(list(out.glob("shard-*"))) < 2:
            time.sleep(0.02)
        killed.extend(sorted(actors())[:1])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    assert main(["detect", str(archive), *COMMON, "--output", str(out)]) == 1, "ten images cannot be read"
    thread.join()
    assert killed and not Path(f"/proc/{killed[0]}").exists()
    assert rows(out) == one_process(str(archive)), "none lost, none doubled, all the same"
    said = capsys.readouterr().out
    assert "35 images" in said and "10 could not be read" in said and "15 of 15 are there" in said
    assert not list(out.glob(".centernet-*"))


def test_a_full_disk_ends_the_run_and_resume_goes_on(
    cluster: None, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written = tmp_path / "out", list[str]()
    fsync = os.fsync

    def full(number: int) -> None:
        if ".part" in os.readlink(f"/proc/self/fd/{number}") and len(list(out.glob("shard-*"))) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(number)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert main(["detect", str(archive), *COMMON, "--output", str(out)]) == 1
    said = capsys.readouterr()
    assert "its disk is full; free space" in said.err and "4 of 15 are there" in said.out
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*")}
    assert len(before) == 4 and not list(out.glob(".centernet-*.part"))

    assert main(["detect", str(archive), *COMMON, "--output", str(out)]) == 1
    assert "has the shards of a run already" in capsys.readouterr().err
    other = [*COMMON, "--score-threshold", "0.5", "--resume", "--output", str(out)]
    assert main(["detect", str(archive), *other]) == 1
    assert "options was {}, is {'score_threshold': 0.5}" in capsys.readouterr().err

    with monkeypatch.context() as patch:
        patch.setattr(
            "centernet.cli.detect_ray.write_bytes", lambda path, data: written.append(write_bytes(path, data).name)
        )
        assert main(["detect", str(archive), *COMMON, "--resume", "--output", str(out)]) == 1
    assert len(written) == 11 and not set(written) & before.keys(), "finished shards are not done again"
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert rows(out) == one_process(str(archive))
    assert main(["detect", str(archive), *COMMON, "--resume", "--output", str(out)]) == 0
    assert "15 of 15 shards are finished already" in capsys.readouterr().out


class DyingActor(engine.Actor):
    """Its process ends at one of the shards."""

    def __call__(self, table: Any) -> Any:
        (line,) = table.column("shard").to_pylist()
        if json.loads(line)["number"] == 2 and not self._left(2):
            os._exit(1)
        return super().__call__(table)

    def _left(self, number: int) -> bool:
        begun: int = ray.get(self._deaths.begin.remote(number))
        return begun > engine.MOST_DEATHS


def test_a_shard_that_kills_its_workers_is_left_out(
    cluster: None, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(engine, "Actor", DyingActor)
    shards = list_shards([str(archive)], recursive=False, size=9)
    found = list(engine.run_shards(shards, Task("coco-lite", {}, [str(archive)], "jsonl"), workers=2))
    errors = [str(one) for one in found if isinstance(one, engine.ShardError)]
    assert len(errors) == 1 and errors[0].startswith("shard 2: 3 workers have died at it")
    assert sorted(one.number for one in found if not isinstance(one, engine.ShardError)) == [0, 1, 3, 4]


def test_a_shard_that_cannot_be_done_is_named(cluster: None) -> None:
    shards = iter([Shard(0, 0, "files", ("a.jpg",)), Shard(1, 0, "files", ("b.jpg",))])
    found = list(engine.run_shards(shards, Task("coco-lite", {}, ["nosuch://a"], "jsonl"), workers=1))
    assert len(found) == 2 and all("shard" in str(one) and "nosuch" in str(one) for one in found)


def test_parquet_and_every_kind_of_source(
    cluster: None, place: Callable[[str], str], tmp_path: Path, files: Mapping[str, bytes]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    sources = [place(kind) for kind in ("folder", "tar", "datasets", "zip://")]
    assert main(["detect", *sources, *COMMON[:-2], "--output", str(tmp_path / "out")]) == 1
    table = parquet.read_table(tmp_path / "out").to_pydict()
    assert len(set(table["image"])) == len(table["image"]) == 4 * len(files)
    by_name = Counter(
        (name.rpartition("/")[2], str(boxes)) for name, boxes in zip(table["image"], table["bboxes"], strict=True)
    )
    assert set(by_name.values()) == {4}, "wherever an image lies, the same is found"


def test_a_run_that_is_killed_goes_on_from_an_object_store(archive: Path, tmp_path: Path) -> None:
    """Ray of its own in each process, and a file system that fsspec finds by its entry point, as it finds s3fs."""
    site = tmp_path / "site"
    (site / "standin-1.0.dist-info").mkdir(parents=True)
    (site / "standin-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: standin\nVersion: 1.0\n")
    (site / "standin-1.0.dist-info" / "entry_points.txt").write_text("[fsspec.specs]\nstandin = standin:Bucket\n")
    (site / "standin.py").write_text(STAND_IN.format(root=str(tmp_path)))
    environment = os.environ | {"PYTHONPATH": f"{site}:{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    out = tmp_path / "out"
    words = [sys.executable, "-m", "centernet", "detect", "standin://archive", *COMMON, "--output", str(out)]

    def run(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*words, *more], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    first = run()
    while first.poll() is None and len(list(out.glob("shard-*"))) < 3:
        time.sleep(0.02)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 143 and "to go on, give the same command with --output" in said
    second = run("--resume")
    while second.poll() is None and len(list(out.glob("shard-*"))) < 6:
        time.sleep(0.02)
    second.kill()
    second.communicate(timeout=120)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*")}
    assert 3 <= len(before) < 15
    third = run("--resume")
    told, said = third.communicate(timeout=300)
    assert third.returncode == 1 and f"{len(before)} of 15 shards are finished already" in told, said
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    found = rows(out)
    assert [row["image"] for row in found] == [f"standin://archive/{path.name}" for path in sorted(archive.iterdir())]
    here = one_process(str(archive))
    assert [row["bboxes"] for row in found] == [row["bboxes"] for row in here]
    assert not list(out.glob(".centernet-*"))
