"""`centernet models`: the models that come with the package, what they are bad at, and the terms of their weights."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from centernet.cli.arguments import command_parser
from centernet.configuration import PACKAGED, read_yaml
from centernet.foreign.zoo import PREFIX, ZOO
from centernet.lineage import Lineage, licence_text, recorded_lineage
from centernet.packaged import packaged_facts

EPILOG = """examples:
  centernet models
  centernet models --licences
  centernet models --licences best.ckpt model.onnx

MODEL: a model of the package, a folder of save_pretrained, a Hub id, a name of the zoo (zoo:…), a checkpoint (.ckpt) or
an exported file."""

WIDTH = 100
TIMED = "ONNX Runtime, decode included, the median of 30, nothing else on the machine"


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = command_parser("models", "List models: what they find, how well, and on which terms.", EPILOG)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all that come with the package")
    text = "print where the weights are from, notices, limits of use, and the texts of the licences"
    parser.add_argument("--licences", "--licenses", action="store_true", help=text)
    given = parser.parse_args(arguments)
    names = given.models or sorted(path.parent.name for path in PACKAGED.glob("*/config.yaml"))
    found = [(name, _facts(name)) for name in names]
    if given.licences:
        print("\n\n".join(_terms([(name, facts["lineage"]) for name, facts in found])))
        return 0
    print("\n\n".join(_entry(name, facts) for name, facts in found))
    if not given.models:
        print(f"\n{_zoo()}")
        print("\n`centernet models --licences` prints sources, notices, limits of use and the licences.")
    return 0


def _zoo() -> str:
    """Return the list of the zoo: what other projects publish, as they state it."""
    rows = [(f"{PREFIX}{name}", file) for name, file in ZOO.items()]
    lines = [f"  {name:<36} {f.network}; {f.task}; {f.figure} (theirs); {f.licence}" for name, f in rows]
    return "\n".join(["published by other projects, downloaded and converted when one is named (docs/zoo.md)", *lines])


def _facts(model: str) -> dict[str, Any]:
    """Return what a model says of itself: the sections of a config.yaml, its lineage, and its bytes.

    Only checkpoints and ids of the Hub need torch, exported files their runtime.
    """
    from centernet.inference.opening import RUNTIMES, open_file

    path = Path(model)
    for folder in (path, PACKAGED / model):
        if (folder / "config.yaml").is_file():
            return _of_folder(folder)
    suffix = path.suffix.lower()
    if suffix != ".ckpt" and (suffix in RUNTIMES or path.exists()):
        runtime: Any = open_file(path)
        described = {"class_names": runtime.class_names}
        return _with_size({"model": described, "figures": runtime.metadata.figures, "lineage": runtime.lineage}, path)
    from centernet.network.tensor_files import read_checkpoint
    from centernet.network.weights import find_pretrained, recorded_figures

    if suffix != ".ckpt":
        return _of_folder(find_pretrained(model))
    checkpoint = read_checkpoint(path)
    described = checkpoint.get("hyper_parameters") or {}
    lineage = recorded_lineage(checkpoint, path)
    return _with_size({"model": described, "figures": recorded_figures(path), "lineage": lineage}, path)


def _of_folder(folder: Path) -> dict[str, Any]:
    content = read_yaml(folder / "config.yaml")
    lineage = recorded_lineage(content, folder / "config.yaml")
    return _with_size({**content, "lineage": lineage}, folder / "model.safetensors")


def _with_size(content: dict[str, Any], weights: Path) -> dict[str, Any]:
    return {**content, "bytes": weights.stat().st_size if weights.is_file() else 0}


def _entry(name: str, facts: Mapping[str, Any]) -> str:
    """Return the entry of a model in the list."""
    about, model = (facts.get(key) or {} for key in ("about", "model"))
    names = model.get("class_names") or ()
    count = len(names) or model.get("num_classes") or "number unknown"
    rows = [
        ("task", about.get("task", "")),
        ("classes", f"{count}{': ' if names else ''}{', '.join(names)}"),
        ("figures", _figures(facts.get("figures") or {}, about)),
        ("tracks", _tracks(about.get("tracking") or {})),
        ("time", _time(about)),
        ("size", f"{facts['bytes'] / 1e6:.1f} MB"),
        ("licence", "nothing is known" if facts["lineage"] is None else facts["lineage"].summary()),
        ("bad at", "; ".join(about.get("bad_at") or ())),
    ]
    return "\n".join([name, *_indented((key, text) for key, text in rows if text)])


def _figures(figures: Mapping[str, float], about: Mapping[str, Any]) -> str:
    intervals, measured_on = about.get("intervals") or {}, about.get("measured_on", "")
    texts = [f"{key} {float(value):.3f}{_within(intervals.get(key))}" for key, value in figures.items()]
    return ", ".join(texts) + (f", on {measured_on}" if texts and measured_on else "")


def _within(found: Sequence[float] | None) -> str:
    return f" ({found[0]:.3f}–{found[1]:.3f})".replace("0.", ".") if found else ""


def _tracks(measured: Mapping[str, Any]) -> str:
    return f"HOTA {measured['HOTA']:.3f}, on {measured['measured_on']}" if measured else ""


def _time(about: Mapping[str, Any]) -> str:
    return f"{about['milliseconds']} ms of one core an image ({TIMED})" if "milliseconds" in about else ""


def markdown_table() -> str:
    """Return the table of the models of the package for README.md and docs: see tools/model_table.py."""
    heads = ["model", "classes", "AP (95 %)", "HOTA", "ms", "MB", "licence", "bad at"]
    rows = [heads, ["---"] * len(heads)]
    for name, facts in packaged_facts().items():
        about, lineage = facts.get("about") or {}, recorded_lineage(facts, name)
        figures, intervals = facts.get("figures") or {}, about.get("intervals") or {}
        rows.append([
            f"`{name}`", str(len(facts["model"]["class_names"])),
            f"{figures['AP']:.3f}{_within(intervals.get('AP'))}".replace("0.", ".", 1) if "AP" in figures else "–",
            f"{(about.get('tracking') or {}).get('HOTA', 0):.3f}".replace("0.", ".") if about.get("tracking") else "–",
            str(about.get("milliseconds", "–")), f"{facts['bytes'] / 1e6:.1f}",
            lineage.licence if lineage else "unknown", "; ".join(about.get("bad_at") or ())[:400],
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _terms(found: Iterable[tuple[str, Lineage | None]]) -> list[str]:
    """Return a paragraph for each model and each weights that one started from, then the texts of the licences."""
    said: list[str] = []
    licences: list[str] = []
    for name, lineage in found:
        if lineage is None:
            said.append(f"{name}\n  nothing is known of where its weights are from")
            continue
        licences += lineage.licences
        for number, step in enumerate(lineage.steps):
            title = f"{name} started from {step.name or 'weights without a name'}" if number else name
            said.append("\n".join([title, *_indented(step.facts())]))
    texts = {licence: licence_text(licence) for licence in dict.fromkeys(licences)}
    for licence, text in texts.items():
        shown = "Its text does not come with this package." if text is None else text.strip("\n")
        said.append(f"{'=' * 30} {licence} {'=' * 30}\n{shown}")
    return said


def _indented(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for key, text in rows:
        lines += textwrap.wrap(
            " ".join(text.split()), WIDTH, initial_indent=f"  {key:<13} ", subsequent_indent=" " * 16,
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip
    return lines
