"""Keeping uploads: proven whole and within bounds first, their bytes stored before their row."""

from __future__ import annotations

from typing import NamedTuple

from api.access import Caller
from api.services import Services
from shared import clock, ids
from shared.db import images
from shared.db.models import Image
from shared.imaging import codec
from shared.imaging.codec import ImageInfo
from shared.storage.store import image_key


class File(NamedTuple):
    """A picture that came with a request, whole and within bounds."""

    data: bytes
    info: ImageInfo


def inspect_upload(services: Services, data: bytes) -> File:
    """Prove an upload whole and within bounds."""
    settings = services.settings
    return File(data, codec.inspect(data, max_bytes=settings.max_upload_bytes, max_px=settings.max_upload_px))


def upload(services: Services, file: File, caller: Caller) -> tuple[Image, bool]:
    """Keep an image, bytes first; return it and whether it is new to its owner. Equal bytes are one image."""
    data, info = file
    now = clock.now()
    image = Image(
        id=ids.image_id(data),
        width=info.width,
        height=info.height,
        format=info.format,
        size_bytes=info.size_bytes,
        created_at=now,
        last_used_at=now,
    )
    key = image_key(image.id)
    if not services.store.exists(key):
        services.store.put(key, data)
    with services.database.writing("upload") as session:
        kept, is_new = images.record_upload(session, image, caller.owner)
        if not services.store.exists(key):  # removed meanwhile, as nobody can do any more before the commit
            services.store.put(key, data)
    return kept, is_new
