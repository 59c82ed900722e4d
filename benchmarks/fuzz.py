"""Opens damaged model files, images and videos, each in a child that is forked from a warm parent.

    strace -f --seccomp-bpf -qq -o trace.txt -e trace=execve,execveat,connect,open,openat,creat \\
        python benchmarks/fuzz.py models images --number 2000 --output fuzzed
    python benchmarks/fuzz.py report trace.txt --output fuzzed

The first counts, of each kind: files that opened, that were refused with a sentence (ValueError, OSError, ImportError),
tracebacks (any other error), ends by a signal, children over the limits of the processor's time and of memory. The
second reads the trace: programs that the children started, connections, and files opened for writing outside of the
output. A file that makes a fault stays in the output, named by its seed: `--first SEED --number 1` gives it again.

Kinds: `models` (ckpt, safetensors and YAML of a folder, onnx, pt, pt2, OpenVINO's xml), `images` (those that Pillow and
OpenCV write here, and videos: MP4, AVI, Matroska, WebM).
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

SECONDS, MEMORY = 20, 2 << 30
THREADED = (".xml", ".mp4", ".avi", ".mkv", ".webm")
"""Files that are opened by threads, which would not live on in a child."""
REFUSED, FAULT, MARK = 3, 4, "fuzz_child_begins"


def main() -> int:
    """Make the files, damage them, and open them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", help="models, images, or report and a file of strace")
    parser.add_argument("--number", type=int, default=100, help="mutations of each kind")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--output", type=Path, default=Path("fuzzed"))
    given = parser.parse_args()
    if given.what[0] == "report":
        return report(Path(given.what[1]), given.output)
    faults = 0
    for kind in given.what:
        folder = given.output / kind
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "whole").mkdir(parents=True)
        makers = {"models": (make_models, open_model), "images": (make_images, open_image)}
        make, opener = makers[kind]
        with get_context("fork").Pool(1) as pool:  # encoders and exporters leave threads: forks are to be of one alone
            files = pool.apply(make, (folder / "whole",))
        for file in files:
            if file.suffix not in THREADED:  # so that the children are warm
                opener(file, folder)
        faults += run(kind, files, opener, folder, range(given.first, given.first + given.number))
    return int(faults > 0)


def run(kind: str, files: Sequence[Path], opener: Callable[[Path, Path], None], folder: Path, seeds: range) -> int:
    """Open a mutation for each seed; return the number of faults."""
    counts, most, longest = Counter[str](), 0, 0.0
    for seed in seeds:
        rng = random.Random(seed)
        whole = rng.choice(files)
        place = folder / "work"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for other in whole.parent.iterdir():  # what belongs to it lies beside it
            if other.stem == whole.stem or whole.parent.name == "folder":
                shutil.copyfile(other, place / other.name)
        path = place / whole.name
        path.write_bytes(mutated(whole.read_bytes(), rng))
        pid = os.fork()
        if pid == 0:
            child(opener, path, folder)
        _, status, used = os.wait4(pid, 0)
        seconds, memory = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
        most, longest = max(most, memory), max(longest, seconds)
        code = os.waitstatus_to_exitcode(status)
        result = {0: "opened", REFUSED: "refused"}.get(code, "traceback" if code == FAULT else f"ended by {code}")
        counts[result] += 1
        slow, large = seconds > SECONDS, memory > MEMORY
        counts["too slow"] += slow
        counts["too large"] += large
        if code not in (0, REFUSED) or slow or large:
            kept = folder / f"{seed}-{whole.name}"
            shutil.copyfile(path, kept)
            print(f"{kept}: {result}, {seconds:.1f} s, {memory / 1e6:.0f} MB", flush=True)
    shown = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()) if number)
    print(f"{kind}: {shown}; at most {longest:.1f} s of the processor and {most / 1e6:.0f} MB", flush=True)
    return sum(number for name, number in counts.items() if name not in ("opened", "refused"))


def child(opener: Callable[[Path, Path], None], path: Path, folder: Path) -> None:
    """Open a file in this process, which ends."""
    code = FAULT
    try:
        with suppress(OSError):
            os.open(MARK, os.O_RDONLY)  # for `report`
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 10, SECONDS + 10))
        signal.alarm(30 * SECONDS)  # one that waits for something; the machine may have other work
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        faulthandler.disable()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opener(path, folder)
        code = 0
    except (ValueError, OSError, ImportError):
        code = REFUSED
    except BaseException:
        (folder / "traceback.txt").open("a").write(f"{path}\n{traceback.format_exc()}\n")
    finally:
        os._exit(code)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file with a few faults; of ZIP archives half of the time in one of the entries, packed anew."""
    if not zipfile.is_zipfile(io.BytesIO(data)) or rng.random() < 0.5:
        return faulty(data, rng)
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(written, "w") as anew:
        entries = archive.infolist()
        small = [entry.filename for entry in entries if entry.filename.endswith((".pkl", ".json", ".py", ".pt"))]
        chosen = rng.choice(small or [entry.filename for entry in entries])
        for entry in entries:
            content = archive.read(entry)
            anew.writestr(entry, faulty(content, rng) if entry.filename == chosen else content)
    return written.getvalue()


def faulty(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few faults: bits, lengths, numbers, parts that lack or are doubled, an end that is cut."""
    content = bytearray(data)
    head = min(len(content), rng.choice((64, 1024, len(content))))
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if not content:
            break
        at, kind = rng.randrange(min(head, len(content))), rng.randrange(8)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            number = rng.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32)))
            content[at : at + 4] = number.to_bytes(4, rng.choice(("little", "big")))
        elif kind == 3:
            del content[at : at + rng.choice((1, 4, 100))]
        elif kind == 4:
            content[at:at] = content[at : at + rng.choice((1, 4, 100, 1000))]
        elif kind == 5:
            content[at:at] = rng.choice(
                (b"\0" * 8, b"../", b"%s%n", b"[" * 50, b"&a [*a]", b"-1", b"1e999", b"\xff" * 16)
            )
        elif kind == 6:
            if found := re.compile(rb"\d+").search(content, at):  # in texts
                content[found.start() : found.end()] = rng.choice((b"0", b"-1", b"7", b"65536", b"99999999999", b"1e9"))
        elif rng.random() < 0.2:
            del content[at:]
    return bytes(content)


