"""A folder with everything that people's folders hold, and what `atelier batch` is to make of it."""

import io
import os
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.factories import picture

#: Names that pictures have, as bytes; `%d` is a number.
_NAMES = (
    b"%d.png", b"%d.JPG", b"%d.webp", b"sub/%d.jpeg", b"sub/deep er/%d.png", "Häuser %d.png".encode(), b"a%%0A%d.png",
    b"\xff-%d.png", b"latin-\xe4-%d/b.png", b"tab\t%d.png", b"line\nbreak %d.jpg", b"a:b %d.png", b"%d:30.png",
    b"dots%d./a.png", b"spaces%d /a.png", b" %d.png", b"back\\slash%d.png", b"\x1b[31m%d.png", b"a..%d.png",
    "a\u0301 %d.png".encode(), b"%d~0123456789abcdef.png", b"'\"$(x)%d.png", b"-%d.png",
    "\U0001f468\u200d\U0001f469%d.png".encode(), "a\u202e%d.png".encode(), b"[/b]%d.png", b"%d.tif", b"%d.bmp",
    b"%d.gif", b"%d.avif",
)  # fmt: skip
_JUNK = (
    "@eaDir/%d.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/%d.jpg", ".trash/%d.jpg", "__MACOSX/._%d.jpg", "._%d.jpg",
    "%d.xmp", "%d.jpg.json", ".hidden %d.png", "#recycle/%d.png", "%d.mov", "Thumbs.db",
)  # fmt: skip
_KINDS = (".dng", ".PSD", ".cr2")


@dataclass
class OddFolder:
    """The folder, and what is expected of each entry, by its path in the folder."""

    root: Path
    out: Path
    #: The name of each picture's result.
    results: dict[str, str] = field(default_factory=dict)
    #: The code of each picture without one.
    failures: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)


def make(root: Path, out: Path, entries: int) -> OddFolder:
    """Make a folder of about so many entries, the most of them pictures, and things in the way in `out`."""
    folder = OddFolder(root, out)
    root.mkdir()
    out.mkdir()
    _special(folder)
    for number, name in enumerate(islice(cycle(_JUNK), entries // 8)):
        _write(root / (name % number if "%" in name else name), b"junk")
    for number, suffix in enumerate(islice(cycle(_KINDS), entries // 20)):
        _write(root / f"raw/{number}{suffix}", b"raw")
        folder.kinds[suffix.lower()] += 1
    for number, name in enumerate(islice(cycle(_NAMES), entries * 4 // 5)):
        _picture(folder, os.fsdecode(name % number), number)
    return folder


def entries_of(folder: Path) -> dict[str, tuple[int, object]]:
    """Return every entry below a folder: its kind, and its bytes or where it leads."""
    found: dict[str, tuple[int, object]] = {}
    for path in _below(folder):
        mode = path.lstat().st_mode
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[os.fspath(path)] = (mode, content)
    return found


def _below(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        yield from (Path(at, name) for name in (*folders, *names))


def _picture(folder: OddFolder, name: str, seed: int) -> None:
    kinds = {".jpg": "jpeg", ".tif": "tiff"}
    suffix = os.path.splitext(name)[1]  # noqa: PTH122 - a name may begin with a dot
    encoded = io.BytesIO()
    pixels = Image.fromarray(np.rint(picture(24, 16, seed=seed) * 255).astype(np.uint8))
    pixels.save(encoded, format=kinds.get(suffix.lower(), suffix[1:]))
    _write(folder.root / name, encoded.getvalue())
    folder.results[name] = name.removesuffix(suffix) + ".png"


def _special(folder: OddFolder) -> None:
    """Make one of everything that is not an ordinary picture."""
    root, out = folder.root, folder.out
    for number, name in enumerate(("x" * 251 + ".png", "é" * 125 + ".jpeg", "deep/" * 130 + "a.png")):
        _picture(folder, name, 90_000 + number)
    for name, data in {"text.jpg": b"no picture", "empty.png": b"", "cut.jpg": b"\xff\xd8\xff\xe0\x00"}.items():
        _write(root / name, data)
        folder.failures[name] = "unsupported_image" if name != "cut.jpg" else "corrupt_image"
    for seed, name in enumerate(("clash.jpg", "taken.jpg", "below/a.jpg")):  # without a result each, for its own reason
        _picture(folder, name, 91_000 + seed)
        del folder.results[name]
    folder.failures |= {"clash.jpg": "name_clash", "taken.jpg": "unwritable", "below/a.jpg": "unwritable"}
    _picture(folder, "clash.png/inside.jpg", 92_000)
    (out / "taken.png").mkdir()
    (out / "below").write_text("mine")
    (root / "link.png").symlink_to("x" * 251 + ".png")
    folder.results["link.png"] = "link.png"
    (root / "gone.png").symlink_to("missing.png")
    (root / "loop.png").symlink_to("loop.png")
    folder.failures |= {"gone.png": "unreadable", "loop.png": "unreadable"}
    (root / "sub").mkdir(exist_ok=True)
    (root / "sub/up").symlink_to("..")
    os.mkfifo(root / "pipe.jpg")
    (root / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()  # noqa: PTH109 - the address of a socket must be short
        os.chdir(root)
        bound.bind("socket.webp")
        os.chdir(here)
    _write(root / "earlier/.atelier-batch.json", b"{}")
    _write(root / "earlier/1.png", b"a result")
    folder.left_out = {
        "sub/up/": "a link to a folder",
        "pipe.jpg": "a named pipe",
        "device.png": "a device",
        "socket.webp": "a socket",
        "earlier/": "the results of another batch",
    }


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
