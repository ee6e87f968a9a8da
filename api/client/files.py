"""Output files: the format follows from the suffix, and a file is written whole or not at all.

Painting takes minutes, so callers check that the output can be written before they submit.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from .models import UnwritableOutput

_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}
#: Longest name of a file, in bytes, and of what is added to make it another.
_MAX_BYTES, _ADDED_BYTES = 255, 16
#: Prefix of the name of a file that is still being written; the whole name is short, whatever the file's own.
_UNFINISHED = ".atelier-"


def format_of(path: Path) -> str:
    """Return the format that a file's suffix asks for; raise `UnwritableOutput` for any other suffix."""
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        ending = f"ends in {path.suffix}" if path.suffix else "has no suffix"
        raise UnwritableOutput(f"{path} {ending}; choose one of {' '.join(_FORMATS)}.") from None


def unused_path(stem: str, suffix: str) -> Path:
    """Return a path in this folder that no file has: `stem` and `suffix`, with a number between them if need be."""
    while len(os.fsencode(stem)) > _MAX_BYTES - _ADDED_BYTES:  # its bytes need not be UTF-8
        stem = stem[:-1]
    for number in count(1):
        path = Path(f"{stem}{'' if number == 1 else f'-{number}'}{suffix}")
        if not os.path.lexists(path):
            break
    return path


def check_picture_path(path: Path) -> None:
    """Raise `UnwritableOutput` unless a picture can be written to `path`; make its folder if it is missing."""
    format_of(path)
    check_path(path)


def check_path(path: Path) -> None:
    """Raise `UnwritableOutput` unless a file can be written to `path`; make its folder if it is missing."""
    try:
        with suppress(FileNotFoundError, NotADirectoryError):  # the latter is told by `mkdir`
            if not stat.S_ISREG(mode := path.stat().st_mode):
                hint = "a folder; name a file in it" if stat.S_ISDIR(mode) else "no regular file"
                raise UnwritableOutput(f"{path} is {hint}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = _unfinished(path)
        probe.touch(exist_ok=False)
        probe.unlink()
        with suppress(FileNotFoundError):
            os.lstat(path)  # which fails if the name is too long
    except OSError as error:
        raise UnwritableOutput(f"{path} cannot be written: {error.strerror}.") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with writing_whole(path) as out:
        out.write(data)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a neighbouring file that replaces `path` once it is complete, so that nobody reads half of it."""
    partial = _unfinished(path)
    try:
        with partial.open("xb") as out:
            yield out
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{_UNFINISHED}{secrets.token_hex(8)}")
