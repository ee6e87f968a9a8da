"""Which files are pictures, by their names alone: one rule for folders, archives and imports.

A name is a path with `/` between its parts, relative to what is being read.
"""

from enum import Enum

#: Suffixes of the kinds that `codec` reads.
PICTURES = frozenset({
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png",
    ".tif", ".tiff", ".webp",
})  # fmt: skip
#: Suffixes of pictures that it does not read; a person who has some wants to know.
_UNREADABLE = frozenset({
    ".3fr", ".ai", ".arw", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".ico", ".j2k", ".jp2", ".jxl", ".jxr",
    ".nef", ".orf", ".pbm", ".pdf", ".pef", ".pgm", ".ppm", ".psb", ".psd", ".qoi", ".raf", ".raw", ".rw2", ".srw",
    ".svg", ".svgz", ".tga", ".wdp", ".xcf",
})  # fmt: skip
_SUFFIXES = PICTURES | _UNREADABLE
#: Folders that devices and programs keep beside pictures, in lower case; those that begin with a dot are all left out.
_FOLDERS = frozenset({"__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information"})
#: Files that they keep, in lower case.
_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"})
#: A file of this name makes its folder one of results: `atelier batch` writes it.
STATE_FILE = ".atelier-batch.json"


class Kind(Enum):
    """What a file is to us."""

    #: A picture, if its content is what its suffix says.
    PICTURE = "picture"
    #: A picture of a kind that cannot be read.
    UNREADABLE = "unreadable"
    #: Anything else: sidecars, what systems add, files that are hidden.
    OTHER = "other"


def is_skipped_folder(name: str) -> bool:
    """Return whether a folder of this name, without its path, is left out with all that is in it."""
    return name.startswith(".") or name.lower() in _FOLDERS


def kind_of(name: str) -> Kind:
    """Return what a file is, by its path."""
    *folders, last = [part for part in name.split("/") if part not in ("", ".")] or [""]
    stem, _, ending = last.lower().rpartition(".")
    suffix = f".{ending}" if stem and ending else ""
    if suffix not in _SUFFIXES or last.startswith(".") or last.lower() in _FILES:
        return Kind.OTHER
    if any(is_skipped_folder(part) for part in folders):
        return Kind.OTHER
    return Kind.PICTURE if suffix in PICTURES else Kind.UNREADABLE
