"""A model on the Hugging Face Hub: the real client against a server on this machine that speaks the Hub's protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from centernet.network import load_network

SHA = "1" * 40  # of the one commit that there ever is


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: made, uploaded to (large files apart, by Git LFS), listed, and downloaded from."""

    repositories: dict[str, dict[str, bytes]]
    large: dict[str, bytes]
    tokens: set[str | None]

    def log_message(self, format: str, *args: Any) -> None:
        """Be silent."""

    def answer(self, content: Any = None, code: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        self.tokens.add(self.headers.get("Authorization"))
        path, body = self.path.partition("?")[0], self.body()
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'somebody'}/{wanted['name']}"
            new = name not in self.repositories
            self.repositories.setdefault(name, {})
            address = f"http://{self.headers['Host']}/{name}"
            self.answer({"url": address, "id": name, "error": "exists"}, 200 if new else 409)
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**wanted, "actions": {"upload": {"href": f"http://{self.headers['Host']}/store/{wanted['oid']}"}}}
                for wanted in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif "preupload" in parts:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif "commit" in parts:
            files = self.repositories["/".join(parts[2:4])]
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.large[value["oid"]]
            address = f"http://{self.headers['Host']}/{'/'.join(parts[2:4])}/commit/{SHA}"
            self.answer({"commitUrl": address, "commitOid": SHA, "success": True})
        else:
            self.answer({"error": f"unknown: {path}"}, 501)

    def do_PUT(self) -> None:
        data = self.body()
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        self.large[hashlib.sha256(data).hexdigest()] = data
        self.answer()

    def do_GET(self) -> None:
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            files = self.repositories.get("/".join(parts[2:4]))
            if files is None:
                self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
                return
            if "tree" in parts:
                rows = [
                    {"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()
                ]
                self.answer(rows, Content_Type="application/json")
                return
            listed = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            self.answer({"id": "/".join(parts[2:4]), "sha": SHA, "siblings": listed}, Content_Type="application/json")
            return
        data = self.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
        if data is None:
            self.answer({}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=SHA)
            return
        self.answer(data, ETag=f'"{hashlib.sha256(data).hexdigest()}"', X_Repo_Commit=SHA)

    do_HEAD = do_GET


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    Hub.repositories, Hub.large, Hub.tokens = {}, {}, set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


PROGRAM = """
import torch
from centernet import CenterNet, Detector

model = CenterNet.from_pretrained("voc-lite")
print(model.push_to_hub("somebody/cells", token="hf_of_somebody"))
again = CenterNet.from_pretrained("somebody/cells")
images = torch.rand(1, 3, 64, 64)
with torch.no_grad():
    for name, value in model.eval()(images).items():
        torch.testing.assert_close(again.eval()(images)[name], value, rtol=0.02, atol=0.02)
print(Detector("somebody/cells").class_names[:2], again.class_names == model.class_names)
model.push_to_hub("somebody/cells", token="hf_of_somebody")
try:
    CenterNet.from_pretrained("somebody/nothing")
except FileNotFoundError as error:
    print(error)
"""


def test_a_model_goes_there_and_comes_back(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    address = f"http://127.0.0.1:{hub.server_address[1]}"
    # The client reads these once, when it is imported.
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
    own = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=own | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == f"{address}/somebody/cells/commit/{SHA}"
    assert second == "('aeroplane', 'bicycle') True"
    assert third.startswith(
        "somebody/nothing: could not download it from the Hugging Face Hub (RepositoryNotFoundError"
    )
    assert {"config.yaml", "model.safetensors", "README.md"} <= Hub.repositories["somebody/cells"].keys()
    assert len(Hub.large) == 1, "weights go by Git LFS"
    assert "Bearer hf_of_somebody" in Hub.tokens


def test_a_path_with_a_slip_of_the_pen_is_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"^runs/bset: no such model.*where there is no folder runs here"):
        load_network("runs/bset")
