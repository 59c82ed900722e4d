"""Write .ci/tools.txt from .ci/tools.in: exact versions of CI's tools and of what they need, with hashes.

    python tools/lock.py            # or: make lock

pip resolves; the hashes are those of the wheels that it would install on Linux and macOS with Python 3.11 to 3.13. What
is needed is what the Python that runs this needs: take 3.11, since newer ones need no more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CI = Path(__file__).resolve().parents[1] / ".ci"
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = (  # of each, the tags that its pip accepts
    ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64"),
    ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64"),
    ("macosx_10_12_x86_64", "macosx_11_0_arm64", "macosx_12_0_arm64"),
)
HEAD = "# Written by `make lock` from .ci/tools.in: what .ci/run installs, and nothing that isn't one of these files.\n"


def wheels(*arguments: str) -> dict[str, set[str]]:
    """Return `name==version` → the hashes of the wheels that pip would install."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([*pip, "--report", str(report), *arguments], check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    pins: dict[str, set[str]] = {}
    for one in found:
        pin = f"{one['metadata']['name'].lower().replace('_', '-')}=={one['metadata']['version']}"
        pins.setdefault(pin, set()).add("sha256:" + one["download_info"]["archive_info"]["hashes"]["sha256"])
    return pins


def main() -> None:
    pins = wheels("-r", str(CI / "tools.in"))
    for python in PYTHONS:
        for tags in PLATFORMS:
            given = [part for tag in tags for part in ("--platform", tag)]
            target = ("--target", "unused", "--no-deps", "--python-version", python)
            for pin, hashes in wheels(*given, *target, *pins).items():
                pins[pin] |= hashes
    lines = [" \\\n    ".join([pin, *(f"--hash={one}" for one in sorted(pins[pin]))]) for pin in sorted(pins)]
    (CI / "tools.txt").write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {CI / 'tools.txt'}: {len(pins)} packages")


if __name__ == "__main__":
    main()
