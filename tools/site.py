"""Hooks of mkdocs: the home page is the README, and links out of docs/ become plain text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
HOME = "index.md"
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the README as the home page."""
    files.append(File.generated(config, HOME, content=(ROOT / "README.md").read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return a page whose links lead to pages of the site: those of the README are relative to the repository."""
    home = page.file.src_uri == HOME

    def changed(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        if home and target.startswith("docs/"):
            return f"{image}[{text}]({target.removeprefix('docs/')})"
        return f"**{text}**" if home or target.startswith("../") else match[0]

    return LINK.sub(changed, markdown)