def make_models(folder: Path) -> list[Path]:
    """Write small models of all kinds that are possible here."""
    import torch

    from centernet import build_centernet

    part = {"width": 8}
    config = {
        "class_names": ["cat", "dog"],
        "backbone": {"class_path": "MobileNetV2", "init_args": {}},
        "neck": {"class_path": "FPN", "init_args": part},
        "heads": {
            "heatmap": {"class_path": "HeatmapHead", "init_args": part},
            "box": {"class_path": "LTRBHead", "init_args": part},
        },
        "preprocessing": {"size": [64, 64]},
    }
    model = build_centernet({"model": config}).eval()
    ckpt = folder / "model.ckpt"
    torch.save({"state_dict": model.network.state_dict(), "hyper_parameters": model.network.hyper_parameters}, ckpt)
    saved = model.save_pretrained(folder / "folder")
    files = [ckpt, saved / "config.yaml", saved / "config.yaml", saved / "model.safetensors"]
    for format, suffix in (("onnx", ".onnx"), ("torchscript", ".pt"), ("pt2", ".pt2"), ("openvino", ".xml")):
        try:
            from centernet.export import ExportOptions, export

            files.append(export(model.network, folder / f"model{suffix}", ExportOptions(), format=format))
        except ImportError as error:
            print(f"left out: {error}")
    return files


def open_model(path: Path, folder: Path) -> None:
    """Open a model, and run it on an image."""
    import numpy as np

    from centernet import Detector

    source = path.parent if path.name in ("config.yaml", "model.safetensors") else path
    Detector(source, device="cpu", threads=1)(np.zeros((64, 64, 3), np.uint8))


def make_images(folder: Path) -> list[Path]:
    """Write an image of each format, and videos."""
    import cv2
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    image, files = Image.fromarray(pixels), []
    for suffix in (
        "jpg",
        "png",
        "gif",
        "webp",
        "tif",
        "bmp",
        "ppm",
        "avif",
        "tga",
        "jp2",
        "ico",
        "pcx",
        "sgi",
        "dds",
        "qoi",
    ):
        path = folder / f"{suffix}.{suffix}"
        try:
            image.save(path)
            files.append(path)
        except (KeyError, OSError, ValueError):
            path.unlink(missing_ok=True)
    image.save(folder / "moving.gif", save_all=True, append_images=[image.rotate(90)] * 3)
    image.save(folder / "moving.webp", save_all=True, append_images=[image.rotate(180)] * 3)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 9).save(folder / "deep.png")
    Image.fromarray(pixels[..., 0].astype(np.float32)).save(folder / "float.tif")
    cv2.imwrite(str(folder / "radiance.hdr"), pixels.astype(np.float32) / 255)
    cv2.imwrite(str(folder / "colours.pfm"), pixels.astype(np.float32) / 255)
    files += [
        folder / name for name in ("moving.gif", "moving.webp", "deep.png", "float.tif", "radiance.hdr", "colours.pfm")
    ]
    for name, code in (("clip.mp4", "mp4v"), ("clip.avi", "MJPG"), ("clip.mkv", "mp4v"), ("clip.webm", "VP80")):
        writer = cv2.VideoWriter(str(folder / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 25, (64, 48))
        for _ in range(8 if writer.isOpened() else 0):
            writer.write(pixels)
        writer.release()
        if (folder / name).is_file():
            files.append(folder / name)
    return files


def open_image(path: Path, folder: Path) -> None:
    """Read an image, or the frames of a video."""
    from centernet.images import image_size
    from centernet.images.depth import unstated_range
    from centernet.inference import frames, open_source

    unstated_range(str(path))
    if path.suffix not in (".mp4", ".avi", ".mkv", ".webm"):
        image_size(path)
    source = open_source(path)
    _ = source.length
    for number, frame in enumerate(frames(source)):
        assert frame.image.ndim == 3
        if number == 20:
            break


def report(trace: Path, output: Path) -> int:
    """Count what the trace of strace has beside reading."""
    counts, examples = Counter[str](), dict[str, str]()
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    first = next((place for place, line in enumerate(lines) if MARK in line), len(lines))
    parent = lines[0].split()[0] if lines else ""
    for line in lines[first:]:
        if line.split()[0] == parent:
            continue
        kind = None
        if " execve(" in line and not line.rstrip().endswith("ENOENT (No such file or directory)"):
            kind = "programs started"
        elif " connect(" in line and "AF_UNIX" not in line:
            kind = "connections"
        elif re.search(r"O_WRONLY|O_RDWR|O_CREAT| creat\(", line) and "/dev/null" not in line and " = -1" not in line:
            named = re.search(r'"([^"]*)"', line)
            inside = named is not None and (Path.cwd() / named[1]).is_relative_to(output.resolve())
            kind = None if inside else "files opened for writing elsewhere"
        if kind is not None:
            counts[kind] += 1
            examples.setdefault(f"{kind} {re.sub('[0-9]+', '', line)[:200]}", line[:200])
    for line in list(examples.values())[:30]:
        print(line)
    print(", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing but reading")
    return 0


if __name__ == "__main__":
    sys.exit(main())
