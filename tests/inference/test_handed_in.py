"""What a program may hand to a `Detector`, and what is said of anything else."""

from __future__ import annotations

import contextlib
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from centernet.images import ImageError, as_rgb
from centernet.inference import Detector, addresses, open_source

from .conftest import BOXES, FindWhite, save, save_video, scene

ARRAY = scene(BOXES[0])
RED = np.dstack([ARRAY[..., 0], 0 * ARRAY[..., 1], 0 * ARRAY[..., 2]])


def png(image: np.ndarray = ARRAY) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def single() -> dict[str, Any]:
    turned = Image.fromarray(np.ascontiguousarray(ARRAY[::-1, ::-1]))
    exif = Image.Exif()
    exif[0x0112] = 3
    turned_file = io.BytesIO()
    turned.save(turned_file, "PNG", exif=exif)
    return {
        "array": ARRAY,
        "not contiguous": np.ascontiguousarray(ARRAY[:, ::-1])[:, ::-1],
        "H×W": ARRAY[..., 0],
        "H×W×1": ARRAY[..., :1],
        "H×W×4": np.dstack([ARRAY, np.full(ARRAY.shape[:2], 255, np.uint8)]),
        "bytes": png(),
        "bytearray": bytearray(png()),
        "memoryview": memoryview(png()),
        "BytesIO": io.BytesIO(png()),
        "PIL": Image.fromarray(ARRAY),
        "PIL gray": Image.fromarray(ARRAY[..., 0]),
        "PIL palette": Image.fromarray(ARRAY).convert("P"),
        "PIL 16 bit": Image.fromarray(ARRAY[..., 0].astype(np.uint16) * 257),
        "PIL turned by EXIF": Image.open(turned_file),
    }


@pytest.mark.parametrize("kind", single())
def test_an_image_in_memory(runtime: FindWhite, kind: str) -> None:
    found = Detector(runtime)(single()[kind])
    np.testing.assert_allclose(found.bboxes[0], BOXES[0], atol=1)
    assert len(found) == 1


