"""The lineage of a model: where its weights are from, and on which terms they are used and handed on.

Plain values that travel with the weights: in the `lineage` section of a folder's config.yaml, in checkpoints, and in
the metadata of exported files. The texts of licences are in the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

LICENCES = Path(__file__).resolve().parent / "licences"
"""Folder of the texts of licences, `ID.txt` by the SPDX identifier."""

LONGEST = 100
"""Steps of a chain that is read; a longer one was not written by trainings."""


@dataclass(frozen=True)
class Lineage:
    """Origin and terms of a model's weights.

    Attributes:
        name: of the model; empty where nobody has named it.
        sources: where the weights are from and what they were trained on: addresses or sentences.
        licence: SPDX identifier of the terms of the weights, such as `Apache-2.0`; empty where none is stated. The
            terms of what they started from hold too.
        notices: texts that every copy of the weights has to be handed on with, such as copyright lines.
        limits: what the weights must not be used for, a sentence each.
        started_from: the weights that training began with, or that were converted; None where there were none.
    """

    name: str = ""
    sources: tuple[str, ...] = ()
    licence: str = ""
    notices: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    started_from: Lineage | None = None

    @property
    def steps(self) -> tuple[Lineage, ...]:
        """This lineage, that of the weights that it started from, and so on, the oldest last."""
        steps = [self]
        while steps[-1].started_from is not None:
            steps.append(steps[-1].started_from)
        return tuple(steps)

    @property
    def licences(self) -> tuple[str, ...]:
        """The licences of all steps, each once."""
        return tuple(dict.fromkeys(step.licence for step in self.steps if step.licence))

    def summary(self) -> str:
        """Return the licences in one line: the model's own, and those of the weights behind it by their names."""
        said = [f"started from {_named(step)}" for step in self.steps[1:]]
        return "; ".join([self.licence or "no licence stated", *said])

    def facts(self) -> list[tuple[str, str]]:
        """Return what this step states, without those before it: pairs of a heading and a text."""
        several = [("source", self.sources), ("notice", self.notices), ("limit of use", self.limits)]
        found = [(heading, text.strip()) for heading, texts in several for text in texts]
        return [("licence", self.licence or "none stated"), *found]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values without the empty ones, as YAML and JSON hold them."""
        content: dict[str, Any] = {}
        for step in reversed(self.steps):
            values = {f.name: getattr(step, f.name) for f in fields(step) if f.name != "started_from"}
            content = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if v} | (
                {"started_from": content} if step.started_from is not None else {}
            )
        return content

    @classmethod
    def from_dict(cls, values: Any, *, source: str) -> Lineage:
        """Read what `to_dict` wrote; it comes from a file that anybody may have written, and is checked.

        Raises:
            ValueError: begins with `source`; the key that is wrong, and what was expected.
        """
        steps: list[dict[str, Any]] = []
        key = "lineage"
        while True:
            steps.append(_checked(values, f"{source}: {key}"))
            if (values := steps[-1].pop("started_from", None)) is None:
                break
            key += ".started_from"
            if len(steps) == LONGEST:
                raise ValueError(f"{source}: lineage.started_from is nested more than {LONGEST} times")
        lineage = None
        for step in reversed(steps):
            lineage = cls(**step, started_from=lineage)
        assert lineage is not None
        return lineage


def started_from(source: str | PathLike[str], lineage: Lineage | None) -> Lineage:
    """Return the lineage of a model that begins with the weights of another.

    Args:
        source: path, name or Hub id of the other model. It gets the last part of a path as its name, or a Hub id.
        lineage: of the other model; None where nothing is known.
    """
    had = lineage or Lineage()
    path = Path(source)
    if had == Lineage(started_from=had.started_from) and had.started_from and path.suffix.lower() == ".ckpt":
        return had  # a checkpoint of a run: its name says nothing, and so is no step
    return Lineage(started_from=had if had.name else replace(had, name=path.name if path.exists() else str(source)))


def recorded_lineage(content: Mapping[str, Any], source: str | PathLike[str]) -> Lineage | None:
    """Return what a checkpoint or a config.yaml says under `lineage`; None where it says nothing."""
    values = content.get("lineage")
    return None if values is None else Lineage.from_dict(values, source=str(source))


def licence_text(licence: str) -> str | None:
    """Return the text of a licence by its SPDX identifier; None where the package has not got it."""
    found = [path for path in LICENCES.glob("*.txt") if path.stem.lower() == licence.lower()]
    return found[0].read_text(encoding="utf-8") if found else None


def _named(step: Lineage) -> str:
    """Return the name of a step with its licence."""
    return f"{step.name or 'weights without a name'} ({step.licence or 'no licence stated'})"


def _checked(values: Any, where: str) -> dict[str, Any]:
    """Return the plain values of one step as arguments of `Lineage`, that of `started_from` left as it is."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: expected a section, got {str(values)[:80]!r}")
    known = {field.name: field.default for field in fields(Lineage)}
    step: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"{where} has an unknown key {str(key)[:80]!r}; expected {', '.join(known)}")
        if isinstance(known[key], tuple):
            if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
                raise ValueError(f"{where}.{key}: expected a list of texts, got {str(value)[:80]!r}")
            value = tuple(value)
        elif key != "started_from" and not isinstance(value, str):
            raise ValueError(f"{where}.{key}: expected a text, got {str(value)[:80]!r}")
        step[key] = value
    return step
