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
from shared.imaging import codec, metadata
from shared.imaging.codec import Decoded
from shared.imaging.metadata import Kept
from shared.storage.store import ImageStore, image_key
from worker.engine.types import Picture, Style

#: Size of the style cache, in bytes: about twenty pictures of a million pixels.
_CACHE_BYTES = 256 * 2**20


class ImageLoader:
    """Loads images by id. Raises `CorruptImage` for one that is missing, and what `codec.decode` raises."""

    def __init__(self, store: ImageStore, *, max_px: int, cache_bytes: int = _CACHE_BYTES) -> None:
        """Load images of up to `max_px` pixels from `store`; cache up to `cache_bytes` of styles."""
        self._store = store
        self._max_px = max_px
        self._styles: LRUCache[str, Picture] = LRUCache(cache_bytes, getsizeof=lambda picture: picture.nbytes)

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
        return codec.decode(self._read(image_id), max_px=self._max_px)

    def metadata(self, image_id: str) -> Kept | None:
        """Load what a result may keep of a photograph's metadata; None if it has none."""
        return metadata.read(self._read(image_id), codec.FORMATS)

    def styles(self, choices: Sequence[Mapping[str, Any]]) -> list[Style]:
        """Load the styles that a job's row lists, each as `image`, `weight` and, optionally, `mask`."""
        return [
            Style(
                self._style(choice["image"]),
                choice["weight"],
                self.load(choice["mask"]).mask if choice.get("mask") else None,
                key=choice["image"],
            )
            for choice in choices
        ]

    def _read(self, image_id: str) -> bytes:
        try:
            return self._store.get(image_key(image_id))
        except NotFound:
            raise CorruptImage(f"The bytes of image {image_id} are missing from storage.", image=image_id) from None

    @cachedmethod(attrgetter("_styles"), key=lambda _, image_id: image_id)
    def _style(self, image_id: str) -> Picture:
        picture = self.load(image_id).rgb
        picture.setflags(write=False)
        return picture
