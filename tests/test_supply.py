"""What the package brings along: licences of everything that its extras install, and CI's own tools by lock file."""

from __future__ import annotations

import re
from collections import deque
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

EXCEPTIONS: dict[str, str] = {
    "av": "its own licence is BSD; its wheels hold FFmpeg under the LGPL, with x264 and x265 under the GPL",
    "cuda-toolkit": "NVIDIA's; it holds no file, only the names of the libraries that torch needs on a GPU",
    "antlr4-python3-runtime": "BSD, which the metadata of its only source distribution leaves out",
}
"""Distributions that may be or hold what is under the GPL, or that do not state a licence, with the reason."""

STRONG = re.compile(r"\bA?GPL|GNU (?:Affero )?General Public|Affero", re.IGNORECASE)
WEAK = re.compile(
    r"\bLGPL|Lesser General Public|Library General Public|GPL.{0,40}exception|exception.{0,40}GPL", re.IGNORECASE
)
OTHER = re.compile(
    r"\b(?:MIT|Apache|ISC|PSF|Python Software|MPL|Mozilla|Zlib|Unlicense|CC0|HPND|Boost|Public Domain|LGPL|Lesser)\b"
    r"|BSD|NVIDIA",  # NVIDIA's terms are those of its libraries, which torch needs on a GPU
    re.IGNORECASE,
)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def extras() -> dict[str, list[str]]:
    """Extra → the requirements in pyproject.toml (read by eye: tomllib came with Python 3.11), "" for all users'."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    own, _, optional = text.split("\ndependencies = ")[1].partition("[project.optional-dependencies]")
    found = {"": re.findall(r'"([^"]+)"', own.split("\n[")[0].split("\n]")[0])}
    for name, body in re.findall(r'^([\w-]+) = \[((?:[^\]"]|"[^"]*")*)\]', optional.split("\n[")[0], re.MULTILINE):
        found[name] = re.findall(r'"([^"]+)"', body)
    return found


def wanted(requirement: str) -> tuple[str, set[str], str]:
    """Return the name, the extras and the marker of a requirement."""
    match = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?", requirement)
    assert match is not None, requirement
    return plain(match[1]), {plain(part) for part in (match[2] or "").split(",") if part.strip()}, match[3] or ""


def closure(requirements: list[str]) -> tuple[dict[str, metadata.Distribution], set[str]]:
    """Return the installed distributions that requirements lead to, and the names of those that are not installed.

    Of markers only extras are looked at: what another system or Python needs counts where it is installed.
    """
    found, missing, seen = dict[str, metadata.Distribution](), set[str](), set[tuple[str, str]]()
    queue = deque(wanted(requirement) for requirement in requirements)
    while queue:
        name, asked, _ = queue.popleft()
        if name == "centernet":
            continue
        try:
            found.setdefault(name, metadata.distribution(name))
        except metadata.PackageNotFoundError:
            missing.add(name)
            continue
        for extra in {"", *asked}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for other, extras_of, marker in map(wanted, found[name].requires or ()):
                needed = re.findall(r"""extra\s*==\s*["']([^"']+)["']""", marker)
                if (not needed and not extra) or extra in map(plain, needed):
                    queue.append((other, extras_of, marker))
    return found, missing


def verdict(stated: str) -> str:
    """Return "strong" (GPL or AGPL), "other" or "unknown" for the text of a licence. A choice of licences is none."""
    choices = re.split(r"\s+OR\s+", stated)
    if all(STRONG.search(WEAK.sub("", choice)) for choice in choices) and stated.strip():
        return "strong"
    return "other" if OTHER.search(stated) else "unknown"


def stated_licence(distribution: metadata.Distribution) -> str:
    """Return what the metadata say: the expression, else the classifiers, else the first line of the field or file."""
    about = distribution.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [text for text in about.get_all("Classifier") or () if text.startswith("License ::")]
    field = str(about.get("License") or "").strip()[:200]
    stated = " / ".join([*classifiers, field]).strip(" /")
    if verdict(stated) != "unknown":
        return stated
    files = [file for file in distribution.files or () if re.match(r"(?i)(licen[sc]e|copying)", file.name)]
    return stated + " ".join(file.read_text(encoding="utf-8")[:2000] for file in files[:1] if file.locate().is_file())


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("MIT", "other"),
        ("AGPL-3.0", "strong"),
        ("GPL-2.0-only", "strong"),
        ("License :: OSI Approved :: GNU Affero General Public License v3", "strong"),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", "strong"),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", "other"),
        ("LGPL-2.1-or-later", "other"),
        ("MIT OR GPL-3.0-only", "other"),
        ("MIT AND GPL-3.0-only", "strong"),
        ("", "unknown"),
        ("see the file", "unknown"),
    ],
)
def test_licences_are_told_apart(stated: str, expected: str) -> None:
    assert verdict(stated) == expected


@pytest.mark.parametrize("extra", sorted(extras()))
def test_no_extra_brings_a_package_under_the_gpl(extra: str) -> None:
    groups = extras()
    own = [wanted(requirement) for requirement in groups[extra]]
    others = [group for name, parts, _ in own if name == "centernet" for group in parts]
    found, missing = closure([requirement for group in (extra, *others) for requirement in groups[group]])
    stated = {name: stated_licence(one) for name, one in found.items() if name not in EXCEPTIONS}
    wrong = {name: text[:150] for name, text in stated.items() if verdict(text) != "other"}
    assert not wrong, f"neither free of the GPL nor among the named exceptions: {wrong}"
    if absent := missing & {name for name, *_ in own}:
        pytest.skip(f"{len(found)} distributions are right; not installed, not looked at: {', '.join(sorted(absent))}")


def test_the_extras_that_tests_need_are_looked_at() -> None:
    groups = extras()
    assert {"", "train", "onnx", "export", "video", "heif", "hub", "timm", "dev"} <= set(groups)
    found, _ = closure([*groups[""], *groups["train"], *groups["onnx"]])
    assert len(found) > 30 and {"numpy", "pillow", "hotcoco", "torch", "lightning", "onnxruntime"} <= set(found)


def test_a_package_under_the_gpl_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, lines in {"outer": "Requires-Dist: inner[more]", "inner": 'Requires-Dist: deep; extra == "more"'}.items():
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nLicense: MIT\n{lines}\n")
    (tmp_path / "deep-1.dist-info").mkdir()
    (tmp_path / "deep-1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.4\nName: deep\nVersion: 1\nLicense-Expression: AGPL-3.0-only\nRequires-Dist: absent\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found, missing = closure(["outer>=1"])
    assert set(found) == {"outer", "inner", "deep"} and missing == {"absent"}
    assert verdict(stated_licence(found["deep"])) == "strong"


def test_the_lock_file_pins_every_tool_with_hashes() -> None:
    lines = (ROOT / ".ci/tools.txt").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    locked = {}
    for line in lines:
        if not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9.-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)", line)
            assert match is not None, f"not name==version with hashes: {line!r:.100}"
            locked[match[1]] = match[2]
    asked = (ROOT / ".ci/tools.in").read_text(encoding="utf-8").splitlines()
    tools = {wanted(line)[0] for line in asked if line.strip() and not line.startswith("#")}
    assert {"build", "mypy", "pytest", "ruff", "setuptools", "twine"} <= tools <= set(locked)
    # The tools that pyproject.toml has for developers, and no others of them, are those of the lock file.
    assert {"mypy", "pytest", "pytest-xdist", "ruff", "types-pyyaml"} <= {wanted(one)[0] for one in extras()["dev"]}
