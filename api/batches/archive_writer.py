"""The results of a batch as one zip, written while it is sent; pictures are stored, as they are compressed already.

A file's name is its item's key with the suffix of the result's format; where two would collide, the second appends
the suffix to the whole key. The last file, `manifest.jsonl`, has a line for each item that has ended.

Invariant: at most one picture is in memory, and no transaction is open while the client receives it.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from api.serializers.batches import serialize_item_result
from shared.db.base import Database
from shared.db.batches import items
from shared.db.models import Job
from shared.errors import NotFound
from shared.states import TERMINAL, State
from shared.storage.store import ImageStore

#: The date of every member, the earliest a zip can hold: equal batches make equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


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


def stream(database: Database, store: ImageStore, batch_id: str) -> Iterator[bytes]:
    """Yield, piece by piece, a zip of the items that have ended so far."""
    buffer, used = _Buffer(), set[str]()
    with tempfile.TemporaryFile() as manifest, zipfile.ZipFile(buffer, "w") as archive:  # type: ignore[call-overload]
        for job in items.iterate_items(database, batch_id, sorted(TERMINAL)):
            name = _file_name(job, used)
            data = _read_result(store, job) if name else None
            if name and data is not None:
                archive.writestr(zipfile.ZipInfo(name, _DATE), data)
                yield buffer.drain()
            line = serialize_item_result(0, job).model_dump(mode="json", exclude={"number"})
            manifest.write(json.dumps({"file": None if data is None else name, **line}).encode() + b"\n")
        yield from _append_manifest(manifest, archive, buffer)
    yield buffer.drain()


def _append_manifest(manifest: IO[bytes], archive: zipfile.ZipFile, buffer: _Buffer) -> Iterator[bytes]:
    manifest.seek(0)
    with archive.open(zipfile.ZipInfo("manifest.jsonl", _DATE), "w", force_zip64=True) as file:
        while block := manifest.read(2**18):
            file.write(block)
            yield buffer.drain()


def _read_result(store: ImageStore, job: Job) -> bytes | None:
    """Return the picture of a job; None if it has expired or is missing."""
    if job.files_gone_at is not None or not job.result:
        return None
    try:
        return store.get(job.result["key"])
    except NotFound:
        return None


def _file_name(job: Job, used: set[str]) -> str | None:
    if job.state != State.SUCCEEDED or not job.result:
        return None
    path, suffix = PurePosixPath(str(job.item_key)), f".{job.result['format']}"
    for name in (str(path.with_suffix(suffix)), f"{path}{suffix}", f"{path}.{job.id}{suffix}"):
        if name not in used and name != "manifest.jsonl":
            break
    used.add(name)
    return name
