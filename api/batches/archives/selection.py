"""What is taken of an archive: its pictures, by the rule of `shared.imaging.filenames`, each under a key of its own."""

from bisect import bisect_right
from typing import NamedTuple

from api.batches.member_names import checked_path
from api.schemas.batches import MAX_KEY
from shared.errors import ArchiveTooLarge, DuplicateKey, UnsafePath, UnsupportedImage
from shared.imaging import filenames
from shared.imaging.filenames import STATE_FILE, Kind

#: Suffixes of archives: a person who packed one into another wants to know that its pictures are not taken.
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".7z", ".rar")
#: Longest name of a member that is looked at, in bytes: none that is longer can be a key.
MAX_NAME_BYTES = 4 * MAX_KEY
#: Most folders with results of batches in one archive: each member is compared with them.
_MAX_LEFT_OUT = 1000


class Skipped(NamedTuple):
    """A folder, or a file that is no picture; `unreadable` is the kind of one that cannot be read, such as `cr2`."""

    name: str
    unreadable: str | None = None


class Selection:
    """Chooses members of one archive, as they are read one after another."""

    def __init__(self, encoding: str | None = None) -> None:
        """Choose from an archive whose names are in `encoding` where they are not UTF-8."""
        self.encoding = encoding
        #: Folders to leave out, each ending in `/`, in order; none is in another, so that one search finds a path's.
        self._left_out: list[str] = []
        #: Hashes of keys: a hundred thousand long keys would take too much memory.
        self._seen: set[int] = set()

    def look(self, path: str) -> None:
        """Leave out the folder of a file that says it holds the results of a batch.

        Raises `ArchiveTooLarge` for a great many such folders.
        """
        folder = path.removesuffix(STATE_FILE)
        if folder == path or not folder.endswith("/") or self._is_left_out(folder):
            return
        at = bisect_right(self._left_out, folder)
        while at < len(self._left_out) and self._left_out[at].startswith(folder):
            del self._left_out[at]
        self._left_out.insert(at, folder)
        if len(self._left_out) > _MAX_LEFT_OUT:
            raise ArchiveTooLarge(f"The archive has more than {_MAX_LEFT_OUT} folders with results of batches.")

    def skipped(self, path: str) -> Skipped | None:
        """Return what is skipped without being read; None for a picture, and for an archive, which is refused."""
        if path == "" or path.endswith("/") or self._is_left_out(path):
            return Skipped(path)
        visible = path if ".." not in path else "/".join(part for part in path.split("/") if part != "..")
        kind = filenames.kind_of(visible)
        if kind is Kind.UNREADABLE:
            return Skipped(path, path.rpartition(".")[2].lower())
        if kind is Kind.PICTURE or (path.lower().endswith(_ARCHIVES) and not _is_hidden(visible)):
            return None
        return Skipped(path)

    def key(self, path: str, *, is_regular: bool) -> str:
        """Return the key of a file; raise `UnsafePath`, `DuplicateKey` or `UnsupportedImage`."""
        if not is_regular:
            raise UnsafePath("Links and devices are not accepted.")
        key = checked_path(path)
        if len(key) > MAX_KEY:
            raise UnsafePath(f"A name may have at most {MAX_KEY} characters.")
        if hash(key) in self._seen:
            raise DuplicateKey(f"The archive has another file named {key}.")
        self._seen.add(hash(key))
        if path.lower().endswith(_ARCHIVES):
            raise UnsupportedImage("Archives within archives are not accepted.")
        return key

    def _is_left_out(self, path: str) -> bool:
        at = bisect_right(self._left_out, path)
        return at > 0 and path.startswith(self._left_out[at - 1])


def _is_hidden(path: str) -> bool:
    return any(filenames.is_skipped_folder(part) for part in path.split("/"))
