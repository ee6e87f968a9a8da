"""The key under which a picture of a folder is known to the server, by its path in the folder.

A key must be a relative path of printable UTF-8 that is safe on every system; the names in a folder may be anything.

Invariant: different paths have different keys, and a path has the same key in every run.
"""

import hashlib
import os
import re

from api.schemas.batches import MAX_KEY, check_key
from shared.errors import UnsafePath
from shared.texts import UNPRINTABLE

#: How a key that was made ends, before its suffix; a path that ends so gets another one.
_MADE = re.compile(r"~[0-9a-f]{16}(\.\w+)?\Z", re.ASCII)
#: Most characters of a part of a path that a made key keeps.
_MOST_PART = 60
_UNSAFE = re.compile(r'[\\:*?"<>|]')


def key_of(path: str) -> str:
    """Return the key of the picture at `path`, with `/` between its parts: the path itself if it is a valid key.

    Any other path is cleaned, shortened and told apart from others by a hash.
    """
    try:
        check_key(path)
    except UnsafePath:
        return _made(path)
    return _made(path) if _MADE.search(path) else path


def _made(path: str) -> str:
    stem, suffix = os.path.splitext(path)  # noqa: PTH122 - a key is no path of this system
    parts = [_clean(part) for part in stem.split("/")]
    ending = f"~{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}{suffix}"
    while len("/".join(parts)) + len(ending) > MAX_KEY:
        del parts[0]
    return "/".join(parts) + ending


def _clean(part: str) -> str:
    return _UNSAFE.sub("_", UNPRINTABLE.sub("_", part))[:_MOST_PART].strip().strip(" .") or "_"
