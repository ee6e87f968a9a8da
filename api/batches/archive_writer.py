"""The results of a batch as one zip, written while it is sent; pictures are stored, as they are compressed already.

A file's name is its item's key with the suffix of the result's format, made fit for every file system by
`file_names`. The last file, `manifest.jsonl`, has a line for each item that has ended, with the name of its file; its
`strength` is that of the picture in the zip, which is as painted where the photograph of a lower one is gone.

The zip of a batch that has ended is measured before it is sent: its headers and its manifest are written with holes
for the pictures, which gives its length and a hash of its contents, so that a download can be resumed. The picture of
another strength is encoded only when it is sent, so with one of those in it the length is unknown.

Invariant: at most one picture is in memory, and no transaction is open while the client receives it.
Invariant: what is sent of a measured zip has that length and hash, or breaks off.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from api.serializers.batches import serialize_item_result
from api.usecases.file_names import UniqueNames
from api.usecases.results import AS_PAINTED, Pictures, ShownPicture
from shared.db.base import Database
from shared.db.batches import items
from shared.db.batches.counts import stored_counts
from shared.db.models import Batch, Job
from shared.errors import CorruptImage, NotFound, ResultExpired, StorageUnavailable, UnsupportedImage
from shared.painting.results import strength_of
from shared.states import TERMINAL, State

#: The date of every member, the earliest a zip can hold: equal batches make equal files.
_DATE = (1980, 1, 1, 0, 0, 0)
_MANIFEST = "manifest.jsonl"
#: Items of the largest batch whose zip is measured: each takes about a quarter of a millisecond, before the first byte.
_MEASURED_ITEMS = 10_000


class Measured(NamedTuple):
    """The length of a zip in bytes, and its `etag`, which tells its contents."""

    length: int
    etag: str


class _Buffer:
    """What the zip is written to: it holds the bytes that are still to be sent."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written or skipped; `zipfile` calls it."""
        return self._position

    def skip(self, size_bytes: int) -> None:
        """Count bytes that are not written."""
        self._position += size_bytes

    def flush(self) -> None:
        """Do nothing; `zipfile` calls it."""

    def drain(self) -> bytes:
        """Return the bytes to send, and forget them."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _Zip:
    """A zip that grows by one item after another; `buffer` has what is still to be sent."""

    def __init__(self, archive: zipfile.ZipFile, buffer: _Buffer, manifest: IO[bytes]) -> None:
        self.buffer = buffer
        self._archive, self._manifest = archive, manifest
        self._names, self._hash = UniqueNames(_MANIFEST), hashlib.sha256()

    def name(self, job: Job) -> str | None:
        """Return the name of an item's file; None if it has no picture."""
        if job.state != State.SUCCEEDED or not job.result:
            return None
        return self._names.add(str(job.item_key), job.result["format"])

    def add_picture(self, name: str, data: bytes) -> None:
        self._archive.writestr(zipfile.ZipInfo(name, _DATE), data)

    def add_line(self, job: Job, name: str | None, strength: float, size_bytes: int) -> None:
        """Add an item to the manifest; `name` is None if its picture is not in the zip."""
        line = serialize_item_result(0, job).model_dump(mode="json", exclude={"number"})
        if name is not None:
            line["result"]["strength"] = strength
        written = json.dumps({"file": name, **line}).encode() + b"\n"
        self._manifest.write(written)
        self._hash.update(b"%d %s" % (size_bytes, written))

    def add_manifest(self) -> Iterator[bytes]:
        """Add the manifest as the last file, and yield what is to be sent."""
        self._manifest.seek(0)
        with self._archive.open(zipfile.ZipInfo(_MANIFEST, _DATE), "w", force_zip64=True) as file:
            while block := self._manifest.read(2**18):
                file.write(block)
                yield self.buffer.drain()

    def etag(self) -> str:
        """Return a hash of all items so far."""
        return self._hash.hexdigest()[:32]


@contextmanager
def _begun() -> Iterator[_Zip]:
    buffer = _Buffer()
    with tempfile.TemporaryFile() as manifest, zipfile.ZipFile(buffer, "w") as archive:  # type: ignore[call-overload]
        yield _Zip(archive, buffer, manifest)


def measure(database: Database, pictures: Pictures, batch: Batch) -> Measured | None:
    """Measure the zip of a batch that has ended; None if that is not possible, or would take long."""
    if batch.ended_at is None or sum(stored_counts(batch).values()) > _MEASURED_ITEMS:
        return None
    with _begun() as written:
        for job in items.iterate_items(database, batch.id, sorted(TERMINAL)):
            name = written.name(job)
            if name and job.result and strength_of(job.result) != AS_PAINTED:
                return None
            size_bytes = pictures.stored_size(job) if name else None
            if name and size_bytes is not None:
                written.add_picture(name, b"")
                written.buffer.skip(size_bytes)
            written.add_line(job, None if size_bytes is None else name, AS_PAINTED, size_bytes or 0)
        for _ in written.add_manifest():
            pass
    return Measured(written.buffer.tell(), written.etag())


def stream(database: Database, pictures: Pictures, batch_id: str, measured: Measured | None = None) -> Iterator[bytes]:
    """Yield, piece by piece, a zip of the items that have ended so far, each at its saved strength.

    Raises `StorageUnavailable` if it becomes another than was `measured`.
    """
    with _begun() as written:
        for job in items.iterate_items(database, batch_id, sorted(TERMINAL)):
            name = written.name(job)
            shown = _read_picture(pictures, job) if name else None
            if name and shown is not None:
                written.add_picture(name, shown.data)
                yield written.buffer.drain()
                written.add_line(job, name, shown.strength, len(shown.data))
            else:
                written.add_line(job, None, AS_PAINTED, 0)
        if measured is not None and written.etag() != measured.etag:
            raise StorageUnavailable("The pictures of the batch changed while they were sent.")
        yield from written.add_manifest()
    yield written.buffer.drain()


def _read_picture(pictures: Pictures, job: Job) -> ShownPicture | None:
    """Return the picture of a job; None if it has expired, is missing or damaged."""
    try:
        return pictures.saved(job)
    except (ResultExpired, NotFound, CorruptImage, UnsupportedImage):
        return None
