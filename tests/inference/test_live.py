"""Cameras and streams stay live: the newest image is taken, the others are counted, and a break is not the end."""

from __future__ import annotations

import http.server
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.images import Preprocessing
from centernet.inference import Detector, SourceError, frames, live

BITS = 20


class Camera:
    """A server of JPEGs one after the other, 25 in a second; each shows the milliseconds at which it was made."""

    def __init__(self) -> None:
        self.start, self.sent, self.whole, self.refused = time.monotonic(), 0, 0, 0
        self.most = 10**9  # images in a connection
        self.accepted = 10**9  # connections that are served to their end; further ones are refused
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                if camera.whole >= camera.accepted:
                    camera.refused += 1
                    return self.send_error(503)
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
                self.end_headers()
                begun = time.monotonic()
                try:
                    for number in range(camera.most):
                        data = camera.jpeg()
                        head = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                        self.wfile.write(head + data + b"\r\n")
                        camera.sent += 1
                        time.sleep(max(0, begun + (number + 1) / 25 - time.monotonic()))
                    camera.whole += 1
                except OSError:
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/camera.mjpg"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jpeg(self) -> bytes:
        value, image = self.now(), np.full((48, 16 * BITS, 3), 90, np.uint8)
        for bit in range(BITS):
            image[:, 16 * bit : 16 * bit + 16] = 255 if value >> bit & 1 else 0
        return bytes(cv2.imencode(".jpg", image)[1].tobytes())

    def now(self) -> int:
        return int(1000 * (time.monotonic() - self.start))

    def age(self, image: np.ndarray) -> float:
        """Return how many seconds ago an image was made."""
        made = sum(1 << bit for bit in range(BITS) if image[24, 16 * bit + 8, 0] > 127)
        return (self.now() - made) / 1000


@pytest.fixture
def camera() -> Iterator[Camera]:
    one = Camera()
    yield one
    one.server.shutdown()
    one.server.server_close()


class Slow:
    """A network that looks at five images in a second."""

    preprocessing, class_names = Preprocessing((64, 64)), ("x",)

    def __call__(self, images: np.ndarray, k: int) -> dict[str, Any]:
        time.sleep(0.2 * len(images))
        n = len(images)
        labels, scores = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
        return {"bboxes": np.zeros((n, k, 4), np.float32), "labels": labels, "scores": scores}


def test_a_slow_network_sees_the_newest_image(camera: Camera) -> None:
    ages, indices, times = [], [], []
    stream = Detector(Slow(), batch_size=8).stream(camera.address)
    for frame, _ in stream:
        ages.append(camera.age(frame.image))
        indices.append(frame.index)
        times.append(frame.time)
        if len(ages) == 20:
            break
    stream.close()  # type: ignore[attr-defined]
    assert max(ages[2:]) < 2, "the delay is bounded: all images would be 3 seconds behind by now, and 16 at the end"
    assert np.mean(ages[-5:]) < np.mean(ages[2:7]) + 0.5, "and does not grow"
    steps = np.diff(indices)
    assert (steps >= 1).all() and 2 <= np.mean(steps) <= 12, "skipped images count"
    assert indices[-1] - indices[0] >= 40 and indices[-1] <= camera.sent
    assert times[-1] - times[0] == pytest.approx((indices[-1] - indices[0]) / 25, rel=0.4), "times are those of arrival"


def test_a_stream_that_breaks_off_is_opened_again(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WAIT", 0.05)
    monkeypatch.setattr(live, "RECONNECTIONS", 3)
    camera.most, camera.accepted = 6, 3
    found = []
    broken = pytest.raises(SourceError, match=r"camera\.mjpg: no more images came after \d+, also after 3 more tries")
    with warnings.catch_warnings(record=True) as caught, broken:
        warnings.simplefilter("always")
        for frame in frames(camera.address):
            found.append(frame)
    assert (camera.whole, camera.refused) == (3, 3) and len(found) >= 3
    said = [str(warning.message) for warning in caught if "opening it again" in str(warning.message)]
    assert len(said) >= 3 and "camera.mjpg: no more images came after 6; opening it again (try 1 of 3)" in said[0]
    indices = [frame.index for frame in found]
    assert indices == sorted(set(indices)) and indices[-1] >= 12, "numbers go on after a break"


def test_a_stream_that_is_not_there_is_said_at_once(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    camera.accepted = 0
    with pytest.raises(SourceError, match="the stream cannot be opened"):
        next(frames(camera.address))
    assert camera.refused <= 2


def test_reading_ends_with_its_reader(camera: Camera) -> None:
    stream = frames(camera.address)
    next(stream)
    names = [thread.name for thread in threading.enumerate()]
    assert "centernet-live" in names
    stream.close()  # type: ignore[attr-defined]
    assert "centernet-live" not in [thread.name for thread in threading.enumerate()]
