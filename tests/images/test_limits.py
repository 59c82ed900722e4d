"""Which image files and videos are opened at all, and how large they may be."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from centernet.annotations.text import text_lines
from centernet.cli.main import main
from centernet.configuration import read_yaml
from centernet.files import open_file, read_file
from centernet.images import ImageError, image_size, list_images, read_image
from centernet.images.limits import FORMATS, VARIABLE, most_pixels, most_tiled, open_listed
from centernet.inference import frames
from centernet.inference.frame import SourceError
from centernet.inference.inspection import check_onnx
from centernet.inference.moving import is_video


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n",
        b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 32, 60, 0, 0, 0, 0) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\xd7\xcd\xc6\x9a\0\0\0\0\0\0\x40\0\x40\0\x60\0" + b"\0" * 40,
        b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + b"\0" * 300,
        b"GRIB\0\0\0\1" + b"\0" * 40,
        b"/* XPM */\nstatic char *x[] = {\n\"1 1 1 1\",\n\"a c #ff0000\",\n\"a\"};\n",
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ],
    ids=["eps", "eps-with-preview", "wmf", "psd", "grib", "xpm", "hls", "concat"],
)  # fmt: skip
def test_formats_that_are_not_listed(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for read in (read_image, image_size, lambda p: list(frames(p))):
        with pytest.raises((ImageError, SourceError)):
            read(path)
    with pytest.raises(ImageError):
        read_image(content)


def test_the_list_holds_what_is_read_and_no_more(tmp_path: Path) -> None:
    assert not {"EPS", "WMF", "PSD", "GRIB", "BUFR", "HDF5", "FITS", "MPEG", "XPM"} & set(FORMATS)
    names = "JPEG PNG GIF BMP PPM TIFF WEBP TGA PCX ICO JPEG2000 SGI DDS QOI"
    for format in names.split():
        path = tmp_path / "image"
        Image.new("RGB", (16, 16), (9, 9, 9)).save(path, format)
        with open_listed(path) as image, path.open("rb") as file, open_listed(file) as other:
            assert image.format == other.format == format and image.size == (16, 16)
        assert image_size(path) == (16, 16) and read_image(path).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n\2\2\2\2",
        b"PF\n90000 90000\n-1.0\n",
        b"P7\nWIDTH 90000\nHEIGHT 90000\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
        b"P6\n90000 90000\n255\n",
        b"BM" + struct.pack("<IHHIIIIHHIIIIII", 54, 0, 0, 54, 40, 90000, 90000, 1, 24, 0, 0, 0, 0, 0, 0),
        b"GIF89a" + struct.pack("<HH", 65000, 65000) + b"\0\0\0," + struct.pack("<4H", 0, 0, 65000, 65000) + b"\0\2\0;",
    ],
    ids=["radiance", "pfm", "pam", "ppm", "bmp", "gif"],
)  # fmt: skip
def test_one_limit_for_every_decoder(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=r"pixels are more than .*--max-pixels"):
            read(path)


def test_the_limit_is_set_for_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
    assert most_pixels() == 2 * (Image.MAX_IMAGE_PIXELS or 0) and most_tiled() == 500e6
    line = ["detect", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), "--format", "json"]
    assert main([*line, "--max-pixels", "0.03M"]) == 1
    assert "200×200 pixels are more than 30000" in capsys.readouterr().err
    assert VARIABLE not in os.environ, "it is the command's"
    assert main([*line, "--max-pixels", "40000"]) == 0


@pytest.mark.parametrize("name", ["a.jpg", "a.hdr", "a.tif", "a.yaml", "a.onnx", "a.txt"])
def test_files_with_holes_are_not_read_as_a_whole(name: str, tmp_path: Path) -> None:
    """A file of a few bytes states a terabyte, which takes no room on its disk."""
    heads = {"a.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n", "a.tif": b"II*\0\x08\0\0\0"}
    path = tmp_path / name
    path.write_bytes(heads.get(name, b""))
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        pytest.skip("a file system without holes")
    readers = {".yaml": read_yaml, ".onnx": check_onnx, ".txt": read_file}
    with pytest.raises((OSError, ValueError), match="MiB"):
        readers.get(path.suffix, read_image)(path)


@pytest.mark.skipif(not os.path.exists("/proc/kmsg"), reason="no such file")
def test_a_file_of_the_system_that_never_answers(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.jpg"):
        (tmp_path / name).symlink_to("/proc/kmsg")
        with pytest.raises((ImageError, SourceError), match="is empty"):
            list(frames(tmp_path / name))
    assert read_file("/proc/kmsg") == b""


def test_pipes_sockets_and_folders_are_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "folder.jpg").mkdir(parents=True)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.jpg"))
    Image.new("RGB", (8, 8)).save(folder / "a.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    assert [path.name for path in list_images(folder)] == ["a.jpg"]
    for name in ("folder.jpg", "pipe.jpg", "socket.jpg", "zero.jpg"):
        path = folder / name
        assert not is_video(path)
        with pytest.raises(ImageError, match="not a file"):
            read_image(path)
        for read in (open_file, read_file, text_lines):
            with pytest.raises(OSError, match=r"folder|no file"):
                read(path)


def test_names_that_programs_take_for_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("centernet.inference.moving.import_av", lambda: None)
    for name in ("concat:a.mp4", "subfile,,start,0,end,9,,:x.mp4", "data:x.avi", "%03d.mkv"):
        Path(name).write_bytes(b"\x1a\x45\xdf\xa3" + b"\0" * 100)
        with pytest.raises(SourceError):
            list(frames(Path(name)))


def test_the_values_of_deep_images_are_the_same_in_parts() -> None:
    from centernet.images.depth import to_8_bits

    values = np.random.default_rng(0).integers(0, 4096, (1000, 7), dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bits(values), np.round(values / 4095 * 255).astype(np.uint8))
    floats = np.random.default_rng(0).random((1000, 7, 3), dtype=np.float32)
    np.testing.assert_array_equal(to_8_bits(floats), np.round(floats.astype(np.float64) * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.tif", {"compression": "jpeg"}),
        ("a.png", {}),
        ("a.jpg", {"quality": 90}),
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.jp2", {}),
        ("a.avif", {}),
    ],
)
def test_a_limit_above_that_of_pillow_is_meant(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    try:
        Image.fromarray(pixels).save(path, **options)
    except (KeyError, OSError, ValueError):
        pytest.skip(f"this Pillow writes no {name}")
    expected = read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="more than 200"):
        read_image(path)
    monkeypatch.setenv(VARIABLE, "10000")
    np.testing.assert_array_equal(read_image(path), expected)
