"""The results of a batch as one zip, written while it is sent: stored, not packed again, since pictures are packed.

Names are the items' keys with the suffix of the result's format; where two would be one, the second keeps its whole
key. `manifest.jsonl`, the last file, has a line for every item that ended.

Invariant: one picture is in memory at once, and no transaction is open while it is sent.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from api.serializers.batches import item_result
from api.services import Services
from shared.db.batches import items
from shared.db.models import Job
from shared.errors import NotFound
from shared.states import TERMINAL, State

#: Items read at once.
_PAGE = 200
#: The date of every member: the earliest that zips know, so that equal batches are equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


class _Sink:
    """What the zip is written to: it keeps what was written until it is sent."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Keep it until it is sent."""

    def sent(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def stream(services: Services, batch_id: str) -> Iterator[bytes]:
    """Yield the zip of what has ended so far, piece by piece."""
    sink, used = _Sink(), set[str]()
    with tempfile.TemporaryFile() as manifest, zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        for job in _ended(services, batch_id):
            name = _name(job, used)
            data = _picture(services, job) if name else None
            if name and data is not None:
                archive.writestr(zipfile.ZipInfo(name, _DATE), data)
                yield sink.sent()
            told = item_result(0, job).model_dump(mode="json", exclude={"number"})
            manifest.write(json.dumps({"file": None if data is None else name, **told}).encode() + b"\n")
        yield from _copied(manifest, archive, sink)
    yield sink.sent()


def _copied(manifest: IO[bytes], archive: zipfile.ZipFile, sink: _Sink) -> Iterator[bytes]:
    manifest.seek(0)
    with archive.open(zipfile.ZipInfo("manifest.jsonl", _DATE), "w", force_zip64=True) as file:
        while block := manifest.read(2**18):
            file.write(block)
            yield sink.sent()


def _ended(services: Services, batch_id: str) -> Iterator[Job]:
    after: str | None = None
    while True:
        with services.database.reading() as session:
            page = items.list_items(session, batch_id, sorted(TERMINAL), after=after, limit=_PAGE)
        if not page:
            return
        yield from page
        after = page[-1].sort_id


def _picture(services: Services, job: Job) -> bytes | None:
    """Read a result; None if it has expired or is gone."""
    if job.files_gone_at is not None or not job.result:
        return None
    try:
        return services.store.get(job.result["key"])
    except NotFound:
        return None


def _name(job: Job, used: set[str]) -> str | None:
    if job.state != State.SUCCEEDED or not job.result:
        return None
    path, suffix = PurePosixPath(str(job.item_key)), f".{job.result['format']}"
    for name in (str(path.with_suffix(suffix)), f"{path}{suffix}", f"{path}.{job.id}{suffix}"):
        if name not in used and name != "manifest.jsonl":
            break
    used.add(name)
    return name
