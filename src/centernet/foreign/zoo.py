"""Published files of weights: where they are, and the way from a name to the file on this computer.

Nothing of them is in the package; each is fetched from its own project's address.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from centernet.lineage import Lineage

PREFIX = "zoo:"
OFFLINE = "CENTERNET_OFFLINE"
"""Environment variable that forbids downloads when it is 1."""
_CHUNK = 1 << 20
_OPENMMLAB = "https://download.openmmlab.com/mmdetection/v2.0/centernet"
_TENSORFLOW = "http://download.tensorflow.org/models/object_detection/tf2"


@dataclass(frozen=True)
class Published:
    """A file of weights that a project offers.

    Attributes:
        address: official, of a file that can be fetched as it is.
        network: what it is.
        task: boxes, or boxes and joints.
        figure: as its project states it.
        licence: of the weights, as their project states it.
        notice: that the licence wants to be handed on with them.
        data: what it was trained on.
        sha256: the first digits of the file's hash, where its name says them.
    """

    address: str
    network: str
    task: str
    figure: str
    licence: str
    notice: str = ""
    data: str = "COCO 2017"
    sha256: str = ""

    @property
    def file(self) -> str:
        """The file's name."""
        return PurePosixPath(self.address).name


def _mmdetection(name: str, stamp: str, digits: str, network: str, figure: str) -> Published:
    address = f"{_OPENMMLAB}/{name}/{name}_{stamp}-{digits}.pth"
    notice = "MMDetection: Copyright 2018-2023 OpenMMLab. All rights reserved."
    return Published(address, network, "boxes", figure, "Apache-2.0", notice, sha256=digits)


def _tensorflow(path: str, network: str, figure: str) -> Published:
    task = "boxes, joints" if "kpts" in path else "boxes"
    notice = "TensorFlow Model Garden: Copyright The TensorFlow Authors. All rights reserved."
    return Published(f"{_TENSORFLOW}/{path}.tar.gz", network, task, figure, "Apache-2.0", notice)


ZOO = {
    "mmdet/centernet-r18-dcn": _mmdetection(
        "centernet_resnet18_dcnv2_140e_coco", "20210702_155131", "c8cd631f", "ResNet-18 with DCN", "AP 29.5"
    ),
    "mmdet/centernet-r18": _mmdetection(
        "centernet_resnet18_140e_coco", "20210705_093630", "bb5b3bf7", "ResNet-18", "AP 25.9"
    ),
    "tensorflow/hg104-512": _tensorflow("20200713/centernet_hg104_512x512_coco17_tpu-8", "Hourglass-104", "AP 41.9"),
    "tensorflow/hg104-512-kpts": _tensorflow(
        "20200711/centernet_hg104_512x512_kpts_coco17_tpu-32", "Hourglass-104", "AP 40.0, joints 61.4"
    ),
    "tensorflow/hg104-1024": _tensorflow(
        "20200713/centernet_hg104_1024x1024_coco17_tpu-32", "Hourglass-104", "AP 44.5"
    ),
    "tensorflow/hg104-1024-kpts": _tensorflow(
        "20200711/centernet_hg104_1024x1024_kpts_coco17_tpu-32", "Hourglass-104", "AP 42.8, joints 64.5"
    ),
    "tensorflow/r50-fpn": _tensorflow(
        "20200711/centernet_resnet50_v1_fpn_512x512_coco17_tpu-8", "ResNet-50 V1, FPN", "AP 31.2"
    ),
    "tensorflow/r50-fpn-kpts": _tensorflow(
        "20200711/centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8", "ResNet-50 V1, FPN", "not looked up"
    ),
    "tensorflow/r101-fpn": _tensorflow(
        "20200711/centernet_resnet101_v1_fpn_512x512_coco17_tpu-8", "ResNet-101 V1, FPN", "not looked up"
    ),
    "tensorflow/r50-v2": _tensorflow(
        "20200711/centernet_resnet50_v2_512x512_coco17_tpu-8", "ResNet-50 V2", "not looked up"
    ),
    "tensorflow/r50-v2-kpts": _tensorflow(
        "20200711/centernet_resnet50_v2_512x512_kpts_coco17_tpu-8", "ResNet-50 V2", "not looked up"
    ),
    "tensorflow/mobilenet-v2-fpn": _tensorflow(
        "20210210/centernet_mobilenetv2fpn_512x512_coco17_od", "MobileNetV2, FPN", "not looked up"
    ),
    "tensorflow/mobilenet-v2-fpn-kpts": _tensorflow(
        "20210210/centernet_mobilenetv2fpn_512x512_coco17_kpts", "MobileNetV2, FPN", "not looked up"
    ),
}
"""Name → file. A table for people, with those that only pages offer, is in docs/zoo.md."""


