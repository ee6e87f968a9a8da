"""The tools from npm, installed as their lock says into the build folder, once for each lock."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent
#: Where the tools are, and what tests copy here is found by them.
BUILD = _FOLDER.parents[2] / "build" / "tools"
_LOCK = ("package.json", "package-lock.json", ".npmrc")
#: Longest time for one command, in seconds: others may have the machine.
_PATIENCE_S = 300


def install() -> None:
    """Install what is missing; skip the test where there is no npm, but not in CI."""
    if not (shutil.which("node") and shutil.which("npm")):
        if os.environ.get("CI"):
            pytest.fail("Node.js and npm are missing.")
        pytest.skip("Node.js and npm are missing.")
    digest = hashlib.sha256(b"".join((_FOLDER / name).read_bytes() for name in _LOCK)).hexdigest()
    mark = BUILD / "installed"
    if mark.exists() and mark.read_text() == digest:
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in _LOCK:
        shutil.copy(_FOLDER / name, BUILD)
    run("npm", "ci")
    mark.write_text(digest)


def copy(*names: str) -> None:
    """Copy files of this folder to where the tools are."""
    for name in names:
        shutil.copy(_FOLDER / name, BUILD)


def run(*command: str) -> str:
    """Run a command where the tools are, and return what it prints; fail with that if it does not succeed."""
    done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def run_tool(name: str, *arguments: str) -> str:
    """Run one of the installed tools."""
    return run(str(BUILD / "node_modules" / ".bin" / name), *arguments)
