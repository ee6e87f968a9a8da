"""Keeping uploads: inspected first, then their bytes stored, then their rows.

Invariant: an image that has a row has its bytes in the store, so a job that names it can be painted.
"""

from dataclasses import asdict
from typing import NamedTuple

from api.access import Caller
from shared import clock, ids
from shared.db import images
from shared.db.base import Database
from shared.db.models import Image
from shared.imaging.codec import ImageInfo
from shared.imaging.decoders.pool import Decoders
from shared.storage.store import ImageStore, image_key


class Upload(NamedTuple):
    """A picture that came with a request, undamaged and within bounds."""

    data: bytes
    info: ImageInfo


def inspect_upload(decoders: Decoders, data: bytes, caller: Caller) -> Upload:
    """Check an upload; raise as `codec.inspect` does, or `DecoderUnavailable`."""
    return Upload(data, decoders.inspect(data, owner=caller.owner))


def keep_upload(database: Database, store: ImageStore, upload: Upload, caller: Caller) -> tuple[Image, bool]:
    """Store an image; return it and whether its owner had not uploaded it before. Equal bytes are one image."""
    data, info = upload
    now = clock.now()
    image = Image(id=ids.image_id(data), **asdict(info), created_at=now, last_used_at=now)
    key = image_key(image.id)
    if not store.exists(key):
        store.put(key, data)
    with database.writing("upload") as session:
        kept, is_new = images.record_upload(session, image, caller.owner)
        if not store.exists(key):  # deleted since the check above; its row is locked now, so it stays
            store.put(key, data)
    return kept, is_new
