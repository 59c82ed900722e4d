"""`centernet serve MODEL`: a detector behind an address.

centernet serve coco-lite --port 8000
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import Lock, get_context
from pathlib import Path
from typing import Any

from centernet.cli.arguments import (
    above_zero,
    add_max_pixels,
    add_options,
    add_trust,
    command_parser,
    given_options,
    name_list,
    positive,
    score_thresholds,
)
from centernet.cli.log import tell
from centernet.configuration import DEFAULT_MODEL
from centernet.drawing import html_colours
from centernet.ending import end_with_parent
from centernet.extras import require
from centernet.inference.detector import Detector

EPILOG = """examples:
  centernet serve
  centernet serve best.onnx --host 0.0.0.0 --port 8080 --workers 2
  CENTERNET_API_KEY=secret centernet serve best.ckpt --max-batch-size 8 --device cuda

then:
  curl -T photo.jpg http://127.0.0.1:8000/predict -X POST
  curl -F files=@a.jpg -F files=@b.jpg http://127.0.0.1:8000/predict
  curl -T photo.jpg http://127.0.0.1:8000/predict -X POST -H 'Accept: image/jpeg' -o found.jpg

http://127.0.0.1:8000 is a page to try it; /docs describes the requests; /health and /metrics are for who watches it.
Ctrl-C or SIGTERM finishes the requests that are at work."""

HOSTS = ("127.0.0.1", "0.0.0.0", "::")
KEY = "CENTERNET_API_KEY"
_DETECTOR = ("score_threshold", "num_detections", "classes", "device", "threads")


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = _parser().parse_args(arguments)
    require("litserve", "centernet serve")
    options = {name: value for name, value in given_options(given, Detector).items() if name != "model"}
    options.setdefault("threads", 1)
    _check_shared_memory()
    about = _opened(given.model, options)

    from centernet.serving.limits import Limits
    from centernet.serving.service import make_server

    limits = Limits(given.max_bytes, given.max_images, given.timeout, given.max_waiting)
    server = make_server(
        given.model,
        options,
        about,
        limits=limits,
        workers=given.workers,
        max_batch_size=given.max_batch_size,
        batch_timeout=given.batch_timeout,
        api_key=os.environ.get(KEY) or None,
    )
    os.register_at_fork(after_in_child=_plain_signals)
    host = f"[{given.host}]" if ":" in given.host else given.host
    tell(f"serving {about['name']} at http://{host}:{given.port}; Ctrl-C ends it", flush=True)
    server.run(
        host=given.host,
        port=given.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        limit_concurrency=4 * given.max_waiting,
        timeout_keep_alive=15,
    )
    tell("the server has ended")
    return 0


def _check_shared_memory() -> None:
    """Refuse a machine on which processes cannot wait for one another, as in some hardened containers."""
    try:
        Lock()
    except OSError as error:
        text = "the server's processes share locks in /dev/shm, which must be there and be open to this user"
        raise RuntimeError(f"/dev/shm: {error}; {text} (as it is in a container that Docker starts)") from error


def _plain_signals() -> None:
    """Leave the signals of a child of the server to uvicorn, which gives them back when it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()


def _opened(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a model. It is opened in a process of its own: what a runtime starts in a process
    does not go with its children."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_about, model, options).result()


def _about(model: str, options: dict[str, Any]) -> dict[str, Any]:
    detector = Detector(model, **options)
    threshold = detector.score_threshold
    own = threshold if isinstance(threshold, dict) else {}
    overall = threshold if isinstance(threshold, float) else min(own.values())
    return {
        "name": Path(model).name,
        "class_names": list(detector.class_names),
        "score_threshold": overall,
        "class_thresholds": own,
        "columns": [asdict(column) for column in detector.columns if column.kind != "vector"],
        "colours": html_colours(len(detector.class_names)),
    }


def _port(text: str) -> int:
    value = int(text)
    if not 1024 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not within 1024..65535")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("serve", "Put a detector behind an address: images in, objects as JSON out.", EPILOG)
    text = f"checkpoint, exported file, folder or model of the package; default: {DEFAULT_MODEL}"
    parser.add_argument("model", nargs="?", metavar="MODEL", default=DEFAULT_MODEL, help=text)
    parser.add_argument("--host", choices=HOSTS, default=HOSTS[0], help="default: %(default)s, this machine alone")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="default: %(default)s")
    for option, read, metavar, default, text in (
        ("--workers", positive, "N", 1, "processes with a detector each"),
        ("--max-batch-size", positive, "N", 1, "requests that are worked on together, for graphics cards"),
        ("--batch-timeout", above_zero, "SECONDS", 0.005, "that a batch waits to be filled"),
        ("--max-bytes", positive, "N", 20_000_000, "bytes of a request"),
        ("--max-images", positive, "N", 16, "images of a request"),
        ("--timeout", above_zero, "SECONDS", 30.0, "within which a request has to be there, and to have its turn"),
        ("--max-waiting", positive, "N", 128, "requests at work or waiting; more are answered with 503"),
    ):
        help = f"{text}; default: %(default)s"
        parser.add_argument(option, type=read, metavar=metavar, default=default, help=help)
    types = {"score_threshold": score_thresholds, "num_detections": positive, "classes": name_list, "threads": positive}
    add_options(parser, Detector, _DETECTOR, types=types)
    add_max_pixels(parser)
    add_trust(parser)
    return parser
