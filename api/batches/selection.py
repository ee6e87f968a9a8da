"""What is taken of an archive: its pictures, by the rule of `shared.imaging.filenames`, each under a key of its own."""

from typing import NamedTuple

from api.batches.member_names import checked_path
from shared.errors import DuplicateKey, UnsafePath, UnsupportedImage
from shared.imaging import filenames
from shared.imaging.filenames import Kind

#: Suffixes of archives: a person who packed one into another wants to know that its pictures are not taken.
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".7z", ".rar")


class Skipped(NamedTuple):
    """A folder, or a file that is no picture; `unreadable` is the kind of one that cannot be read, such as `cr2`."""

    name: str
    unreadable: str | None = None


class Selection:
    """Chooses members of one archive, as they are read one after another."""

    def __init__(self, encoding: str | None = None) -> None:
        """Choose from an archive whose names are in `encoding` where they are not UTF-8."""
        self.encoding = encoding
        #: Folders to leave out, each ending in `/`.
        self.state_folders: frozenset[str] = frozenset()
        self._seen: set[str] = set()

    def skipped(self, path: str) -> Skipped | None:
        """Return what is skipped without being read; None for a picture, and for an archive, which is refused."""
        if path == "" or path.endswith("/") or path.startswith(tuple(self.state_folders)):
            return Skipped(path)
        parts = [part for part in path.split("/") if part != ".."]
        kind = filenames.kind_of("/".join(parts))
        if kind is Kind.UNREADABLE:
            return Skipped(path, path.rpartition(".")[2].lower())
        is_hidden = any(filenames.is_skipped_folder(part) for part in parts)
        is_archive = path.lower().endswith(_ARCHIVES) and not is_hidden
        return None if kind is Kind.PICTURE or is_archive else Skipped(path)

    def key(self, path: str, *, is_regular: bool) -> str:
        """Return the key of a file; raise `UnsafePath`, `DuplicateKey` or `UnsupportedImage`."""
        if not is_regular:
            raise UnsafePath("Links and devices are not accepted.")
        key = checked_path(path)
        if key in self._seen:
            raise DuplicateKey(f"The archive has another file named {key}.")
        self._seen.add(key)
        if path.lower().endswith(_ARCHIVES):
            raise UnsupportedImage("Archives within archives are not accepted.")
        return key
