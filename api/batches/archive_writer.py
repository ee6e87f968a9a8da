"""The results of a batch as one zip, written while it is sent; pictures are stored, as they are compressed already.

A file's name is its item's key with the suffix of the result's format, made fit for every file system by
`file_names`. The last file, `manifest.jsonl`, has a line for each item that has ended, with the name of its file; its
`strength` is that of the picture in the zip, which is as painted where the photograph of a lower one is gone.

Invariant: at most one picture is in memory, and no transaction is open while the client receives it.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO

from api.serializers.batches import serialize_item_result
from api.usecases.file_names import UniqueNames
from api.usecases.results import Pictures, ShownPicture
from shared.db.base import Database
from shared.db.batches import items
from shared.db.models import Job
from shared.errors import CorruptImage, NotFound, ResultExpired, UnsupportedImage
from shared.states import TERMINAL, State

#: The date of every member, the earliest a zip can hold: equal batches make equal files.
_DATE = (1980, 1, 1, 0, 0, 0)
_MANIFEST = "manifest.jsonl"


class _Buffer:
    """What the zip is written to: it holds the bytes that are still to be sent."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing; `zipfile` calls it."""

    def drain(self) -> bytes:
        """Return the bytes to send, and forget them."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def stream(database: Database, pictures: Pictures, batch_id: str) -> Iterator[bytes]:
    """Yield, piece by piece, a zip of the items that have ended so far, each at its saved strength."""
    buffer, names = _Buffer(), UniqueNames(_MANIFEST)
    with tempfile.TemporaryFile() as manifest, zipfile.ZipFile(buffer, "w") as archive:  # type: ignore[call-overload]
        for job in items.iterate_items(database, batch_id, sorted(TERMINAL)):
            name = _file_name(job, names)
            shown = _read_picture(pictures, job) if name else None
            line = serialize_item_result(0, job).model_dump(mode="json", exclude={"number"})
            if name and shown is not None:
                archive.writestr(zipfile.ZipInfo(name, _DATE), shown.data)
                line["result"]["strength"] = shown.strength
                yield buffer.drain()
            manifest.write(json.dumps({"file": None if shown is None else name, **line}).encode() + b"\n")
        yield from _append_manifest(manifest, archive, buffer)
    yield buffer.drain()


def _append_manifest(manifest: IO[bytes], archive: zipfile.ZipFile, buffer: _Buffer) -> Iterator[bytes]:
    manifest.seek(0)
    with archive.open(zipfile.ZipInfo(_MANIFEST, _DATE), "w", force_zip64=True) as file:
        while block := manifest.read(2**18):
            file.write(block)
            yield buffer.drain()


def _read_picture(pictures: Pictures, job: Job) -> ShownPicture | None:
    """Return the picture of a job; None if it has expired, is missing or damaged."""
    try:
        return pictures.saved(job)
    except (ResultExpired, NotFound, CorruptImage, UnsupportedImage):
        return None


def _file_name(job: Job, names: UniqueNames) -> str | None:
    if job.state != State.SUCCEEDED or not job.result:
        return None
    return names.add(str(job.item_key), job.result["format"])
