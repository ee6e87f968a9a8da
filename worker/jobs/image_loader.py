"""The pictures of a job, from storage to what the engine takes.

Jobs come in series of one style, so decoded styles are kept in the process, up to a bound in bytes, the least
recently used going first. A picture larger than that bound is decoded for each message.

Invariant: a kept picture is never written to; its key is its image's id, the sha256 of the bytes uploaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cachetools import LRUCache

from shared.errors import CorruptImage, NotFound
from shared.imaging import codec
from shared.imaging.codec import Decoded
from shared.storage.store import ImageStore, image_key
from worker.engine.types import Picture, Style

#: Of all kept styles together, in bytes: about twenty of a million pixels.
_KEPT_BYTES = 256 * 2**20


class Pictures:
    """Loads pictures by image id, and keeps styles. Every method raises `CorruptImage` for one that cannot be had."""

    def __init__(self, store: ImageStore, *, max_px: int, kept_bytes: int = _KEPT_BYTES) -> None:
        """Load from `store`, up to `max_px` pixels each; nothing is kept yet."""
        self._store = store
        self._max_px = max_px
        self._kept: LRUCache[str, Picture] = LRUCache(kept_bytes, getsizeof=lambda picture: picture.nbytes)

    @property
    def kept(self) -> list[str]:
        """The images of the styles that are kept, those used last first; asked by the thread that loads."""
        return list(reversed(list(self._kept)))

    def load(self, image_id: str) -> Decoded:
        """Load a picture and its opacity."""
        try:
            data = self._store.get(image_key(image_id))
        except NotFound:
            raise CorruptImage(f"The bytes of image {image_id} are gone from storage.", image=image_id) from None
        return codec.decode(data, max_px=self._max_px)

    def styles(self, choices: Sequence[Mapping[str, Any]]) -> list[Style]:
        """Load the styles of a job as its row names them: `image`, `weight` and, if it has one, `mask`."""
        return [
            Style(
                self._style(choice["image"]),
                choice["weight"],
                self.load(choice["mask"]).mask if choice.get("mask") else None,
                key=choice["image"],
            )
            for choice in choices
        ]

    def _style(self, image_id: str) -> Picture:
        found = self._kept.get(image_id)
        if found is not None:
            return found
        picture = self.load(image_id).rgb
        picture.setflags(write=False)
        if picture.nbytes <= self._kept.maxsize:
            self._kept[image_id] = picture
        return picture
