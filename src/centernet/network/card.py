"""The README.md beside a saved model: what it finds, what was measured, and where its weights are from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from centernet.lineage import Lineage, licence_text
from centernet.network.network import Network
from centernet.whole import write_text

CARD = "README.md"
WRITTEN = "# Written by save_pretrained, which writes it anew unless this line is taken out."
"""The line in a card that nobody has changed: a comment in its header, which the Hugging Face Hub reads."""

HUB_LICENCES = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-NC-4.0", "CC0-1.0", "MIT")
"""Licences that the Hub knows by the same names in small letters; it refuses a card with one that it does not know."""


def write_card(network: Network, folder: Path, figures: Mapping[str, float]) -> None:
    """Write the README.md of a model and the texts of its licences; a README.md that somebody has written stays.

    Args:
        network: the model.
        folder: with its files.
        figures: what was measured of it.
    """
    path = folder / CARD
    if not path.exists() or WRITTEN in path.read_text(encoding="utf-8", errors="replace"):
        write_text(path, card(network, figures))
    for licence in () if network.lineage is None else network.lineage.licences:
        if text := licence_text(licence):
            write_text(folder / f"LICENSE-{licence}.txt", text)


def card(network: Network, figures: Mapping[str, float]) -> str:
    """Return the text of a README.md, with the header that the Hub reads."""
    lineage = network.lineage or Lineage()
    tracks = any(column.kind == "vector" for column in network.columns)
    header: dict[str, Any] = {"library_name": "centernet", "pipeline_tag": "object-detection"}
    if lineage.licence:
        header["license"] = lineage.licence.lower() if lineage.licence in HUB_LICENCES else "other"
    height, width = network.preprocessing.size
    names = ", ".join(network.class_names or ()) or "without names"
    parameters = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        "---",
        WRITTEN,
        yaml.safe_dump(header, sort_keys=False).strip(),
        "---",
        "",
        f"# {lineage.name or 'CenterNet'}",
        "",
        f"A {'detector with identities for tracking' if tracks else 'detector'} of the package `centernet`: "
        '`Detector("FOLDER")("photo.jpg")`, `CenterNet.from_pretrained("FOLDER")`, `centernet detect --model FOLDER`.',
        "",
        f"- **Classes** ({network.num_classes}): {names}",
        f"- **Input**: {height}×{width} pixels (height×width); {parameters / 1e6:.1f} million parameters",
    ]
    if figures:
        lines.append(f"- **Figures** of the last validation: {', '.join(f'{k} {v:.4g}' for k, v in figures.items())}")
    lines += ["", "## Lineage", "", *(f"- **{heading}**: {_one_line(text)}" for heading, text in lineage.facts())]
    for step in lineage.steps[1:]:
        lines += ["", f"Started from **{step.name or 'weights without a name'}**:", ""]
        lines += [f"- **{heading}**: {_one_line(text)}" for heading, text in step.facts()]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
