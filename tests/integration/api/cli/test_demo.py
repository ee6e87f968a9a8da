"""`atelier demo` as a person runs it: a process of its own with the real stack, the null engine painting."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from shared.imaging import codec
from tests.support.factories import picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everything of one demo goes; short, since a socket's path has little room."""
    path = Path(tempfile.mkdtemp(prefix="ad-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def photo(folder) -> Path:
    path = folder / "photo.png"
    path.write_bytes(codec.encode(picture(), format="png"))
    return path


def start(folder: Path, *arguments: object, step_s: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from api.cli import main; main()", "demo", "-o", folder / "out", *arguments]
    own = {"TMPDIR": folder, "ATELIER_HOME": folder / "home", "ATELIER_ENGINE": "null", "ATELIER_NULL_STEP_S": step_s}
    env = {**os.environ, **{name: str(value) for name, value in own.items()}}
    return subprocess.Popen([str(part) for part in command], env=env, stderr=subprocess.PIPE, text=True)


def processes_of(folder: Path) -> list[int]:
    """Find every process whose environment names the folder."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def test_it_paints_writes_two_pictures_says_the_figures_and_leaves_nothing_running(folder, photo) -> None:
    demo = start(folder, photo, photo, "--size", 64)
    _, said = demo.communicate(timeout=300)
    assert demo.returncode == 0, said
    for name in ("result.png", "sheet.png"):
        with Image.open(folder / "out" / name) as written:
            written.load()
    for word in ("loss ", "weights  null", "took ", "result.png", "sheet.png"):
        assert word in said
    assert sorted(path.name for path in folder.iterdir()) == ["out", "photo.png"]
    assert processes_of(folder) == []


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_ends_every_process_it_started(folder, photo, number, exit_code) -> None:
    demo = start(folder, photo, photo, step_s=1.0)
    wait_until(lambda: len(processes_of(folder)) >= 5, "the whole stack runs", timeout_s=120)
    demo.send_signal(number)
    demo.communicate(timeout=120)
    assert demo.returncode == exit_code
    assert processes_of(folder) == []
    assert list(folder.glob("atelier-demo-*")) == []


def test_a_picture_that_cannot_be_read_is_told_before_anything_starts(folder, photo) -> None:
    notes = folder / "notes.png"
    notes.write_text("no picture")
    demo = start(folder, photo, notes)
    _, said = demo.communicate(timeout=120)
    assert (demo.returncode, said) == (
        1,
        f"Error: {notes}: The file is not a JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF or BMP image.\n",
    )