def test_a_file_object_of_any_position(runtime: FindWhite, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", ARRAY)
    with path.open("rb") as file:
        file.read(7)
        np.testing.assert_allclose(Detector(runtime)(file).bboxes[0], BOXES[0], atol=1)
    with path.open(encoding="latin-1") as text, pytest.raises(ImageError, match=r"a\.png: .*mode 'rb'"):
        Detector(runtime)(text)  # type: ignore[call-overload]


def test_tensors(runtime: FindWhite) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(ARRAY).permute(2, 0, 1)
    detector = Detector(runtime)
    for one in (tensor, tensor.contiguous(), tensor[:1]):
        np.testing.assert_allclose(detector(one).bboxes[0], BOXES[0], atol=1)
    batch = detector(torch.stack([tensor, tensor.flip(2)]))
    assert isinstance(batch, list) and len(batch) == 2 and batch[1].bboxes[0, 0] == pytest.approx(100, abs=1)
    assert isinstance(detector(tensor[None]), list)
    for wrong, says in (
        (tensor / 255, r"\(tensor \* 255\)\.round\(\)\.to\(torch\.uint8\).*Normalised images are for model"),
        (tensor.float(), r"convert it: tensor\.round\(\)\.to\(torch\.uint8\)"),
        (tensor.int(), r"convert it: tensor\.to\(torch\.uint8\)"),
        (tensor.permute(1, 2, 0), r"tensor\.permute\(2, 0, 1\)"),
    ):
        with pytest.raises(ImageError, match=f"image_000000: expected a uint8 tensor 3×H×W, .*{says}"):
            detector(wrong)


def test_several_at_once(runtime: FindWhite, tmp_path: Path) -> None:
    path = save(tmp_path / "b.png", scene(BOXES[1]))
    detector = Detector(runtime, batch_size=2)
    assert [len(found) for found in detector(np.stack([ARRAY, ARRAY, 0 * ARRAY]))] == [1, 1, 0]
    for items in ([ARRAY, path, png(), Image.fromarray(ARRAY)], (str(path), io.BytesIO(png()))):
        assert all(len(found) == 1 for found in detector(items))
    assert detector(np.zeros((0, 4, 4, 3), np.uint8)) == []


def test_a_generator_may_fill_the_same_array_again(runtime: FindWhite) -> None:
    taken = []

    def images() -> Iterator[np.ndarray]:
        buffer = np.empty_like(ARRAY)
        for number, box in enumerate(BOXES * 10):
            buffer[:] = scene((box[0], box[1], box[2], min(box[3], 120)))
            taken.append(number)
            yield buffer

    found = Detector(runtime)(images())
    assert [one.bboxes[0, 0].round() for one in found] == pytest.approx([box[0] for box in BOXES * 10], abs=1)
    taken.clear()
    stream = Detector(runtime, batch_size=2).stream(images())
    frame, _ = next(stream)
    assert frame.name == "image_000000" and len(taken) < 20, "an endless generator is not used up first"
    stream.close()  # type: ignore[attr-defined]
    assert open_source(iter([ARRAY])).length is None


def test_opencvs_order_of_channels(runtime: FindWhite, tmp_path: Path) -> None:
    plain, opencv = Detector(runtime), Detector(runtime, bgr=True)
    bgr = np.ascontiguousarray(RED[..., ::-1])
    frames = [next(iter(detector.stream([image])))[0].image for detector, image in ((plain, RED), (opencv, bgr))]
    np.testing.assert_array_equal(frames[0], frames[1])
    path = save(tmp_path / "red.png", RED)
    for source in (
        path,
        png(RED),
        Image.fromarray(RED),
        cv2.imread(str(path)),
        np.stack([bgr]),
        (bgr for _ in range(1)),
    ):
        ((frame, _),) = opencv.stream(source)
        np.testing.assert_array_equal(frame.image, RED)  # files and PIL images are not concerned
    transparent = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(as_rgb(transparent, bgr=True), RED)


def test_transparent_pixels_lie_over_white() -> None:
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0] = 10, 20, 30, 255
    image[1, 1] = 0, 0, 0, 51
    assert as_rgb(image)[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert as_rgb(image)[1, 1].tolist() == [204, 204, 204]
    np.testing.assert_array_equal(as_rgb(image), as_rgb(Image.fromarray(image)))


OTHERS: dict[str, tuple[Any, str]] = {
    "None": (None, "cv2.imread gives None"),
    "a dict": ({"image": ARRAY}, "got dict"),
    "True": (True, "got bool"),
    "a list of None": ([None], "image_000000: .*got NoneType.*cv2.imread gives None"),
    "floats in 0..1": (ARRAY / 255, r"got float64 of shape \(120, 160, 3\); convert it: .*image \* 255"),
    "floats in 0..255": (ARRAY.astype(np.float32), r"np\.clip\(image, 0, 255\)"),
    "16 bits": (ARRAY.astype(np.uint16) * 16, r"\(image / 4080 \* 255\)\.astype\(np\.uint8\).*16-bit PNG"),
    "bool": (ARRAY > 0, r"image\.astype\(np\.uint8\) \* 255"),
    "int64": (ARRAY.astype(np.int64), r"image\.astype\(np\.uint8\)"),
    "planes": (ARRAY.transpose(2, 0, 1), r"its channels are first: image\.transpose\(1, 2, 0\)"),
    "two channels": (ARRAY[..., :2], r"got one of shape \(120, 160, 2\)"),
    "nothing": (ARRAY[:0], r"got one of shape \(0, 160, 3\)"),
    "names": (np.array(["a.jpg"]), r"list\(array\)"),
    "no image": (b"no image at all", "not an image in any known format"),
    "no bytes": (b"", "empty"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_else_is_refused_with_what_is_taken(runtime: FindWhite, kind: str) -> None:
    item, says = OTHERS[kind]
    with pytest.raises(ValueError, match=says):
        Detector(runtime)(item)


# ---------------------------------------------------------------------- by an address


class Web(http.server.BaseHTTPRequestHandler):
    """A server of one image and of what else may be found on the web; it notes what it was asked for."""

    asked: list[str]
    secrets: list[str | None]
    video: bytes

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        type(self).asked.append(path)
        type(self).secrets.append(self.headers.get("Authorization"))
        kinds = {"/a.png": "image/png", "/snapshot": "image/png", "/store/b.png": "application/octet-stream"}
        kinds |= {
            "/page": "text/html",
            "/page.png": "text/html",
            "/clip.avi": "video/x-msvideo",
            "/svg": "image/svg+xml",
        }
        kinds |= {"/large.png": "image/png", "/cut.png": "image/png"}
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", {"/to/file": "file:///etc/passwd", "/to/loop": "/to/loop"}.get(path, "/a.png"))
            self.end_headers()
            return
        data = self.video if path == "/clip.avi" else b"<html>" if "page" in path or path == "/svg" else png()
        self.send_response(200 if path in kinds else 404)
        self.send_header("Content-Type", kinds.get(path, "text/html"))
        length = {"/large.png": addresses.LARGEST + 1, "/cut.png": len(data) + 9}.get(path, len(data))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # who asked has heard enough
            super().handle()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    Web.asked, Web.secrets = [], []
    Web.video = save_video(tmp_path / "clip.avi", [ARRAY] * 5).read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["/a.png", "/snapshot?camera=1", "/store/b.png", "/to/image"])
def test_an_image_by_its_address_is_downloaded_once(web: str, runtime: FindWhite, path: str) -> None:
    found = Detector(runtime)(f"{web}{path}")
    np.testing.assert_allclose(found.bboxes[0], BOXES[0], atol=1)
    assert len(Web.asked) == (2 if path.startswith("/to/") else 1)
    (frame,) = (frame for frame, _ in Detector(runtime).stream(f"{web}{path}"))
    assert frame.path is None and frame.name == path.partition("?")[0].rsplit("/")[-1]


def test_addresses_in_a_list(web: str, runtime: FindWhite, tmp_path: Path) -> None:
    errors: list[ImageError] = []
    items = [f"{web}/a.png", save(tmp_path / "b.png", ARRAY), f"{web}/snapshot"]
    assert [len(found) for found in Detector(runtime)(items)] == [1, 1, 1]
    found = list(Detector(runtime).stream([f"{web}/clip.bin", *items, f"{web}/lost.png"], on_error=errors.append))
    assert len(found) == 3 and len(errors) == 2 and "404" in str(errors[1])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/page", "is a page"),
        ("/page.png", "is a page"),
        ("/lost.png", "the server answers 404"),
        ("/svg", "not an image in any known format"),
        ("/large.png", "larger than 200 MB"),
        ("/cut.png", r"cut off after \d+ of \d+ bytes"),
    ],
)
def test_what_is_no_image_on_the_web_is_said(web: str, runtime: FindWhite, path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        Detector(runtime)(f"{web}{path}?token=secret".replace("//", "//user:secret@"))
    assert "secret" not in str(caught.value)


def test_redirects_stay_on_the_web_and_end(web: str) -> None:
    for path in ("/to/file", "/to/loop"):
        assert addresses.download_image(f"{web}{path}") is None  # left to the reader of streams, which fails too
    assert len(Web.asked) <= 2 + addresses.REDIRECTS
    with pytest.raises(ImageError, match=r"no\.png: cannot be downloaded"):
        addresses.download_image("http://127.0.0.1:9/no.png")


def test_a_password_is_for_its_own_server(web: str, runtime: FindWhite) -> None:
    Detector(runtime)(f"{web}/a.png".replace("//", "//user:p%40ss@"))
    assert Web.secrets == ["Basic dXNlcjpwQHNz"]  # user:p@ss
    Detector(runtime)(f"{web}/to/image".replace("//", "//user:p@"))
    assert Web.secrets[1] and Web.secrets[2] is None


def test_a_video_on_the_web_stays_a_stream(web: str) -> None:
    assert open_source(f"{web}/clip.avi").kind == "stream"


def test_the_address_of_a_file_is_its_path(tmp_path: Path, runtime: FindWhite) -> None:
    path = save(tmp_path / "with space.png", ARRAY)
    assert open_source(path.as_uri()).items == [path]
    assert len(Detector(runtime)(path.as_uri())) == 1
