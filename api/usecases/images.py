"""Keeping uploads: inspected first, then their bytes stored, then their rows.

An image's row is written in the transaction that needs it, so a request that is refused there leaves none; the bytes
that it has stored are removed.

Invariant: an image that has a row has its bytes in the store, so a job that names it can be painted.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import NamedTuple

from sqlalchemy.orm import Session

from api.access import Caller
from shared import clock, ids, logs
from shared.db import images
from shared.db.access import quotas
from shared.db.base import Database
from shared.db.models import Image
from shared.errors import DatabaseUnavailable, StorageUnavailable
from shared.imaging.codec import ImageInfo
from shared.imaging.decoders.pool import Decoders
from shared.storage.store import ImageStore, image_key

log = logs.get(__name__)


class Upload(NamedTuple):
    """A picture that came with a request, undamaged and within bounds."""

    data: bytes
    info: ImageInfo


def inspect_upload(decoders: Decoders, data: bytes, caller: Caller) -> Upload:
    """Check an upload; raise as `codec.inspect` does, or `DecoderUnavailable`."""
    return Upload(data, decoders.inspect(data, owner=caller.owner))


def keep_upload(database: Database, store: ImageStore, upload: Upload, caller: Caller) -> tuple[Image, bool]:
    """Store an image; return it and whether its owner had not uploaded it before. Equal bytes are one image.

    Raises `QuotaExceeded`.
    """
    image_id = ids.image_id(upload.data)
    with stored(database, store, {image_id: upload}), database.writing("upload") as session:
        image, is_new = record_upload(session, store, image_id, upload, caller)
        quotas.check_stored(session, caller.quota, new_bytes=image.size_bytes if is_new else 0)
        return image, is_new


def record_uploads(session: Session, store: ImageStore, uploads: Mapping[str, Upload], caller: Caller) -> None:
    """Write the rows of images, by their ids, as `record_upload` does; raise `QuotaExceeded`."""
    new_bytes = 0
    for image_id, upload in sorted(uploads.items()):  # in one order, against deadlocks
        image, is_new = record_upload(session, store, image_id, upload, caller)
        new_bytes += image.size_bytes if is_new else 0
    quotas.check_stored(session, caller.quota, new_bytes=new_bytes)


@contextmanager
def stored(database: Database, store: ImageStore, uploads: Mapping[str, Upload]) -> Iterator[None]:
    """Have the bytes of `uploads`, by their ids, in storage for the block, which is to `record_upload` each of them.

    If the block raises, those that were not there before are removed again, unless another request has recorded them.
    """
    new: list[str] = []
    try:
        for image_id, upload in uploads.items():
            if _store_if_missing(store, image_id, upload):
                new.append(image_id)
        yield
    except BaseException:
        _discard(database, store, new)
        raise


def record_upload(
    session: Session, store: ImageStore, image_id: str, upload: Upload, caller: Caller
) -> tuple[Image, bool]:
    """Write the row of an image whose bytes are stored, in the caller's transaction; return as `keep_upload` does."""
    now = clock.now()
    image = Image(id=image_id, **asdict(upload.info), created_at=now, last_used_at=now)
    recorded = images.record_upload(session, image, caller.owner)
    _store_if_missing(store, image_id, upload)  # deleted since they were stored; the row is locked now, so they stay
    return recorded


def _store_if_missing(store: ImageStore, image_id: str, upload: Upload) -> bool:
    """Store an image's bytes unless they are there; tell whether they were missing."""
    key = image_key(image_id)
    missing = not store.exists(key)
    if missing:
        store.put(key, upload.data)
    return missing


def _discard(database: Database, store: ImageStore, image_ids: Iterable[str]) -> None:
    """Remove the bytes of images unless a row keeps them; what cannot be removed now is left to the orphan search."""
    try:
        for image_id in image_ids:
            with database.writing("remove_bytes") as session:
                if images.can_remove_bytes(session, image_id):
                    store.delete(image_key(image_id))
    except (DatabaseUnavailable, StorageUnavailable) as error:
        log.warning("files_left", reason=str(error))
