"""The moments of styles, kept for later jobs: in memory and, from one process to the next, in files.

A file is found by a hash of all that determines its moments: the style, its size, the formulas and, as `made_by` and
the code of the engine and of decoding, whatever rounds them. So several workers may share a folder, even of two
versions or devices.

Invariant: what is read is what was computed, bit for bit. A file that is damaged, or cannot be read or written, costs
computing the moments again, never a job.
"""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from cachetools import LRUCache

from shared import imaging, logs
from shared.storage.atomic_files import UNFINISHED, replacing
from worker.engine.objective.moments import Moments

#: Size of the cache in memory: some five styles at a few sizes. Others come back from files in a few milliseconds.
_CACHE_BYTES = 2**25
#: Size of all files; a size of a style takes 1 to 3 MB.
_FILES_BYTES = 2**29
#: How many styles `styles` names, so that a worker's row stays short.
_MOST_STYLES = 32
#: Age at which a temporary file has no writer any more, in seconds.
_ABANDONED_S = 3600.0
_SUFFIX = ".moments"
_DIGEST_BYTES = hashlib.sha256().digest_size

log = logs.get(__name__)

#: The moments of one style image, by style map.
StyleMoments = dict[str, Moments]


class MomentFiles:
    """Moments in files `STYLE.HASH.moments`, in a folder for each `made_by`; all together of a limited size."""

    def __init__(self, folder: Path, made_by: str, *, max_bytes: int = _FILES_BYTES) -> None:
        """Keep files below `folder`; delete those not used for longest when all hold more than `max_bytes`.

        `made_by` names the weights, the device and the libraries.
        """
        self._root = folder
        self._folder = folder / _digest((_code_digest(), made_by))[:16]
        self._max_bytes = max_bytes

    def load(self, style: str, key: Any) -> StyleMoments | None:
        """Read moments; None if there are none, or they are damaged."""
        path = self._path(style, key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        self.touch(style, key)
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if digest != _digest_of(path, content):
            log.warning("moments_damaged", path=str(path))
            return None
        return _decoded(content)

    def save(self, style: str, key: Any, moments: StyleMoments) -> None:
        """Write moments, then make room."""
        data, path = _encoded(moments), self._path(style, key)
        try:
            with replacing(path) as file:
                file.write(_digest_of(path, data) + data)
            self._make_room()
        except OSError as error:
            log.warning("moments_not_saved", path=str(path), reason=str(error))

    def touch(self, style: str, key: Any) -> None:
        """Note that moments are used now, so that their file is among the last to go."""
        with suppress(OSError):  # it is gone, or not ours
            os.utime(self._path(style, key))

    def styles(self) -> list[str]:
        """Return the styles of which there are moments, the most recently used first."""
        by_age = sorted(_sizes_by_age(self._folder, _SUFFIX), reverse=True)
        return list(dict.fromkeys(unquote(path.name.rsplit(".", 2)[0]) for _, path, _ in by_age))

    def _path(self, style: str, key: Any) -> Path:
        return self._folder / f"{quote(style, safe='')}.{_digest((style, key))}{_SUFFIX}"

    def _make_room(self) -> None:
        """Delete abandoned files, then the oldest; another worker may be doing the same."""
        for modified_at, path, _ in _sizes_by_age(self._root, ""):
            if path.name.startswith(UNFINISHED) and time.time() - modified_at > _ABANDONED_S:
                path.unlink(missing_ok=True)
        files = sorted(_sizes_by_age(self._root, _SUFFIX))
        excess = sum(size for *_, size in files) - self._max_bytes
        for _, path, size in files:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


class MomentCache:
    """The moments that a process has at hand. Only the painting thread uses it."""

    def __init__(self, max_bytes: int = _CACHE_BYTES) -> None:
        """Keep up to `max_bytes` in memory, and none in files."""
        self._moments: LRUCache[Any, StyleMoments] = LRUCache(max_bytes, _size)
        #: The styles used last, as keys, the newest last: an `LRUCache` lists its own in the order in which they came.
        self._recent: dict[str, None] = {}
        self.files: MomentFiles | None = None

    def get(self, style: str, key: Any, compute: Callable[[], StyleMoments]) -> StyleMoments:
        """Return the moments of `style` that `key` determines, computed if they are not at hand."""
        self._recent.pop(style, None)
        self._recent = dict.fromkeys([*self._recent, style][-_MOST_STYLES:])
        known = self._moments.get((style, key))
        if known is None:
            known = self._read_or_compute(style, key, compute)
            with suppress(ValueError):  # larger than the whole cache
                self._moments[style, key] = known
        elif self.files is not None:
            self.files.touch(style, key)
        return known

    def _read_or_compute(self, style: str, key: Any, compute: Callable[[], StyleMoments]) -> StyleMoments:
        if self.files is None:
            return compute()
        found = self.files.load(style, key)
        if found is None:
            found = compute()
            self.files.save(style, key, found)
        return found

    @property
    def held_bytes(self) -> int:
        """What the moments in memory take."""
        return int(self._moments.currsize)

    @property
    def styles(self) -> list[str]:
        """The styles at hand, in memory or in files, the most recently used first; at most 32."""
        in_files = self.files.styles() if self.files is not None else []
        at_hand = {style for style, _ in self._moments}.union(in_files)
        used = [style for style in reversed(self._recent) if style in at_hand]
        return list(dict.fromkeys([*used, *in_files]))[:_MOST_STYLES]


def _size(moments: StyleMoments) -> int:
    return sum(part.nbytes for pair in moments.values() for part in pair)


def _sizes_by_age(folder: Path, suffix: str) -> list[tuple[float, Path, int]]:
    """Return the time of the last use, path and size of the files below `folder`; leave out any that cannot be read."""
    found = []
    for path in folder.rglob(f"*{suffix}"):
        with suppress(OSError):
            if path.is_file():
                stat = path.stat()
                found.append((stat.st_mtime, path, stat.st_size))
    return found


def _encoded(moments: StyleMoments) -> bytes:
    file = BytesIO()
    arrays = {f"{part} {name}": getattr(pair, part) for name, pair in moments.items() for part in Moments._fields}
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _decoded(data: bytes) -> StyleMoments:
    with np.load(BytesIO(data), allow_pickle=False) as file:
        names = dict.fromkeys(name.split(" ", 1)[1] for name in file.files)
        return {name: Moments(*(file[f"{part} {name}"] for part in Moments._fields)) for name in names}


def _digest_of(path: Path, content: bytes) -> bytes:
    """Hash a file with its name, so that the file of one style never passes for that of another."""
    return hashlib.sha256(path.name.encode() + b"\0" + content).digest()


def _digest(key: Any) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()


@cache
def _code_digest() -> str:
    """Hash the code of the engine and of decoding: a version number would be forgotten by whoever changes a formula."""
    digest = hashlib.sha256()
    for folder in (Path(__file__).parents[1], Path(imaging.__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
