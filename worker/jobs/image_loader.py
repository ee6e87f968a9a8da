"""Loads a job's images from storage, decoded as the engine takes them.

Jobs come in series of one style, so the process caches decoded styles up to a total size, evicting the least recently
used. A style larger than the whole cache is decoded for each message.

They are decoded in processes of their own: this one holds the device and the warm network, which a file that crashes
its decoder would take down.

Invariant: a cached picture is read-only, and its key, the image's id, is the sha256 of the uploaded bytes.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from cachetools import LRUCache, cachedmethod

from shared.errors import CorruptImage, NotFound
from shared.imaging.codec import Decoded
from shared.imaging.decoders.pool import Decoders
from shared.imaging.metadata import Kept
from shared.storage.store import ImageStore, image_key
from worker.engine.types import Style

#: Size of the style cache, in bytes: about twenty pictures of a million pixels.
_CACHE_BYTES = 256 * 2**20
#: For whom a worker decodes: it takes jobs one after the other, and each owner's turn was settled in the queue.
_OWNER = "worker"


class ImageLoader:
    """Loads images by id. Raises `CorruptImage` for one that is missing, and what `Decoders.decode` raises."""

    def __init__(self, store: ImageStore, decoders: Decoders, *, cache_bytes: int = _CACHE_BYTES) -> None:
        """Load images from `store`, decoded by `decoders`; cache up to `cache_bytes` of styles."""
        self._store = store
        self._decoders = decoders
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
        return self._decoders.decode(self._read(image_id), owner=_OWNER)

    def metadata(self, image_id: str) -> Kept | None:
        """Load what a result may keep of a photograph's metadata; None if it has none."""
        return self._decoders.metadata(self._read(image_id), owner=_OWNER)

    def styles(self, choices: Sequence[Mapping[str, Any]]) -> list[Style]:
        """Load the styles that a job's row lists, each as `image`, `weight` and, optionally, `mask`."""
        return [self._loaded_style(choice) for choice in choices]

    def _loaded_style(self, choice: Mapping[str, Any]) -> Style:
        picture, opacity = self._style(choice["image"])
        mask = self.load(choice["mask"]).mask if choice.get("mask") else None
        return Style(picture, choice["weight"], mask, key=choice["image"], opacity=opacity)

    def _read(self, image_id: str) -> bytes:
        try:
            return self._store.get(image_key(image_id))
        except NotFound:
            raise CorruptImage(f"The bytes of image {image_id} are missing from storage.", image=image_id) from None

    @cachedmethod(attrgetter("_styles"), key=lambda _, image_id: image_id)
    def _style(self, image_id: str) -> Decoded:
        decoded = self.load(image_id)
        for plane in decoded:
            if plane is not None:
                plane.setflags(write=False)
        return decoded
