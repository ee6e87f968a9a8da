"""Loads a job's images from storage, decoded as the engine takes them.

Jobs come in series of one style, so the process caches decoded styles up to a total size, evicting the least recently
used. A style larger than the whole cache is decoded for each message.

Invariant: a cached picture is read-only, and its key, the image's id, is the sha256 of the uploaded bytes.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from cachetools import LRUCache, cachedmethod

from shared.errors import CorruptImage, NotFound
from shared.imaging import codec
from shared.imaging.codec import Decoded
from shared.storage.store import ImageStore, image_key
from worker.engine.types import Style

#: Size of the style cache, in bytes: about twenty pictures of a million pixels.
_CACHE_BYTES = 256 * 2**20


class ImageLoader:
    """Loads images by id. Raises `CorruptImage` for one that is missing, and what `codec.decode` raises."""

    def __init__(self, store: ImageStore, *, max_px: int, cache_bytes: int = _CACHE_BYTES) -> None:
        """Load images of up to `max_px` pixels from `store`; cache up to `cache_bytes` of styles."""
        self._store = store
        self._max_px = max_px
        self._styles: LRUCache[str, Decoded] = LRUCache(cache_bytes, getsizeof=lambda decoded: decoded.nbytes)

    @property
    def cached_styles(self) -> list[str]:
        """The image ids of the cached styles, most recently used first; for the loading thread only."""
        return list(reversed(list(self._styles)))

    @property
    def cached_bytes(self) -> int:
        """What the cached styles take."""
        return int(self._styles.currsize)

    def load(self, image_id: str) -> Decoded:
        """Load a picture and its opacity."""
        try:
            data = self._store.get(image_key(image_id))
        except NotFound:
            raise CorruptImage(f"The bytes of image {image_id} are missing from storage.", image=image_id) from None
        return codec.decode(data, max_px=self._max_px)

    def styles(self, choices: Sequence[Mapping[str, Any]]) -> list[Style]:
        """Load the styles that a job's row lists, each as `image`, `weight` and, optionally, `mask`."""
        return [self._loaded_style(choice) for choice in choices]

    def _loaded_style(self, choice: Mapping[str, Any]) -> Style:
        picture, opacity = self._style(choice["image"])
        mask = self.load(choice["mask"]).mask if choice.get("mask") else None
        return Style(picture, choice["weight"], mask, key=choice["image"], opacity=opacity)

    @cachedmethod(attrgetter("_styles"), key=lambda _, image_id: image_id)
    def _style(self, image_id: str) -> Decoded:
        decoded = self.load(image_id)
        for plane in decoded:
            if plane is not None:
                plane.setflags(write=False)
        return decoded
