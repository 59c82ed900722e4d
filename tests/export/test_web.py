"""The page that runs a detector in the browser, in headless Chromium from a static server."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet import CenterNet, Detector
from centernet.cli.main import main
from centernet.drawing import class_colour
from centernet.export import ExportOptions
from centernet.export.web import CDN, SCRIPT, export_web

MODULES = Path(os.environ.get("NODE_MODULES", "node_modules"))
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# Runs the page's own functions on photos, then the page itself in a frame, as a person does.
PROBE = """
import { load, detect } from "./page.js";
const told = {};
try {
  const model = await load();
  told.provider = model.provider;
  told.found = [];
  for (const name of PHOTOS) {
    const bitmap = await createImageBitmap(await (await fetch(name)).blob());
    await detect(model, bitmap);
    const before = performance.now();
    told.found.push(await detect(model, bitmap));
    told.milliseconds = performance.now() - before;
  }
  const page = document.getElementById("page").contentDocument;
  const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
  const status = () => page.getElementById("status").textContent;
  while (!status().startsWith("Ready")) {
    if (status().startsWith("The model cannot")) throw new Error(status());
    await pause();
  }
  const transfer = new DataTransfer();
  transfer.items.add(new File([await (await fetch(PHOTOS[0])).blob()], PHOTOS[0]));
  const input = page.getElementById("file");
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
  while (!page.getElementById("facts").textContent) await pause();
  told.facts = page.getElementById("facts").textContent;
  told.view = [page.getElementById("view").width, page.getElementById("view").height];
  transfer.items.clear();
  transfer.items.add(new File(["no image"], "<b>.jpg"));
  input.files = transfer.files;
  input.dispatchEvent(new Event("change"));
  while (!status().includes("cannot be read")) await pause();
  told.refused = status();
  page.getElementById("webcam").click();
  while (status() !== "webcam") await pause();
  while (page.getElementById("facts").textContent === told.facts) await pause();
  told.webcam = [page.getElementById("view").width, page.getElementById("view").height];
  page.getElementById("webcam").click();
  told.button = page.getElementById("webcam").textContent;
} catch (error) {
  told.error = String(error);
}
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
"""


def visit(folder: Path, seconds: float = 240) -> tuple[dict[str, Any], str]:
    """Open probe.html of a folder; return what it tells, and what the browser wrote on its console."""
    told: list[dict[str, Any]] = []
    done = threading.Event()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", f"--user-data-dir={folder}/profile"]
        command += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        command += [f"http://127.0.0.1:{server.server_port}/probe.html"]
        with (folder / "console").open("w") as console:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=console)
        try:
            done.wait(seconds)
        finally:
            process.kill()
            process.wait()
            server.shutdown()
    lines = [line for line in (folder / "console").read_text(errors="replace").splitlines() if "CONSOLE" in line]
    lines = [line for line in lines if "No available adapters" not in line]  # Chromium's word on WebGPU
    return (told or [{"error": f"nothing in {seconds} s"}])[0], "\n".join(lines)


@pytest.mark.slow
def test_a_browser_finds_what_python_finds(tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    if not (MODULES / "onnxruntime-web").is_dir():
        pytest.skip("needs onnxruntime-web: npm install onnxruntime-web@1.20.1, and its node_modules in NODE_MODULES")
    folder = tmp_path / "page"
    assert main(["export", "coco-lite", "--format", "web", "--output", str(folder), "--offline", str(MODULES)]) == 0
    with Image.open(Path(__file__).parents[2] / "docs" / "images" / "photographs.jpg") as image:
        photo = image.convert("RGB")
    width, height = photo.size
    views = [photo, photo.resize((333, 251)), photo.crop((0, 0, width // 2, height))]
    names = [f"{i}.png" for i in range(len(views))]
    for name, view in zip(names, views, strict=True):
        view.save(folder / name)
    (folder / "probe.js").write_text(f"const PHOTOS = {json.dumps(names)};\n{PROBE}")
    frame = '<iframe id="page" src="index.html" width="900" height="700"></iframe>'
    (folder / "probe.html").write_text(f'<!doctype html>{frame}<script type="module" src="probe.js"></script>')
    told, console = visit(folder)
    assert "error" not in told, told["error"] + console
    assert not console, "what is refused is said on the page"
    detector = Detector(folder / "model.onnx", score_threshold=0.01)
    for name, found in zip(names, told["found"], strict=True):
        expected = detector(folder / name)
        sure = [row for row in found if row["score"] >= 0.05]
        kept = expected.filter(score_threshold=0.05)
        assert len(sure) == len(kept) > 0
        for row, box, score, name_of_class in zip(sure, kept.bboxes, kept.scores, kept.names, strict=True):
            assert row["name"] == name_of_class
            np.testing.assert_allclose(row["bbox"], box, atol=0.5)
            np.testing.assert_allclose(row["score"], score, atol=1e-3)
    shown = Detector(folder / "model.onnx")(folder / names[0])
    assert sum(int(part.split()[0]) for part in told["facts"].split(";")[0].split(", ")) == len(shown)
    assert told["view"] == [width, height]
    assert told["webcam"] == [640, 480] and told["button"] == "Start the webcam"
    print(f"{told['provider']}: {told['milliseconds']:.0f} ms an image of {views[-1].size}")
    assert told["refused"].startswith("<b>.jpg cannot be read as an image")


def test_the_folder(model: CenterNet, tmp_path: Path) -> None:
    modules = tmp_path / "modules" / "onnxruntime-web" / "dist"
    modules.mkdir(parents=True)
    for name in (SCRIPT, "ort-wasm-simd-threaded.jsep.mjs", "ort-wasm-simd-threaded.jsep.wasm"):
        (modules / name).write_text(name)
    name = '<script>alert("x")</script>'
    options = ExportOptions(classes=["dog"])
    folder = export_web(model.network, tmp_path / "page", options, name=name, offline=tmp_path / "modules")
    page, about = (folder / "index.html").read_text(), json.loads((folder / "model.json").read_text())
    assert name not in page and "&lt;script&gt;" in page
    assert CDN not in page and "http" not in page.replace("http-equiv", "")
    assert (folder / about["runtime"] / about["script"]).read_text() == SCRIPT
    assert about["class_names"] == ["dog"]
    assert about["colours"] == ["#{:02x}{:02x}{:02x}".format(*class_colour(0))]
    assert Detector(folder / "model.onnx")(np.zeros((90, 70, 3), np.uint8)).class_names == ("dog",)
    online = export_web(model.network, tmp_path / "online", name="Züge")
    about = json.loads((online / "model.json").read_text())
    assert about["runtime"] == CDN and "https://cdn.jsdelivr.net;" in (online / "index.html").read_text()


def test_what_is_refused(model: CenterNet, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty; give a new folder"):
        export_web(model.network, tmp_path / "full")
    with pytest.raises(FileNotFoundError, match=r"has no onnxruntime-web .*npm install onnxruntime-web"):
        export_web(model.network, tmp_path / "page", offline=tmp_path / "full")
    with pytest.raises(ValueError, match="leaves no boxes"):
        export_web(model.network, tmp_path / "page", ExportOptions(raw_maps="only"))
    assert not (tmp_path / "page").exists()
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
