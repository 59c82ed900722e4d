"""Requests a second of `centernet serve` against a bare FastAPI application around the same ONNX file, in one run.

Both have as many processes of one thread. The bare one decodes the JPEG and scales it by Pillow, runs the file and
returns boxes, one request one run; with `--letterbox` the file scales, which takes longer in both. Rounds take turns;
the table has the median of each, and the median of the ratios.

`--attackers` adds what eight good clients get of ours before, while and after so many others send half a request and
wait, a byte a second, 200 MB, text, and an image that claims 30,000×30,000 pixels, again and again. Linux alone.

python benchmarks/serving.py --photo photo.jpg --processes 2 --clients 1 8 64 --attackers 64
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import numpy as np

BARE = """
import io, os
import numpy as np, onnxruntime
from fastapi import FastAPI, Request
from PIL import Image

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
SIZE = int(os.environ["SIZE"])
app = FastAPI()

@app.post("/predict")
async def predict(request: Request):
    image = Image.open(io.BytesIO(await request.body())).convert("RGB")
    scale = 1.0
    if SIZE:
        scale = np.array([image.width, image.height] * 2) / SIZE
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    boxes, labels, scores = session.run(None, {"images": np.asarray(image)[None]})
    keep, boxes = scores[0] > 0.3, boxes[0] * scale
    return {"boxes": boxes[keep].tolist(), "labels": labels[0][keep].tolist(), "scores": scores[0][keep].tolist()}

@app.get("/health")
def health():
    return "ok"
"""


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[int]:
    """Run a server until the block ends, and give its process; a SystemExit where it is not ready in two minutes."""
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            time.sleep(0.2)
        else:
            raise SystemExit(f"{command[0]}: not ready after two minutes")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def load(port: int, photo: bytes, clients: int, seconds: float) -> tuple[float, float]:
    """Return requests a second, and the 95th percentile of their milliseconds."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.perf_counter() < end:
            start = time.perf_counter()
            connection.request("POST", "/predict", photo, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"port {port}: answered {answer.status}")
            taken.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(taken) / (time.perf_counter() - start), 1000 * float(np.percentile(taken, 95))


def bomb() -> bytes:
    """Return the head of a PNG of 30,000×30,000 pixels, and one row of them."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(bytes(30_001))}
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def attack(port: int, attackers: int) -> None:
    """Misbehave until the standard input ends; prints what was answered, by kind and status, as JSON."""
    answers: Counter[str] = Counter()
    over = threading.Event()

    def head(length: int) -> bytes:
        text = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n"
        return text.encode()

    def half(client: socket.socket) -> None:
        client.sendall(head(200_000) + bytes(1000))

    def slow(client: socket.socket) -> None:
        client.sendall(head(200_000))
        while not over.wait(1):
            client.sendall(b"x")

    def huge(client: socket.socket) -> None:
        client.sendall(head(200_000_000))
        for _ in range(200):
            client.sendall(bytes(1_000_000))

    def text(client: socket.socket) -> None:
        client.sendall(head(14) + b"this is a text")

    def lying(client: socket.socket) -> None:
        client.sendall(head(len(bomb())) + bomb())

    def again(send: Callable[[socket.socket], None]) -> None:
        while not over.is_set():
            status = "nothing"
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                with suppress(OSError):  # the server may hang up in the midst
                    send(client)
                status = client.recv(100).decode(errors="replace").partition("\r")[0][9:12] or status
            answers[f"{send.__name__}: {status}"] += 1
            over.wait(0.1)

    kinds = (half, slow, huge, text, lying)
    threads = [threading.Thread(target=again, args=(kinds[i % len(kinds)],)) for i in range(attackers)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(answers))


def resident(root: int) -> float:
    """Return the MB that a process and those that it has started hold, shared pages once."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    family = [root]
    for one in family:
        family += children.get(one, [])
    kilobytes = 0
    for one in family:
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1000


def under_attack(port: int, photo: bytes, attackers: int, seconds: float, server: int) -> None:
    """Print what good clients get before, during and after an attack."""

    def row(name: str) -> None:
        rate, p95 = load(port, photo, 8, seconds)
        print(f"| {name} | {rate:.1f} | {p95:.0f} | {resident(server):.0f} |", flush=True)

    print(f"\n| 8 clients, {attackers} attackers | requests/s | p95, ms | server, MB |\n|---|---|---|---|")
    row("before")
    command = [sys.executable, __file__, "--attack", str(port), str(attackers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as others:
        time.sleep(2)
        row("during")
        told, _ = others.communicate()
    row("after")
    print("\nanswered:", ", ".join(f"{key} ×{number}" for key, number in sorted(json.loads(told).items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    hidden = "--attack" in sys.argv
    parser.add_argument("--photo", type=Path, required=not hidden, help="JPEG file that every request brings")
    parser.add_argument("--model", default="coco-lite")
    parser.add_argument("--size", type=int, default=416, help="of the model's input, which is a square")
    parser.add_argument("--letterbox", action="store_true", help="export a file that scales the image itself")
    parser.add_argument("--attackers", type=int, default=0, help="clients that misbehave, in a round of its own")
    parser.add_argument("--attack", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.attack:
        attack(*given.attack)
        return
    photo = given.photo.read_bytes()
    ours, bare = 8641, 8642
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.onnx"
        export = ["export", given.model, "--output", str(model), *["--letterbox"] * given.letterbox]
        subprocess.run([sys.executable, "-m", "centernet", *export], check=True, stdout=subprocess.DEVNULL)
        (folder / "bare.py").write_text(BARE)
        processes = str(given.processes)
        serve = [sys.executable, "-m", "centernet", "serve", str(model), "--port", str(ours), "--workers", processes]
        uvicorn = [sys.executable, "-m", "uvicorn", "bare:app", "--app-dir", name, "--port", str(bare)]
        uvicorn += ["--workers", processes, "--log-level", "warning"]
        print(
            "| clients | ours, requests/s | bare | ours / bare | p95 ours, ms | p95 bare, ms |\n"
            "|---|---|---|---|---|---|"
        )
        size = "0" if given.letterbox else str(given.size)
        bare_settings = {"MODEL": str(model), "SIZE": size, "OMP_NUM_THREADS": "1"}
        with running(serve, ours) as server, running(uvicorn, bare, **bare_settings):
            for clients in given.clients:
                for port in (ours, bare):
                    load(port, photo, clients, 2)
                rounds = [
                    [load(port, photo, clients, given.seconds) for port in (ours, bare)] for _ in range(given.rounds)
                ]
                rates = [median(one[i][0] for one in rounds) for i in (0, 1)]
                p95 = [median(one[i][1] for one in rounds) for i in (0, 1)]
                ratio = median(one[0][0] / one[1][0] for one in rounds)
                print(
                    f"| {clients} | {rates[0]:.1f} | {rates[1]:.1f} | {ratio:.2f} | {p95[0]:.0f} | {p95[1]:.0f} |",
                    flush=True,
                )
            if given.attackers:
                under_attack(ours, photo, given.attackers, given.seconds, server)


if __name__ == "__main__":
    main()
