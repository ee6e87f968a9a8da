"""Names of files that we hand out, fit for every file system.

Windows and macOS take names that differ by case or Unicode normalization only for one, so of what they unpack, the
second file would replace the first. Windows also has characters and names that no file may have.
"""

import re
from itertools import count
from pathlib import PurePosixPath

from shared.paths import MAX_NAME_BYTES, fold
from shared.texts import UNPRINTABLE

#: What no name should have, and what Windows takes in none: some characters, dots and spaces at the end.
#: Source: Microsoft, "Naming Files, Paths, and Namespaces".
_UNFIT = re.compile(rf'{UNPRINTABLE.pattern}|[<>:"/\\|?*]|[ .]+$')
#: Names of devices, whatever suffix they have.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE)


def safe_part(name: str) -> str:
    """Return a name that every file system takes: a part of a path, of at most 255 bytes."""
    fit = _UNFIT.sub(lambda found: "_" * len(found[0]), name) or "_"
    return shortened(f"_{fit}" if _DEVICE.fullmatch(fit) else fit)


def safe_name(path: str) -> str:
    """Return the name of a file at a path that any system wrote, fit for every file system."""
    return safe_part(path.replace("\\", "/").rstrip("/").rpartition("/")[2])


def download_name(photograph: str | None, job_id: str, part: str, suffix: str) -> str:
    """Return the name of a file of a job: `holiday.png` for the photograph `holiday.jpg`, with `part` for others."""
    stem = PurePosixPath(safe_name(photograph)).stem if photograph else f"atelier-{job_id}"
    return shortened(safe_part(stem), f"{part}.{suffix}")


def shortened(name: str, ending: str = "") -> str:
    """Return `name` with `ending`, cut before it to at most 255 bytes of UTF-8."""
    room = MAX_NAME_BYTES - len(ending.encode())
    return name.encode()[:room].decode(errors="ignore") + ending


class UniqueNames:
    """The files of one archive: no two are one file anywhere, and none is another's folder."""

    def __init__(self, *reserved: str) -> None:
        """Begin with files that are in the archive in any case."""
        self._files = {fold(name) for name in reserved}
        self._folders: set[str] = set()

    def add(self, key: str, format_name: str) -> str:
        """Name the file of an item: `a/b.jpg` is `a/b.png`, or else `a/b.jpg.png`, `a/b.jpg-2.png` and so on."""
        *folders, name = (safe_part(part) for part in key.split("/"))
        folder, suffix = self._folder(folders), f".{format_name}"
        stem = PurePosixPath(name).stem
        for number in count():
            ending = suffix if number < 2 else f"-{number}{suffix}"
            path = folder + shortened(safe_part(stem) if number == 0 else name, ending)
            if fold(path) not in self._files and fold(path) not in self._folders:
                break
        self._files.add(fold(path))
        return path

    def _folder(self, parts: list[str]) -> str:
        """Return the path of a folder, ending in `/`, whose parts are no files of the archive."""
        path = ""
        for part in parts:
            folder = f"{path}{part}"
            while fold(folder) in self._files:
                folder += "_"
            self._folders.add(fold(folder))
            path = f"{folder}/"
        return path
