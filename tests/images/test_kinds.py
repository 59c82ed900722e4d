"""Files of which less would be read than is meant are refused, or what is left out is said."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from centernet.images import ImageError, image_size, list_images, natural_order, read_image
from centernet.inference import frames as frames_of

GRAY = np.full((40, 60, 3), 90, np.uint8)


def entry(tag: int, value: int) -> bytes:
    """An entry of a TIFF directory, one LONG."""
    return (
        tag.to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
    )


def raw_photograph(path: Path, *, photometric: int, version: bool = False) -> None:
    """Write a TIFF of a 60×40 preview with the directory of a 600×400 image behind it, as cameras do."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[254], info[330] = 1, 0x11223344
    if version:
        info.tagtype[50706] = 1
        info[50706] = b"\1\4\0\0"
    Image.fromarray(GRAY).save(path, "TIFF", tiffinfo=info)
    data = path.read_bytes()
    entries = [entry(254, 0), entry(256, 600), entry(257, 400), entry(262, photometric)]
    directory = len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    data = data.replace((0x11223344).to_bytes(4, "little"), len(data).to_bytes(4, "little"))
    path.write_bytes(data + directory)


@pytest.mark.parametrize(
    ("name", "photometric", "version"),
    [("photo.dng", 34892, True), ("photo.NEF", 32803, False), ("renamed.tif", 32803, False), ("photo.arw", 2, False)],
)
def test_a_raw_photograph_is_not_its_preview(tmp_path: Path, name: str, photometric: int, version: bool) -> None:
    raw_photograph(tmp_path / name, photometric=photometric, version=version)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=rf"{name}: a camera's raw file \(.*preview of 60×40.*develop it"):
            read(tmp_path / name)
    with pytest.raises(ImageError, match="60×40 pixels"):  # bytes have no name
        read_image((tmp_path / name).read_bytes())


@pytest.mark.parametrize(
    "head",
    [b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx \0\0\0\1", b"II*\0\x10\0\0\0CR\2\0", b"IIU\0\x18\0\0\0", b"FOVb\0\0"],
)
def test_raw_photographs_that_are_no_tiff_are_named(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "photo").write_bytes(head.ljust(4000, b"\0"))
    with pytest.raises(ImageError, match=r"photo: a camera's raw file \(\w+ of \w+\); develop it"):
        read_image(tmp_path / "photo")


def test_a_thumbnail_before_the_image_is_refused_and_smaller_versions_behind_it_are_not(tmp_path: Path) -> None:
    large, small = Image.fromarray(np.repeat(GRAY, 2, 0)), Image.fromarray(GRAY)
    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[254] = 1
    for name, pages in (
        ("first.tif", [(small, reduced), (large, None)]),
        ("behind.tif", [(large, None), (small, reduced)]),
    ):
        with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / name), True) as file:
            for page, info in pages:
                page.save(file, "TIFF", **({"tiffinfo": info} if info else {}))
                file.newFrame()
    with pytest.raises(ImageError, match="a thumbnail of 60×40 pixels, the whole one has 60×80"):
        read_image(tmp_path / "first.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overview is no page of its own
        assert read_image(tmp_path / "behind.tif").shape == (80, 60, 3)


@pytest.mark.parametrize("place", [8 + 4, 10**6, 2**32 - 2], ids=["no directory", "beyond the end", "far beyond"])
def test_a_damaged_directory_within_a_tiff_is_said(tmp_path: Path, place: int) -> None:
    """The image that a thumbnail stands for is missed; what else an image names is not, but for a word."""
    for name, reduced in (("photo.tif", 0), ("thumbnail.tif", 1)):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info[254], info[330] = reduced, place
        info.tagtype[330] = 4
        Image.fromarray(GRAY).save(tmp_path / name, "TIFF", tiffinfo=info)
    with pytest.warns(UserWarning, match=r"^\S+photo\.tif: names 1 further image that cannot be read"):
        assert read_image(tmp_path / "photo.tif").shape == (40, 60, 3)
    with pytest.raises(ImageError, match=r"thumbnail\.tif: .* a thumbnail of 60×40 pixels, the whole one is damaged"):
        read_image(tmp_path / "thumbnail.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp", "a.png"])
def test_further_frames_and_pages_are_said(tmp_path: Path, name: str) -> None:
    others = [Image.fromarray(GRAY + 20 * i) for i in (1, 2)]
    Image.fromarray(GRAY).save(tmp_path / name, save_all=True, append_images=others)
    with pytest.warns(UserWarning, match=rf"{name}: has 3 (frames|pages), of which the first alone is looked at"):
        assert abs(int(read_image(tmp_path / name)[0, 0, 0]) - 90) < 4
    Image.fromarray(GRAY).save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / name)


