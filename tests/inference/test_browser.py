"""Chromium plays what is written, to its end, in its size, for its time, with its colours and its sound."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.detections import Detections
from centernet.inference import Frame, VideoWriter, frames

av: Any = pytest.importorskip("av", reason="needs PyAV, which writes the videos")

from tests.inference.test_moving import SCENES, encode  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
COLOUR = (200, 120, 40)
PAGE = """<!doctype html><video id=v muted src="FILE"></video><canvas id=c></canvas><script>
let told = false
function tell(more) {
  if (told) return
  told = true
  c.width = v.videoWidth; c.height = v.videoHeight
  const context = c.getContext("2d")
  context.drawImage(v, 0, 0)
  const pixel = v.videoWidth ? Array.from(context.getImageData(v.videoWidth >> 1, v.videoHeight >> 1, 1, 1).data) : []
  const found = {size: [v.videoHeight, v.videoWidth], duration: v.duration, reached: v.currentTime, pixel,
                 sound: v.webkitAudioDecodedByteCount, error: v.error && v.error.message, ...more}
  fetch("/told", {method: "POST", body: JSON.stringify(found)})
}
v.onended = () => tell({}); v.onerror = () => tell({}); setTimeout(() => tell({late: true}), 30000)
v.play().catch(error => tell({play: String(error)}))
</script>"""


def play(path: Path, folder: Path) -> dict[str, Any]:
    """Return what a page that plays a file reports at its end."""
    (folder / "page.html").write_text(PAGE.replace("FILE", path.name))
    told: list[dict[str, Any]] = []
    done = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    address = f"http://127.0.0.1:{server.server_port}/page.html"
    command = [str(CHROMIUM), *options, f"--user-data-dir={folder / 'profile'}", address]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert done.wait(90), "the page reported nothing"
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()
    return told[0]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the path")
@pytest.mark.parametrize("size", [(120, 161), (720, 1280)])
@pytest.mark.parametrize("sound", ["", "aac", "pcm_s16le", "libopus"])
def test_chromium_plays_a_written_video(tmp_path: Path, size: tuple[int, int], sound: str) -> None:
    ticks = [*range(0, 400, 40), 900, 940, 980, 1020]
    images = [np.full((*size, 3), COLOUR, np.uint8) for _ in ticks]
    even = [np.pad(image, [(0, 0), (0, size[1] % 2), (0, 0)]) for image in images]
    source = encode(tmp_path / "clip.mkv", ticks=ticks, images=even, sound=sound)
    with VideoWriter(tmp_path / "out", frame_rate=25) as writer:
        for frame, image in zip(frames(source), images, strict=True):
            same = Frame(image, frame.name, frame.path, frame.index, frame.time, is_part=True)
            writer.write(same, Detections.empty())
    found = play(writer.path, tmp_path)
    assert found["error"] is None and "late" not in found and "play" not in found
    assert found["size"] == [size[0], size[1] + size[1] % 2]
    assert found["duration"] == pytest.approx(1.06, abs=0.05 if sound else 0.02)
    assert found["reached"] == pytest.approx(found["duration"], abs=0.01)
    assert np.abs(np.array(found["pixel"][:3]) - COLOUR).max() <= 6
    assert (found["sound"] > 0) == bool(sound)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the path")
def test_chromium_plays_what_opencv_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("centernet.inference.video.import_av", lambda: None)
    with VideoWriter(tmp_path / "out", frame_rate=25) as writer:
        for i, image in enumerate(SCENES):
            writer.write(Frame(image, str(i), None, i), Detections.empty())
    found = play(writer.path, tmp_path)
    assert found["error"] is None and found["size"] == list(SCENES[0].shape[:2]) and found["reached"] > 0.4
