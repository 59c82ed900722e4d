"""What the documentation shows works: every Python snippet runs, every configuration builds.

Snippets are the blocks fenced by ```python in README.md and docs/*.md. Those of one file run in their order and in one
namespace, in an empty folder that holds `photo.jpg`, a folder `images` of two pictures and the repository's `configs`.
A snippet that cannot run (it needs a camera, a data set, a network) is preceded by `<!-- not run: the reason -->` on a
line of its own; it still has to compile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\s*\n)?(?P<indent>[ ]*)```python[^\n]*\n(?P<code>.*?)^(?P=indent)```\s*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    line: int
    code: str
    not_run: str | None


def snippets(text: str) -> list[Snippet]:
    found = []
    for match in FENCE.finditer(text):
        indent = len(match["indent"])
        code = "\n".join(line[indent:] for line in match["code"].splitlines())
        found.append(Snippet(text[: match.start("code")].count("\n") + 1, code, match["reason"]))
    return found


def test_snippets_are_found_with_their_marks() -> None:
    text = "# A\n\n```python\na = 1\n```\n\n<!-- not run: no camera -->\n```python\nb = 2\n```\n\n```yaml\nc: 3\n```\n"
    assert snippets(text) == [Snippet(4, "a = 1", None), Snippet(9, "b = 2", "no camera")]
    assert text.splitlines()[3] == "a = 1"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the files that the snippets speak of."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in ("photo.jpg", "images/a.jpg", "images/b.jpg"):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        coarse.resize((320, 256), Image.Resampling.BICUBIC).save(tmp_path / name)
    if (ROOT / "configs").is_dir():
        (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES if page.is_file()])
def test_the_snippets_of_a_page_run(page: Path, workplace: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for snippet in snippets(page.read_text(encoding="utf-8")):
        # The line numbers of errors are those of the page.
        code = compile("\n" * (snippet.line - 1) + snippet.code, str(page), "exec")
        if snippet.not_run is None:
            exec(code, namespace)


@pytest.mark.parametrize("config", [pytest.param(config, id=config.stem) for config in CONFIGS])
def test_a_config_builds(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import centernet

    monkeypatch.chdir(ROOT)
    # Everything as the file says but the download of ImageNet weights.
    model = centernet.build_centernet(str(config), overrides=["model.backbone.init_args.pretrained=false"])
    assert isinstance(model, centernet.CenterNet)


LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
PROSE = re.compile(r"^[ ]*```.*?^[ ]*```\s*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)  # what is none of it


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them; tests/test_site.py checks those of the site."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    shown = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in shown}


def test_anchors_are_those_of_github() -> None:
    text = "# A `b`: c – d\n```\n# no heading\n```\n## [Link](x.md) & more\n"
    assert anchors(text) == {"a-b-c--d", "link--more"}


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in [*PAGES, *OTHERS] if page.is_file()])
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = []
    for link, anchor in LINK.findall(PROSE.sub("", text)):
        target = page.parent / link if link else page
        there = target.exists() and (
            not anchor or target.suffix != ".md" or anchor in anchors(target.read_text("utf-8"))
        )
        missing += [] if there else [f"{link}#{anchor}" if anchor else link]
    assert not missing, f"links of {page.name} to what is not there: {missing}"


PLACES = [  # the row of docs/implementation.md, a file that it must name, and a word that must stand in that file
    ("the box loss", "network/heads/ltrb.py", "weighted_iou_loss"),
    ("the letterbox", "images/preprocessing.py", "letterbox"),
    ("the learning-rate schedule", "training/optimization.py", "def factor"),
    ("what `collate` returns", "data/batch.py", "class Batch"),
    ("| AP |", "evaluation/coco.py", "AP"),
    ("a tracker's classes", "annotations/mot.py", "class_rules"),
    ("the ONNX graph", "export/graph.py", "class DetectionGraph"),
    ("the defaults of `centernet track`", "tracking/options.py", "PRESETS"),
    ("class names", "network/network.py", "class_names"),
]


@pytest.mark.parametrize(("question", "file", "word"), PLACES)
def test_a_stranger_finds_it(question: str, file: str, word: str) -> None:
    text = (ROOT / "docs" / "implementation.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if question in line and line.startswith("|"))
    assert f"src/centernet/{file}" in row
    assert word in (ROOT / "src" / "centernet" / file).read_text(encoding="utf-8")