def test_what_many_images_of_a_folder_lack_is_said_once(tmp_path: Path) -> None:
    for i in range(5):
        frames = [Image.fromarray(GRAY + 20 * j) for j in range(i + 1, i + 3)]
        Image.fromarray(GRAY).save(tmp_path / f"{i * 'x'}{i}.gif", save_all=True, append_images=frames)
        _write_bands(tmp_path / f"{i}.tif", np.zeros((40, 60, 4), np.uint8), None)
    with pytest.warns(UserWarning) as said:
        assert len(list(frames_of(tmp_path))) == 10
    assert len(said) == 2 and all("further such images are not named" in str(one.message) for one in said)


@pytest.mark.parametrize("extra", [None, 0, 2])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fourth_band_is_alpha_only_where_the_file_says_so(tmp_path: Path, extra: int | None, dtype: type) -> None:
    """Infrared over black ground: taken for alpha, it would turn the ground white."""
    bands = np.zeros((40, 60, 4), dtype)
    bands[..., 0], bands[..., 3] = np.iinfo(dtype).max // 2, np.iinfo(dtype).max // 8
    path = tmp_path / "aerial.tif"
    _write_bands(path, bands, extra)
    if extra == 2:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_image(path)[0, 0].min() > 200
        return
    with pytest.warns(UserWarning, match="a band beside its colours .*ExtraSamples"):
        assert np.abs(read_image(path)[0, 0].astype(int) - [127, 0, 0]).max() <= 1


@pytest.mark.parametrize(("bands", "dtype", "bits"), [(5, np.uint8, 8), (7, np.uint16, 16), (4, np.float32, 32)])
def test_a_tiff_of_more_bands_than_are_read_says_so(tmp_path: Path, bands: int, dtype: type, bits: int) -> None:
    _write_bands(tmp_path / "multispectral.tif", np.zeros((40, 60, bands), dtype), None)
    with pytest.raises(ImageError, match=rf"multispectral\.tif: a TIFF with {bands} bands of {bits} bits, .* as RGB"):
        read_image(tmp_path / "multispectral.tif")


def _write_bands(path: Path, bands: np.ndarray, extra: int | None) -> None:
    """Write a TIFF as it stands in the specification: one strip, no compression."""
    height, width, samples = bands.shape
    bits = 8 * bands.itemsize
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1]), (262, 3, [2])]
    entries += [(273, 4, [0]), (277, 3, [samples]), (278, 4, [height]), (279, 4, [bands.nbytes]), (284, 3, [1])]
    entries += [] if extra is None else [(338, 3, [extra])]
    place = 8 + 2 + 12 * len(entries) + 4
    entries[5] = (273, 4, [place + 2 * samples])
    body, outside = b"", b""
    for tag, kind, values in entries:
        data = b"".join(value.to_bytes(2 if kind == 3 else 4, "little") for value in values)
        if len(data) > 4:
            outside, data = data, place.to_bytes(4, "little")
        body += (
            tag.to_bytes(2, "little")
            + kind.to_bytes(2, "little")
            + len(values).to_bytes(4, "little")
            + data.ljust(4, b"\0")
        )
    head = b"II*\0" + (8).to_bytes(4, "little") + len(entries).to_bytes(2, "little")
    path.write_bytes(head + body + bytes(4) + outside + bands.tobytes())


def test_heic_names_the_package_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    source = shared / "cases/use/22-heic/photo.heic"
    data = source.read_bytes() if source.is_file() else b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(200)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    for name in ("IMG_1.HEIC", "IMG_2.jpg"):  # known by its content
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=rf"{name}: a HEIC image.*pip install 'centernet\[heif\]'"):
            read_image(tmp_path / name)
    assert len(list_images(tmp_path)) == 2


def test_heic_is_read_where_the_package_is_installed(shared: Path) -> None:
    pytest.importorskip("pi_heif")
    source = shared / "cases/use/22-heic/photo.heic"
    if not source.is_file():
        pytest.skip("no HEIC file here, and nothing to write one with")
    image = read_image(source)
    assert image_size(source) == image.shape[:2] and image.std() > 10


def test_order_is_that_of_numbers() -> None:
    ordered = [
        "1.jpg",
        "02.jpg",
        "2.jpg",
        "10.jpg",
        "cam1/9.jpg",
        "cam1/10.jpg",
        "cam02/1.jpg",
        "cam10/1.jpg",
        "x",
        "x²",
    ]
    assert sorted(reversed(ordered), key=natural_order) == ordered
    padded = [f"f_{i:06d}.png" for i in range(0, 3000, 7)]
    assert sorted(padded, key=natural_order) == sorted(padded)


def test_a_folder_is_listed_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for name in ("frame_10.jpg", "frame_9.jpg", "frame_1.jpg", "b2/1.jpg", "b10/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), GRAY)
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path, recursive=True)]
    assert names == ["b2/1.jpg", "b10/1.jpg", "frame_1.jpg", "frame_9.jpg", "frame_10.jpg"]
