"""Write requirements-lock.txt: the exact packages, with hashes, that the checks install.

``python -m tools.lock`` asks pip which archives it would install for requirements-dev.txt, into an
empty environment of this interpreter, and downloads nothing but metadata.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-lock.txt"
WANTED = ROOT / "requirements-dev.txt"
_HEAD = """\
# Exact packages for the checks: .ci/run installs them with pip's --require-hashes.
# Made by `python -m tools.lock`, by pip's own report, from requirements-dev.txt, for Linux x86-64,
# Python 3.11 and the CPU build of torch; other platforms install requirements-dev.txt itself.
"""


def report() -> dict[str, Any]:
    """What pip would install, as its installation report."""
    words = ["install", "-q", "--dry-run", "--ignore-installed", "--report", "-", "-r", str(WANTED)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def lock(found: dict[str, Any]) -> str:
    """The lock file's text; versions without a local part, since archives are told by hashes."""
    pins = {}
    for package in found["install"]:
        name = package["metadata"]["name"].lower().replace("_", "-")
        version = package["metadata"]["version"].partition("+")[0]
        digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
        pins[name] = f"{name}=={version} \\\n    --hash=sha256:{digest}\n"
    return _HEAD + "".join(pins[name] for name in sorted(pins))


def main() -> None:
    """Write the file anew."""
    LOCK.write_text(lock(report()), encoding="utf-8")
    print(f"{LOCK.name}: {LOCK.read_text(encoding='utf-8').count('==')} packages")


if __name__ == "__main__":
    main()
