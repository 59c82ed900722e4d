"""A server in a process of its own, asked as clients ask it, well and badly."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet import Detector
from centernet.cli.main import main

pytest.importorskip("litserve", reason="the extra `serve` is not installed")

PHOTO = Path(__file__).parents[2] / "docs" / "images" / "photographs.jpg"
KEY = "näh=1"
BYTES = 3_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running `centernet serve`."""

    def __init__(self, *options: str, key: str | None = None) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "centernet", "serve", "voc-lite", "--port", str(self.port), *options]
        environment = os.environ | ({} if key is None else {"CENTERNET_API_KEY": key})
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `output` closes it
        apart: dict[str, Any] = {"env": environment, "start_new_session": True}
        self.process = subprocess.Popen(command, stdout=self._said, stderr=subprocess.STDOUT, **apart)
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(self.output())
            try:
                if self.get("/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        self.process.kill()
        raise AssertionError(f"the server is not ready after two minutes: {self.output()}")

    def get(self, path: str) -> tuple[int, bytes]:
        return self.ask(path, None, {})

    def ask(self, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def send(self, data: bytes, kind: str = "image/png", **headers: str) -> tuple[int, Any]:
        told, body = self.ask("/predict", data, {"Content-Type": kind, **headers})
        return told, json.loads(body)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)

    def output(self) -> str:
        with self._said as file:
            file.seek(0)
            return file.read().decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server("--max-bytes", str(BYTES), "--timeout", "3", "--max-images", "3", "--max-pixels", "4M")
    yield server
    server.end()
    assert "Traceback" not in server.output()


def png(image: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG")
    return file.getvalue()


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


@pytest.fixture(scope="module")
def photo() -> Any:
    with Image.open(PHOTO) as image:
        return np.asarray(image.convert("RGB"))


def test_it_answers_what_the_detector_finds(server: Server, photo: Any) -> None:
    expected = Detector("voc-lite")(photo)
    status, told = server.send(png(photo))
    (image,) = told["images"]
    assert status == 200 and (image["height"], image["width"]) == photo.shape[:2]
    rows = expected.to_coco(0)
    assert len(rows) == len(image["detections"]) > 0
    for row, name, got in zip(rows, expected.names, image["detections"], strict=True):
        assert got == {**{key: value for key, value in row.items() if key != "image_id"}, "category_name": name}
    status, told = server.send(*form(("a.png", png(photo)), ("b.png", png(photo[:100]))))
    assert status == 200 and [image["file_name"] for image in told["images"]] == ["a.png", "b.png"]
    assert told["images"][0]["detections"] == image["detections"]
    high = server.ask("/predict?score_threshold=1", png(photo), {"Content-Type": "image/png"})
    assert json.loads(high[1])["images"][0]["detections"] == []
    status, drawn = server.ask("/predict", png(photo), {"Content-Type": "image/png", "Accept": "image/jpeg"})
    with Image.open(io.BytesIO(drawn)) as image:
        assert status == 200 and image.format == "JPEG" and image.size == photo.shape[1::-1]


def test_what_is_wrong_is_said(server: Server, photo: Any) -> None:
    large = io.BytesIO()
    Image.new("L", (3000, 3000)).save(large, "PNG")
    good = png(photo[:50])
    text, kind = form(("a.txt", b"no image"), ("b.png", good))
    field = b'--xyz\r\nContent-Disposition: form-data; name="url"\r\n\r\nfile:///etc/passwd\r\n--xyz--\r\n'
    for status, words, sent in (
        (400, "not an image", (b"no image",)),
        (400, "a.txt: not an image", (text, kind)),
        (400, "no image", (b"",)),
        (400, "no image", form()),
        (400, "up to 3", form(*[("a.png", good)] * 4)),
        (400, "no other fields", (field, "multipart/form-data; boundary=xyz")),
        (400, "multipart", (b"--abc", "multipart/form-data")),
        (400, "3000×3000 pixels are more than 4000000", (large.getvalue(),)),
        (413, f"may have {BYTES} bytes", (b"\0" * (BYTES + 1),)),
        (415, "expected an image", (b'{"url": "http://127.0.0.1/"}', "application/json")),
    ):
        got, told = server.send(*sent)
        assert (got, words in told["detail"]) == (status, True), (status, words, got, told)
        assert "Traceback" not in told["detail"]
    got, told = server.send(*form(("a.png", good), ("b.png", good)), Accept="image/jpeg")
    assert got == 406 and "for one image" in told["detail"]
    assert server.ask("/predict?score_threshold=2", good, {"Content-Type": "image/png"})[0] == 422
    assert server.get("/predict")[0] == 405 and server.get("/../etc/passwd")[0] == 404
    assert server.send(good)[0] == 200


def test_bad_clients_do_not_hold_up_others(server: Server, photo: Any) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 200000\r\n\r\n"
    half = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(16)]
    for client in half:
        client.sendall(head + b"\x89PNG")
    chunked = socket.create_connection(("127.0.0.1", server.port))
    chunked.sendall(head.replace(b"Content-Length: 200000", b"Transfer-Encoding: chunked"))

    def flood() -> None:
        with suppress(OSError):
            for _ in range(200):
                chunked.sendall(b"100000\r\n" + b"\0" * 0x100000 + b"\r\n")

    flooding = threading.Thread(target=flood)
    flooding.start()
    start = time.monotonic()
    assert server.send(png(photo))[0] == 200
    assert time.monotonic() - start < 20
    flooding.join(60)
    chunked.settimeout(10)
    with suppress(ConnectionError):  # the answer may be lost with the connection
        assert b" 413 " in chunked.recv(1000)
    for client in half:
        client.settimeout(30)
        assert b" 408 " in client.recv(1000)  # a byte a second does not help: the request has to be there
        client.close()
    chunked.close()
    assert server.send(png(photo))[0] == 200


def test_pages(server: Server) -> None:
    status, page = server.get("/")
    assert status == 200 and b"voc-lite" in page and b"does not keep them" in page
    about = json.loads(server.get("/model.json")[1])
    assert about["service"] == "predict" and "person" in about["class_names"]
    assert b"export async function detect" in server.get("/page.js")[1] and server.get("/page.css")[0] == 200
    described = json.loads(server.get("/openapi.json")[1])["paths"]["/predict"]["post"]
    assert set(described["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    assert b'centernet_requests_total{status="200"}' in server.get("/metrics")[1]


def test_a_key_a_batch_and_the_end(photo: Any) -> None:
    server = Server("--max-batch-size", "4", "--batch-timeout", "0.5", "--max-waiting", "6", key=KEY)
    try:
        assert server.send(png(photo))[0] == 401 and server.get("/health")[0] == 200
        answers: list[tuple[int, Any]] = []
        key = {"X-API-Key": KEY.encode().decode("latin-1")}

        def ask(data: bytes) -> None:
            answers.append(server.send(data, **key))

        bodies = [png(photo), b"no image", png(photo[:80]), png(photo[:90])] + [png(photo[:70])] * 20
        clients = [threading.Thread(target=ask, args=(data,)) for data in bodies]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        statuses = {status for status, _ in answers}
        assert {200, 503} <= statuses <= {200, 400, 503}, "six wait, others are told to come again"
        assert server.send(b"no image", **key)[0] == 400 and server.send(png(photo), **key)[0] == 200
        assert server.end() == 143
    finally:
        server.process.kill()
    output = server.output()
    assert "Traceback" not in output and "the server has ended" in output


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="children are counted in /proc")
def test_nothing_outlives_a_server_that_was_killed() -> None:
    server = Server()

    def of_group() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = entry.read_text().rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] != "Z":
                    found.append(entry.parent.name)
        return found

    group = os.getpgid(server.process.pid)
    assert group == server.process.pid and len(of_group()) > 2
    server.end(signal.SIGKILL)
    for _ in range(150):
        if not of_group():
            break
        time.sleep(0.1)
    assert not of_group()
    assert server.output()


def test_a_container_without_shared_memory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("centernet.cli.serve.Lock", lambda: os.open("/", os.O_WRONLY))
    assert main(["serve", "coco-lite"]) == 1 and "/dev/shm" in capsys.readouterr().err


def test_a_model_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    command = [sys.executable, "-m", "centernet", "serve", str(tmp_path / "model.onnx")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1 and "model.onnx" in ended.stderr and "Traceback" not in ended.stderr
