"""Downloads of published files, from a server on this computer."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from centernet.foreign import zoo

CONTENT = bytes(range(256)) * 40


class Server(BaseHTTPRequestHandler):
    """Serves `files`, from where it is asked to on; ends after `cut` bytes where that is set."""

    files: ClassVar[dict[str, bytes]] = {}
    cut: int | None = None
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        wanted = self.headers.get("Range")
        self.asked.append(str(wanted))
        if content is None:
            self.send_error(404)
            return
        start = int(re.findall(r"\d+", wanted)[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Server]]:
    kind = type("One", (Server,), {"files": {}, "cut": None, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{running.server_address[1]}"
        entry = zoo.Published(f"{address}/w.pth", "ResNet-18", "boxes", "AP 1", "MIT")
        digest = hashlib.sha256(CONTENT).hexdigest()[:8]
        names = {
            "one": replace(entry, sha256=digest),
            "packed": replace(entry, address=f"{address}/m.tar.gz"),
            "gone": replace(entry, address=f"{address}/gone.pth"),
        }
        monkeypatch.setattr(zoo, "ZOO", names)
        monkeypatch.setenv("CENTERNET_CACHE", str(tmp_path / "cache"))
        kind.files["/w.pth"] = CONTENT
        yield kind
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: type[Server]) -> None:
    path = zoo.fetch("zoo:one")
    assert path.read_bytes() == CONTENT
    assert zoo.fetch("one") == path and server.asked == ["None"]


def test_a_download_that_was_cut_off_goes_on(server: type[Server]) -> None:
    server.cut = 5000
    with pytest.raises(FileNotFoundError, match=r"of 10,240 bytes|could not be downloaded"):
        zoo.fetch("one")
    server.cut = None
    assert zoo.fetch("one").read_bytes() == CONTENT
    assert server.asked[1] == "bytes=5000-"


def test_an_altered_file_is_refused_and_not_kept(server: type[Server], tmp_path: Path) -> None:
    server.files["/w.pth"] = CONTENT[:-1] + b"?"
    with pytest.raises(ValueError, match="it was altered"):
        zoo.fetch("one")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_is_not_there(server: type[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="404"):
        zoo.fetch("gone")
    with pytest.raises(ValueError, match="has no such model; it has one, packed, gone"):
        zoo.fetch("zoo:other")
    monkeypatch.setenv(zoo.OFFLINE, "1")
    with pytest.raises(FileNotFoundError, match="CENTERNET_OFFLINE=1 forbids"):
        zoo.fetch("one")


def test_archives_are_unpacked_by_name_alone(server: type[Server], tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in (
            "m/checkpoint/ckpt-0.index",
            "m/pipeline.config",
            "m/saved_model/saved_model.pb",
            "../evil.config",
        ):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    server.files["/m.tar.gz"] = packed.getvalue()
    folder = zoo.fetch("packed")
    assert sorted(path.name for path in folder.iterdir()) == ["ckpt-0.index", "pipeline.config"]
    assert not list(tmp_path.rglob("evil.config"))
    (tmp_path / "cache/packed/m.tar.gz").write_bytes(b"no archive")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(ValueError, match="no whole archive"):
        zoo.fetch("packed")


def test_a_name_is_a_model_everywhere_and_its_terms_go_with_it(
    server: type[Server], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Downloaded and converted once; the lineage is in checkpoints, in files and in what starts from it."""
    import torch

    from centernet import CenterNet, Detector
    from centernet.lineage import started_from
    from centernet.network.weights import load_network
    from tests.foreign import published

    keys = published.description(shared, "centernet_res_18")["keys"]
    torch.save({key: torch.zeros(shape) for key, shape in keys.items()}, tmp_path / "w.pth")
    server.files["/w.pth"] = (tmp_path / "w.pth").read_bytes()
    entry = replace(zoo.ZOO["one"], sha256="", notice="Copyright somebody")
    monkeypatch.setattr(zoo, "ZOO", {"some/net": entry})
    detector = Detector("zoo:some/net")
    assert detector.class_names[0] == "person" and detector.lineage is not None
    lineage = detector.lineage
    assert lineage.name == "zoo:some/net" and lineage.licence == "MIT" and lineage.notices == ("Copyright somebody",)
    assert entry.address in lineage.sources and any("COCO" in source for source in lineage.sources)
    monkeypatch.setenv(zoo.OFFLINE, "1")
    model = CenterNet.from_pretrained("zoo:some/net")
    assert model.lineage == load_network("zoo:some/net").lineage == lineage and len(server.asked) == 1
    checkpoint: dict[str, object] = {}
    model.on_save_checkpoint(checkpoint)
    assert checkpoint["lineage"] == lineage.to_dict()
    assert started_from("zoo:some/net", lineage).licences == ("MIT",)
    assert "Copyright somebody" in (tmp_path / "cache/some/net/model/README.md").read_text()
    with pytest.raises(ValueError, match="has no such model"):
        Detector("zoo:some/../net")


def test_a_file_of_somebody_states_no_terms(shared: Path, tmp_path: Path) -> None:
    import torch

    from centernet.foreign import open_foreign
    from tests.foreign import published

    keys = published.description(shared, "centernet_res_18")["keys"]
    torch.save({key: torch.zeros(shape) for key, shape in keys.items()}, tmp_path / "mine.pth")
    found = open_foreign(tmp_path / "mine.pth")
    lineage = found.network.lineage
    assert lineage is not None and lineage.name == "mine.pth" and not lineage.licence and lineage.limits
    assert "licence: no licence stated" in found.notes
