"""Names of files in archives and folders: decoded, and written as keys of items.

A file system or an archive may hold names that a key cannot be. What stands in the way, a control character, a byte
that is no text, a dot or a space at the end, is written as in URLs (`%09`), so that the picture is taken all the same.
A name that leads out of its folder stays as it is, for `check_key` to refuse.
"""

import codecs
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath

from shared.errors import InvalidParams, UnsafePath
from shared.imaging.filenames import STATE_FILE
from shared.texts import UNPRINTABLE

#: The code page of a zip's names that say of none. Source: APPNOTE, appendix D.
ZIP_ENCODING = "cp437"
#: The extra field of a zip's member that holds its name in UTF-8. Source: APPNOTE, section 4.6.9.
_UNICODE_PATH = 0x7075
#: Python's codecs of text that are no character encodings of files' names.
_NO_ENCODINGS = frozenset({"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})
_ENCODING_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
#: What must mean itself in an encoding of paths.
_ASCII = "/.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: What a key cannot hold: control characters, bytes that are no text, a backslash, dots and spaces at the end.
_UNFIT = re.compile(rf"{UNPRINTABLE.pattern}|\\|[ .]+$")
_DRIVE = re.compile(r"[A-Za-z]:")


def checked_encoding(name: str | None) -> str | None:
    """Return the name of a character encoding that paths can be in; raise `InvalidParams` for anything else."""
    if name is None:
        return None
    try:
        found = codecs.lookup(name).name if _ENCODING_NAME.fullmatch(name) else ""
        fits = _ASCII.encode().decode(found) == _ASCII and found.replace("-", "_") not in _NO_ENCODINGS
    except (LookupError, ValueError):  # unknown, for bytes alone, or not of ASCII's kind
        fits = False
    if not fits:
        expected = "the name of a character encoding that contains ASCII, such as cp932 or windows-1252"
        raise InvalidParams(
            f"name_encoding must be {expected}.", errors=[{"pointer": "name_encoding", "detail": expected}]
        )
    return found


def decode_name(name: bytes, encoding: str | None) -> str:
    """Decode a name as UTF-8 or else by `encoding`; bytes that neither knows become lone surrogates."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        if encoding is None:
            return name.decode(errors="surrogateescape")
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return name.decode(errors="surrogateescape")


def unicode_path(extra: bytes, name: bytes) -> str | None:
    """Return the UTF-8 name in a zip member's extra fields; None without one, or if it is of another name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5:
            version, checksum = struct.unpack_from("<BL", field)
            if version == 1 and checksum == zlib.crc32(name):
                try:
                    return field[5:].decode()
                except UnicodeDecodeError:
                    return None
    return None


def member_path(name: str) -> str:
    r"""Return the path that a member's name stands for: with `/` for `\`, and without `.` and empty parts.

    A folder's ends in `/`; "" is the archive itself. What makes a path absolute stays.
    """
    path = name.replace("\\", "/")
    kept = "/".join(part for part in path.split("/") if part not in ("", "."))
    is_folder = path.endswith(("/", "/.")) or path == "."
    return f"{'/' if path.startswith('/') else ''}{kept}{'/' if is_folder and kept else ''}"


def key_of(path: str) -> str:
    """Return the key of a file at a relative path; what a key cannot hold is written as `%` and two digits a byte.

    Names are composed (NFC), as people write them: macOS decomposes them.
    """
    first, *rest = unicodedata.normalize("NFC", path).split("/")
    if _DRIVE.match(first) and len(first) > 2:
        first = f"{first[0]}%3A{first[2:]}"
    return "/".join(part if part == ".." else _UNFIT.sub(_escaped, part) for part in (first, *rest))


def checked_path(path: str) -> str:
    """Return the key of a file in an archive; raise `UnsafePath` for a name with a NUL, which hides what follows."""
    if "\0" in path:
        raise UnsafePath("A file name must contain no NUL.")
    return key_of(path)


def state_folders(paths: Iterable[str]) -> frozenset[str]:
    """Return the folders among `paths` that hold the results of a batch, each ending in `/`; the root is none."""
    found = (PurePosixPath(path) for path in paths if path.endswith(f"/{STATE_FILE}"))
    return frozenset(f"{path.parent}/" for path in found)


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for character in found[0] for byte in _bytes_of(character))


def _bytes_of(character: str) -> bytes:
    is_byte = 0xDC80 <= ord(character) <= 0xDCFF  # any other surrogate is one that an encoding let through
    return character.encode(errors="surrogateescape" if is_byte else "surrogatepass")
