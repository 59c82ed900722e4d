"""The models that come with the package: their files, what was measured of them, and which suits a task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from centernet.configuration import DEFAULT_MODEL, PACKAGED, read_yaml

SUMS = PACKAGED / "SHA256SUMS"
"""The hashes of the files, as `sha256sum */*` in that folder prints them."""


def check_packaged(path: Path) -> None:
    """Raise a ValueError where a file of a model of the package is not the one that was published; others pass."""
    if not path.is_relative_to(PACKAGED):
        return
    lines = SUMS.read_text(encoding="utf-8").splitlines()
    known = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    if known.get(path.relative_to(PACKAGED).as_posix()) != hashlib.sha256(path.read_bytes()).hexdigest():
        text = "is not the file that was published with the package, but damaged or another"
        raise ValueError(f"{path}: {text}; install centernet anew")


def packaged_facts() -> dict[str, dict[str, Any]]:
    """Return what each model of the package says of itself, by its name: the content of its config.yaml, and its bytes.

    ``about`` has the task, what it is bad at, and the measurements beside ``figures``: `intervals` (95 %),
    `tracking` (HOTA, and on which videos), `milliseconds` of processor time an image.
    """
    found = {}
    for path in sorted(PACKAGED.glob("*/config.yaml")):
        weights = path.with_name("model.safetensors")
        found[path.parent.name] = {**read_yaml(path), "bytes": weights.stat().st_size if weights.is_file() else 0}
    return found


def choose_model(task: str, classes: Sequence[str] = ()) -> tuple[str, str]:
    """Return the model of the package for a task, and why it is that one.

    Args:
        task: "detection" or "tracking".
        classes: names that are looked for; the model must know them all, if one does.
    """
    known = packaged_facts()
    names = [name for name, facts in known.items() if set(classes) <= set(_class_names(facts))]
    fits = {name: known[name] for name in names or known}
    of_task = {name: facts for name, facts in fits.items() if _about(facts).get("task") == task}
    if task == "tracking" and not of_task:
        measured = {name: _about(facts).get("tracking") or {} for name, facts in fits.items()}
        best = max(fits, key=lambda name: (measured[name].get("HOTA", 0.0), name == DEFAULT_MODEL))
    else:
        candidates = of_task or fits
        best = max(candidates, key=lambda name: (len(_class_names(candidates[name])), name == DEFAULT_MODEL))
    count = f"{len(_class_names(known[best]))} classes"
    tracks = (_about(known[best]).get("tracking") or {}).get("HOTA")
    why = f"{count}, HOTA {tracks:.3f}" if task == "tracking" and tracks else count
    if classes and names and len(names) < len(known):
        why += f"; it knows {', '.join(classes)}"
    return best, why


def _about(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return facts.get("about") or {}


def _class_names(facts: Mapping[str, Any]) -> Sequence[str]:
    return (facts.get("model") or {}).get("class_names") or ()
