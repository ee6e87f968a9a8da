"""Items on their way into a batch: checked one by one, added chunk by chunk, so that memory does not grow with them.

What many have in common is found out once: params that differ alike, contents of one size. A bad item is reported and
the others go on; the same item again is the one that is there, so that a request that broke off is simply sent again.

Invariant: each chunk is one transaction, in which the batch's row is locked; what was added stays, whatever follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.access import Caller
from api.batches.report import Offer, Tally
from api.http.problems import invalid, validated
from api.jobs import checks, estimates
from api.jobs.estimates import Sizes
from api.schemas.batches import ItemRequest, readable
from api.schemas.jobs import StyleChoice
from api.services import Services
from shared.db import images
from shared.db.access import quotas
from shared.db.batches import counts, lifecycle
from shared.db.batches import items as batch_items
from shared.db.batches.items import NewItem
from shared.db.jobs import queries
from shared.db.models import Batch
from shared.errors import AtelierError, BatchFull, DuplicateKey, InvalidParams, UnknownImage, UnsafePath
from shared.painting import sizes as sizes_of_scales
from shared.painting.keys import group_key, recipe_key, result_key
from shared.painting.params import resolve
from shared.painting.sizes import Size


class _Common(NamedTuple):
    """What items of one kind share."""

    params: dict[str, Any]
    styles: list[dict[str, Any]]
    way: str
    group_key: str | None
    predicted_s: float | None
    work: float


class Intake:
    """Takes the items of one request."""

    def __init__(self, services: Services, caller: Caller, batch_id: str) -> None:
        """Take items into a batch of the caller's; raise `NotFound`."""
        self._services, self._caller = services, caller
        with services.database.reading() as session:
            self._batch = lifecycle.get_batch(session, batch_id, owner=caller.sees)
        self._sizes: dict[str, Size] = {}
        self._common: dict[str, _Common | AtelierError] = {}
        self.tally = Tally()

    def take(self, offers: Iterable[Offer]) -> Tally:
        """Add what is good of `offers`, and count the rest.

        Raises `IllegalTransition` for a batch that is canceled, and `QuotaExceeded`; both say what was added before.
        """
        try:
            for chunk in _chunks(offers):
                self._take_chunk(chunk)
        except AtelierError as error:
            error.fields.update(added=self.tally.added, existing=self.tally.existing)
            raise
        return self.tally

    def _take_chunk(self, chunk: Sequence[Offer]) -> None:
        asked = list(self._validated(chunk))
        self._find_sizes({image for _, item in asked for image in _images_of(item)})
        good: list[tuple[int, NewItem]] = []
        for line, item in asked:
            try:
                good.append((line, self._prepared(item)))
            except AtelierError as error:
                self.tally.reject(line, item.key, error)
        while not self._added(good):  # again without the items whose pictures have gone meanwhile
            good = [(line, item) for line, item in good if item.content_id in self._sizes]

    def _validated(self, chunk: Sequence[Offer]) -> Iterator[tuple[int, ItemRequest]]:
        for line, key, item in chunk:
            if isinstance(item, AtelierError):
                self.tally.reject(line, key, item)
                continue
            try:
                yield line, validated(ItemRequest, item)
            except InvalidParams as error:
                given = item.get("key") if isinstance(item, dict) else None
                unsafe = any(mistake["pointer"] == "/key" for mistake in error.fields["errors"])
                self.tally.reject(
                    line,
                    None if given is None else readable(given),
                    UnsafePath(error.detail) if unsafe and given else error,
                )

    def _find_sizes(self, image_ids: set[str]) -> None:
        wanted = image_ids - set(self._sizes)
        if wanted:
            with self._services.database.reading() as session:
                found = queries.get_images(session, wanted, owner=self._caller.sees)
            self._sizes |= {image_id: (image.height, image.width) for image_id, image in found.items()}

    def _prepared(self, item: ItemRequest) -> NewItem:
        """Check an item and work out what dispatch needs to know of it."""
        styles = [StyleChoice(**style) for style in self._batch.styles] if item.styles is None else item.styles
        sizes = Sizes(self._size(item.content), [self._size(style.image) for style in styles])
        same = json.dumps([item.params, item.styles and [style.model_dump() for style in styles], sizes.content])
        if same not in self._common:
            try:
                self._common[same] = self._worked_out(item, styles, sizes)
            except AtelierError as error:
                self._common[same] = error
        common = self._common[same]
        if isinstance(common, AtelierError):
            raise common
        key = result_key(common.way, item.content)
        rest = (common.params, common.styles, common.group_key, key, common.predicted_s, common.work)
        return NewItem(item.key, item.content, *rest)

    def _worked_out(self, item: ItemRequest, styles: list[StyleChoice], sizes: Sizes) -> _Common:
        batch = self._batch
        try:
            params = resolve(batch.preset, {**batch.params, **item.params})
        except ValidationError as error:
            raise invalid(error, at="/params") from None
        checks.check_sizes(params, *sizes)
        for number, style in enumerate(styles):
            if style.mask:
                self._find_sizes({style.mask})
                checks.check_mask_shape(f"/styles/{number}/mask", self._size(style.mask), sizes.content)
        with self._services.database.reading() as session:
            estimate = estimates.estimate(session, params, sizes)
        chosen = [style.model_dump(exclude_none=True) for style in styles]
        painted = params.model_dump(mode="json")
        return _Common(
            painted,
            chosen,
            recipe_key(painted, chosen, None, batch.weights_wanted),
            group_key(params, chosen, sizes.content, batch.weights_wanted, None),
            estimate.seconds if estimate else None,
            sizes_of_scales.work(params, sizes.content, sizes.styles),
        )

    def _size(self, image_id: str) -> Size:
        if image_id not in self._sizes:
            self._find_sizes({image_id})
        try:
            return self._sizes[image_id]
        except KeyError:
            raise UnknownImage(f"No image {image_id} has been uploaded.", images=[image_id]) from None

    def _added(self, good: Sequence[tuple[int, NewItem]]) -> bool:
        """Add a chunk in one transaction; False if pictures of it have gone meanwhile, which are then unknown here."""
        line_of = {id(item): line for line, item in good}
        try:
            with self._services.database.writing("add_items") as session:
                batch = lifecycle.lock_batch(session, self._batch.id, owner=self._caller.sees)
                found = batch_items.classify(session, batch, [item for _, item in good])
                new, beyond = self._within_bound(session, batch, found.new)
                self._charge(session, new)
                images.record_use(session, {item.content_id for item in new} | _images_of_styles(new))
                batch_items.add(session, batch, new)
        except UnknownImage as error:
            return self._forgot(good, error)
        self.tally.added += len(new)
        self.tally.existing += len(found.existing)
        for item in found.conflicting:
            self.tally.reject(line_of[id(item)], item.key, DuplicateKey(f"Another item has the key {item.key}."))
        for item in beyond:
            most = self._services.settings.max_batch_items
            self.tally.reject(line_of[id(item)], item.key, BatchFull(f"A batch has {most} items at most."))
        return True

    def _within_bound(self, session: Session, batch: Batch, new: list[NewItem]) -> tuple[list[NewItem], list[NewItem]]:
        total = sum(counts.count_items(session, [batch])[batch.id].values())
        room = max(0, self._services.settings.max_batch_items - total)
        return new[:room], new[room:]

    def _charge(self, session: Session, new: Sequence[NewItem]) -> None:
        if new:
            quotas.charge(session, self._caller.quota, work=sum(item.work for item in new), count=len(new))

    def _forgot(self, good: Sequence[tuple[int, NewItem]], error: UnknownImage) -> bool:
        gone = set(error.fields["images"])
        for image_id in gone:
            self._sizes.pop(image_id, None)
        for line, item in good:
            if item.content_id in gone:
                self.tally.reject(line, item.key, error)
        if not any(item.content_id in gone for _, item in good):
            raise error  # a style of the batch's has gone: nothing can be added
        return False


def _images_of(item: ItemRequest) -> set[str]:
    return {item.content, *(style.image for style in item.styles or ())}


def _images_of_styles(items: Sequence[NewItem]) -> set[str]:
    return {style[part] for item in items for style in item.styles for part in ("image", "mask") if style.get(part)}


def _chunks(offers: Iterable[Offer]) -> Iterator[list[Offer]]:
    """Gather what is added in one transaction; what was offered before the offers broke off is a last chunk."""
    chunk: list[Offer] = []
    try:
        for offer in offers:
            chunk.append(offer)
            if len(chunk) == batch_items.CHUNK_SIZE:
                yield chunk
                chunk = []
    except AtelierError:
        yield chunk
        raise
    yield chunk
