"""Measure the memory and time of `Detector(tile=…)` on images of 20,000×20,000 pixels, by windows and as a whole.

The files are made of copies of the images of a folder. Each is looked at in a process of its own, once with rasterio
(the extra `large`) and once as if it weren't there; memory is the peak of the resident set beyond that of a look at a
small image, in which model and runtime are.

python benchmarks/huge_images.py --images SHARED/data/voc2007/JPEGImages --folder /tmp/huge_images
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from centernet import Detector
from centernet.images import list_images, read_image, windows

warnings.filterwarnings("ignore", message="Dataset has no geotransform")
CELL = 400  # side of each image in the mosaic
FILES = {  # name: driver and options of GDAL
    "tiled.tif": ("GTiff", {"tiled": True, "compress": "deflate", "bigtiff": "yes", "interleave": "pixel"}),
    "strips.tif": ("GTiff", {"interleave": "pixel"}),
    "deflate.tif": ("GTiff", {"compress": "deflate", "interleave": "pixel"}),
    "large.jpg": ("JPEG", {"quality": 90}),
    "large.png": ("PNG", {"zlevel": 1}),
}


def make(folder: Path, images: Path, side: int, names: Iterable[str]) -> None:
    """Write the files that are not there yet; the others are made of the strips."""
    import cv2
    import rasterio
    import rasterio.shutil

    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "strips.tif"
    if not first.is_file():
        cells = [cv2.resize(read_image(path), (CELL, CELL)) for path in list_images(images)[:64]]
        given = {"width": side, "height": side, "count": 3, "dtype": "uint8", "photometric": "RGB"}
        with rasterio.open(first, "w", driver="GTiff", **given, **FILES[first.name][1]) as file:
            for row in range(0, side, CELL):
                places = range(row // CELL * 7, row // CELL * 7 + -(-side // CELL))
                band = np.concatenate([cells[place % len(cells)] for place in places], axis=1)
                band = band[: side - row, :side].transpose(2, 0, 1)
                file.write(band, window=((row, row + band.shape[1]), (0, side)))
    for name in names:
        driver, options = FILES[name]
        if not (folder / name).is_file():
            rasterio.shutil.copy(first, folder / name, driver=driver, **options)


def measure(path: Path, model: str, tile: int) -> None:
    """Print objects, seconds and peak megabytes of a look at a file."""
    detector = Detector(model, tile=tile, num_detections=2000, threads=1, max_memory=100)
    for _ in range(2):
        detector(np.random.default_rng(0).integers(0, 255, (2 * tile, 2 * tile, 3), np.uint8))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = len(detector(path))
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{found} objects, {seconds:.0f} s, {max(0, peak - before) / 1024:.0f} MB more than {before / 1024:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of images that the files are made of")
    parser.add_argument("--folder", type=Path, required=True, help="of the files; those that are there are taken")
    parser.add_argument("--model", default="voc-lite")
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--tile", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--ways", nargs="+", choices=("windows", "whole"), default=["windows", "whole"])
    parser.add_argument("--measure", choices=("windows", "whole"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is None:
        make(given.folder, given.images, given.side, given.only)
    for name in given.only:
        path = given.folder / name
        if given.measure is not None:
            if given.measure == "whole":
                windows.find_spec = lambda name: None  # type: ignore[assignment]
            measure(path, given.model, given.tile)
            continue
        for way in given.ways:
            command = [sys.executable, __file__, "--folder", str(given.folder), "--only", name, "--measure", way]
            command += ["--model", given.model, "--tile", str(given.tile)]
            done = subprocess.run(command, capture_output=True, text=True)
            size = path.stat().st_size / 1e6
            print(f"{name:12} {size:6.0f} MB  {way:8} {done.stdout.strip() or done.stderr.strip()[-300:]}", flush=True)


if __name__ == "__main__":
    main()