def cache_folder() -> Path:
    """Return the folder of downloads: that of CENTERNET_CACHE, else below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CENTERNET_CACHE") or Path(base) / "centernet")


def published(name: str) -> Published:
    """Return the file of a name of the zoo, with or without `zoo:`; a ValueError where there is no such name."""
    if (name := name.removeprefix(PREFIX)) not in ZOO:
        raise ValueError(f"{PREFIX}{name}: the zoo has no such model; it has {', '.join(ZOO)}")
    return ZOO[name]


def lineage(name: str) -> Lineage:
    """Return origin and terms of the weights behind a name of the zoo."""
    file = published(name)
    sources = (file.address, f"trained on {file.data}, whose terms may apply too")
    notices = (file.notice,) if file.notice else ()
    return Lineage(f"{PREFIX}{name.removeprefix(PREFIX)}", sources, file.licence, notices)


def fetch(name: str, *, progress: Callable[[int, int | None], Any] | None = None) -> Path:
    """Return the file, or the unpacked folder, of a name of the zoo; it is downloaded where it is not there yet.

    Args:
        name: with or without `zoo:`.
        progress: called with the bytes that are there and their number in all, if the server says it.

    Raises:
        ValueError: no such name; or the file is not the one that its project has published.
        FileNotFoundError: it could not be downloaded; the message has the address.
    """
    name, entry = name.removeprefix(PREFIX), published(name)
    path = cache_folder() / name / entry.file
    if not path.is_file():
        if os.environ.get(OFFLINE) == "1":
            raise FileNotFoundError(f"{PREFIX}{name}: {path} is not there, and {OFFLINE}=1 forbids to download it")
        _download(entry, path, progress or _tell)
    return _unpacked(path) if path.name.endswith(".tar.gz") else path


def _download(published: Published, path: Path, progress: Callable[[int, int | None], Any]) -> None:
    """Download to a file beside, going on with what is there; it gets its name when it is whole and right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(published.address, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            if done and answer.status != 206:  # the server begins anew
                done = 0
            length = answer.headers.get("Content-Length")
            total = None if length is None else done + int(length)
            with part.open("ab" if done else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # it is there in whole already
            raise FileNotFoundError(f"{published.address}: could not be downloaded ({error})") from error
        total = done
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{published.address}: could not be downloaded ({error}); what is there already, {done:,} bytes, is kept "
            "for the next try"
        ) from error
    if total is not None and done < total:
        raise FileNotFoundError(
            f"{published.address}: the download ended after {done:,} of {total:,} bytes; the next try goes on there"
        )
    found = _sha256(part)
    if not found.startswith(published.sha256):
        part.unlink()
        raise ValueError(
            f"{published.address}: the file's SHA-256 begins {found[:8]}, published is {published.sha256}: it was "
            "altered on the way, and is not kept"
        )
    part.replace(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _unpacked(path: Path) -> Path:
    """Return the folder with the checkpoint and configuration of an archive of TensorFlow's."""
    folder = path.with_name(path.name.removesuffix(".tar.gz"))
    if not folder.is_dir():
        beside = folder.with_name(f"{folder.name}.part")
        try:
            with tarfile.open(path) as archive:
                wanted = [m for m in archive.getmembers() if m.isfile() and _wanted(m.name)]
                for member in wanted:
                    source = archive.extractfile(member)
                    target = beside / PurePosixPath(member.name).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    if source is not None:
                        target.write_bytes(source.read())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ValueError(f"{path} is no whole archive ({error}); remove it, and it is downloaded again") from error
        if not wanted:
            raise ValueError(f"{path} holds no checkpoint")
        beside.replace(folder)
    return folder


def _wanted(name: str) -> bool:
    """True where a file of an archive is read: names alone are used, no paths."""
    parts = PurePosixPath(name)
    return parts.name == "pipeline.config" or (parts.parent.name == "checkpoint" and ".." not in parts.parts)


def _tell(done: int, total: int | None) -> None:
    """Show how far a download is, on a terminal."""
    if sys.stderr.isatty():
        whole = "" if total is None else f" of {total / 1e6:,.1f}"
        end = "\n" if done == total else ""
        print(f"\r{done / 1e6:,.1f}{whole} MB", end=end, file=sys.stderr, flush=True)
