"""Write the table of the packaged models, from their config.yaml, into README.md and docs/report.md.

python tools/model_table.py

It stands between two comments; a test says where it is not what the models say of themselves.
"""

from __future__ import annotations

import re
from pathlib import Path

from centernet.cli.models import markdown_table

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs/report.md")
PLACE = re.compile(r"(<!-- models: tools/model_table\.py -->\n).*?(<!-- /models -->)", re.DOTALL)


def with_table(text: str) -> str:
    """Return a page with the table in its place."""
    return PLACE.sub(lambda found: f"{found[1]}{markdown_table()}\n{found[2]}", text)


def main() -> None:
    for page in PAGES:
        page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
