"""The commands and examples of the README and of the pages about HTTP, against the whole running system."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from api.local.stack import Stack
from shared.settings import Settings
from tests.repository.documents import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8765"


def blocks(language: str, text: str = README) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the README's commands, each of one or more lines, without what is said about it."""
    joined = "".join(blocks("sh")).replace("\\\n", " ")
    return [re.sub(r"\s+#.*", "", line) for line in joined.splitlines()]


#: What sets everything up; the tests of `atelier demo` and of the stack run what `make` starts.
SETTING_UP = ("git clone", "cd ", "make ")
TARGETS = [
    *(command for command in commands() if command.startswith("make ")),
    *re.findall(r"^\$ (make .+)$", README, re.MULTILINE),
    *re.findall(r"`(make [^`]+)`", README),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where a reader is: beside `.venv` and `docs`; the home folder too, short, for a socket lies in it."""
    path = Path(tempfile.mkdtemp(prefix="ad-"))
    (path / ".venv").symlink_to(sys.prefix)
    (path / "docs").symlink_to(ROOT / "docs")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def stack(folder) -> Iterator[Stack]:
    with Stack(Settings.load(home=folder / ".atelier", port=0, engine="null", null_step_s=0.0)) as running:
        yield running


def run(command: list[str], folder: Path, *path: Path) -> str:
    """Run a command as a reader would, with packages of `path` installed; return what it writes to stdout."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    env = {**own, "HOME": str(folder), "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def take_pictures(folder: Path) -> None:
    for name, source in (("photo.jpg", "tubingen.jpg"), ("painting.jpg", "starry_night.jpg")):
        shutil.copyfile(ROOT / "docs/pictures" / source, folder / name)


def format_of(path: Path) -> str | None:
    with Image.open(path) as opened:
        opened.load()
        return opened.format


@pytest.mark.parametrize("command", TARGETS)
def test_make_knows_what_the_readme_has_it_do(command: str) -> None:
    done = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"atelier (demo|up)", done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") or os.environ.get("CI")), reason="there is no curl")
def test_every_command_of_the_readme_does_what_it_says(stack, folder) -> None:
    script = [command for command in commands() if not command.startswith(SETTING_UP)]
    lines = [command.replace(ADDRESS, stack.url) for command in script]
    said = run(["bash", "-euc", "\n".join(lines)], folder)
    assert format_of(folder / "painted.png") == "PNG"
    assert {path.name for path in (folder / "painted").glob("*.png")} == {"hopper.png", "coffee.png"}
    assert format_of(folder / "sheet.webp") == "WEBP"
    submitted = json.loads(said[said.index("{") :])  # curl's is the last
    assert submitted["state"] == "queued"
    assert {"self", "events", "preview"} <= set(submitted["links"])


@pytest.mark.slow
def test_the_python_example_of_the_readme_paints(stack, folder) -> None:
    take_pictures(folder)
    installed = folder / "site"
    installed.mkdir()
    (installed / "atelier_client").symlink_to(ROOT / "api/client")
    (example,) = blocks("python")
    run([sys.executable, "-c", example.replace(ADDRESS, stack.url)], folder, installed)
    assert format_of(folder / "painted.jpg") == "JPEG"


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="there is no curl or no jq")
def test_the_calls_of_the_pages_about_http_go_through(stack, folder) -> None:
    take_pictures(folder)
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.write(folder / "photo.jpg", "harbour.jpg")
    single, batched = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("http-api.md", "batches.md"))
    calls = blocks("sh", single)[0] + blocks("sh", batched)[-1]
    run(["bash", "-euc", calls.replace(ADDRESS, stack.url)], folder)
    assert format_of(folder / "painted.jpg") == format_of(folder / "preview.jpg") == "JPEG"
    with zipfile.ZipFile(folder / "painted.zip") as archive:
        assert sorted(archive.namelist()) == ["harbour.png", "manifest.jsonl"]
