"""Requests a second of `centernet serve` against a bare FastAPI application around the same ONNX file, in one run.

Both have as many processes of one thread. The bare one decodes the JPEG by Pillow, runs the file and returns boxes, one
request one run. Rounds take turns; the table has the median of each, and the median of the ratios.

python benchmarks/serving.py --photo photo.jpg --processes 2 --clients 1 8 64
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
app = FastAPI()

@app.post("/predict")
async def predict(request: Request):
    image = np.asarray(Image.open(io.BytesIO(await request.body())).convert("RGB"))
    boxes, labels, scores = session.run(None, {"images": image[None]})
    keep = scores[0] > 0.3
    return {"boxes": boxes[0][keep].tolist(), "labels": labels[0][keep].tolist(), "scores": scores[0][keep].tolist()}

@app.get("/health")
def health():
    return "ok"
"""


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    """Run a server until the block ends; a SystemExit where it is not ready in two minutes."""
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
        yield
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, required=True, help="JPEG file that every request brings")
    parser.add_argument("--model", default="coco-lite")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    photo = given.photo.read_bytes()
    ours, bare = 8641, 8642
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.onnx"
        export = ["export", given.model, "--letterbox", "--output", str(model)]
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
        with running(serve, ours), running(uvicorn, bare, MODEL=str(model), OMP_NUM_THREADS="1"):
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


if __name__ == "__main__":
    main()
