"""A folder for any static web server: a page that runs a detector in the browser by onnxruntime-web.

`index.html` and `page.js` are ours; `model.onnx` has resizing and decode inside, so that the page hands over pixels and
gets boxes; `model.json` says of the model what the page shows. Photos stay in the browser. onnxruntime-web comes from a
public CDN, or, `offline`, from an npm folder into the page's own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from os import PathLike
from pathlib import Path
from shutil import copyfile
from typing import Any, cast
from urllib.parse import urlsplit

from centernet.drawing import html_colours
from centernet.export.exporting import export
from centernet.export.options import ExportOptions
from centernet.extras import require
from centernet.inference.model_metadata import INPUT, KEY, ModelMetadata
from centernet.inference.thresholds import thresholds
from centernet.network import Network
from centernet.whole import whole_folder

VERSION = "1.20.1"
"""Version of onnxruntime-web that the CDN gives: the one that the page is tested with."""

CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"

NOTE = "The model runs in this page: photos and video stay on this device."

SCRIPT = "ort.webgpu.min.mjs"
_RUNTIME = (SCRIPT, "ort-wasm-simd-threaded.jsep.mjs", "ort-wasm-simd-threaded.jsep.wasm")


def export_web(
    network: Network,
    folder: str | PathLike[str],
    options: ExportOptions = ExportOptions(),  # noqa: B008 - frozen
    *,
    name: str = "detector",
    offline: str | PathLike[str] | None = None,
) -> Path:
    """Write a folder with a page that runs a detector in the browser; any static server serves it.

    Args:
        network: the detector; it is left as it is.
        folder: to write, not there yet or empty.
        options: of the model's file; images of any size go in.
        name: the page's title.
        offline: a folder of npm that holds onnxruntime-web (``node_modules``, or the package's own): its files are
            copied, and the page asks no other server. Default: they come from a CDN.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: `offline` has no onnxruntime-web.
        FileExistsError: something lies in the folder.
        ValueError: options that the page has no use for.
    """
    folder = Path(folder)
    if options.raw_maps == "only":
        raise ValueError("raw_maps='only' leaves no boxes, which the page draws; leave it out")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: is not empty; give a new folder")
    runtime = None if offline is None else _runtime_files(Path(offline))
    templates = files("centernet") / "templates" / "web"
    environment = require("jinja2", "a web page").Environment(autoescape=True)
    server = "" if runtime else " {0.scheme}://{0.netloc}".format(urlsplit(CDN))
    with whole_folder(folder) as draft:
        path = export(network, draft / "model.onnx", replace(options, letterbox=True, input_type="uint8"))
        metadata = _metadata(path)
        page = environment.from_string((templates / "index.html").read_text("utf-8"))
        (draft / "index.html").write_text(page.render(name=name, sources=server, note=NOTE), "utf-8")
        for part in ("page.js", "page.css"):
            (draft / part).write_bytes((templates / part).read_bytes())
        where = CDN
        if runtime:
            where = "onnxruntime-web/"
            (draft / where).mkdir()
            for file in runtime:
                copyfile(file, draft / where / file.name)
        (draft / "model.json").write_text(json.dumps(_about(metadata, name, where), indent=1), "utf-8")
    return folder


def _about(metadata: ModelMetadata, name: str, runtime: str) -> dict[str, object]:
    """Return what the page has to know of the model."""
    values = json.loads(metadata.to_json())
    own = thresholds(None, cast("Any", metadata))
    return {
        "name": name,
        "runtime": runtime,
        "script": SCRIPT,
        "input": INPUT,
        "class_names": list(metadata.class_names),
        "score_threshold": metadata.score_threshold,
        "class_thresholds": own if isinstance(own, dict) else {},
        "columns": values["columns"],
        "colours": html_colours(len(metadata.class_names)),
        "lineage": values["lineage"],
    }


def _metadata(path: Path) -> ModelMetadata:
    model = require("onnx", "ONNX export").load(path, load_external_data=False)
    (text,) = (entry.value for entry in model.metadata_props if entry.key == KEY)
    return ModelMetadata.from_json(text, source=str(path))


def _runtime_files(folder: Path) -> list[Path]:
    """Return the files of onnxruntime-web that the page needs."""
    for place in (folder / "onnxruntime-web" / "dist", folder / "dist", folder):
        found = [place / name for name in _RUNTIME]
        if all(file.is_file() for file in found):
            return found
    raise FileNotFoundError(
        f"{folder}: has no onnxruntime-web ({', '.join(_RUNTIME)}); `npm install onnxruntime-web@{VERSION}` makes "
        f"node_modules, which is the folder to give"
    )
