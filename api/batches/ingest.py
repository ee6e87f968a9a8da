"""Adds items to a batch: each is checked by itself, and they are stored in chunks, so that memory stays bounded.

What many items share is computed once: the parameters of items that differ alike, for contents of one size. A bad item
is reported and the rest are added. Adding an item again changes nothing, so a client may repeat a broken request.

Invariant: a chunk is one transaction, which holds the lock on the batch's row; chunks that were added stay.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from api.access import Caller
from api.batches.report import Candidate, IngestReport
from api.http.problems import validated
from api.jobs import checks, estimates
from api.jobs.estimates import Sizes
from api.schemas.batches import ItemRequest, printable_key
from api.schemas.jobs import StyleChoice
from shared.db import images
from shared.db.access import quotas
from shared.db.base import Database
from shared.db.batches import counts, lifecycle
from shared.db.batches import items as batch_items
from shared.db.batches.items import NewItem
from shared.db.jobs import queries
from shared.errors import AtelierError, BatchFull, DuplicateKey, InvalidParams, InvalidRequest, UnknownImage, UnsafePath
from shared.painting import sizes as sizes_of_scales
from shared.painting.keys import group_key, recipe_key, result_key
from shared.painting.sizes import Size

#: How many more items than a batch may have are rejected before the rest of a request is left unread.
_MOST_REJECTED = 1000


class _Plan(NamedTuple):
    """What items with the same parameters, styles and content size share."""

    params: dict[str, Any]
    styles: list[dict[str, Any]]
    recipe_key: str
    group_key: str | None
    predicted_s: float | None
    work: float


class BatchIngest:
    """Adds the items of one request to a batch."""

    def __init__(
        self, database: Database, caller: Caller, batch_id: str, *, max_items: int, attend: Callable[[], None]
    ) -> None:
        """Prepare to add items to a batch that the caller sees; raise `NotFound`.

        `attend` is called before each item, and ends the work by raising.
        """
        self._database, self._caller, self._max_items, self._attend = database, caller, max_items, attend
        with database.reading() as session:
            self._batch = lifecycle.get_batch(session, batch_id, owner=caller.sees)
        self._sizes: dict[str, Size] = {}
        #: The images whose sizes were looked for last, whether or not they exist.
        self._looked_for: set[str] = set()
        self._plans: dict[str, _Plan | AtelierError] = {}
        self.report = IngestReport()

    def add(self, candidates: Iterable[Candidate]) -> IngestReport:
        """Add the valid candidates and count the others.

        Raises `IllegalTransition` if the batch is canceled, `QuotaExceeded`, `InvalidRequest` after a great many
        rejections, and what `attend` does; all say how many were added before.
        """
        try:
            for chunk in _chunks(candidates, self._attend):
                self._add_chunk(chunk)
                if self.report.rejected > _MOST_REJECTED + self._max_items:
                    raise InvalidRequest(f"{self.report.rejected} items were rejected; the rest was not read.")
        except AtelierError as error:
            error.fields.update(added=self.report.added, existing=self.report.existing)
            raise
        return self.report

    def _add_chunk(self, chunk: Sequence[Candidate]) -> None:
        requests = list(self._validated(chunk))
        self._load_sizes({image for _, item in requests for image in _images_of(item)})
        valid: list[tuple[int, NewItem]] = []
        for line, item in requests:
            try:
                valid.append((line, self._prepared(item)))
            except AtelierError as error:
                self.report.reject(line, item.key, error)
        while not self._store(valid):
            valid = [(line, item) for line, item in valid if item.content_id in self._sizes]

    def _validated(self, chunk: Sequence[Candidate]) -> Iterator[tuple[int, ItemRequest]]:
        for line, key, item in chunk:
            if isinstance(item, AtelierError):
                self.report.reject(line, key, item)
                continue
            try:
                yield line, validated(ItemRequest, item)
            except InvalidParams as error:
                given = item.get("key") if isinstance(item, dict) else None
                is_unsafe = any(each["pointer"] == "/key" for each in error.fields["errors"])
                self.report.reject(
                    line,
                    None if given is None else printable_key(given),
                    UnsafePath(error.detail) if is_unsafe and given else error,
                )

    def _load_sizes(self, image_ids: set[str]) -> None:
        missing = {image_id for image_id in image_ids if image_id not in self._sizes}
        self._looked_for = image_ids
        if missing:
            with self._database.reading() as session:
                found = queries.get_images(session, missing, owner=self._caller.sees)
            self._sizes |= {image_id: (image.height, image.width) for image_id, image in found.items()}

    def _prepared(self, item: ItemRequest) -> NewItem:
        """Check an item and compute what dispatch needs to know about it."""
        styles = [StyleChoice(**style) for style in self._batch.styles] if item.styles is None else item.styles
        sizes = Sizes(self._size(item.content), [self._size(style.image) for style in styles])
        same = json.dumps([item.params, item.styles and [style.model_dump() for style in styles], sizes.content])
        if same not in self._plans:
            try:
                self._plans[same] = self._plan(item, styles, sizes)
            except AtelierError as error:
                self._plans[same] = error
        plan = self._plans[same]
        if isinstance(plan, AtelierError):
            raise plan
        return NewItem(
            key=item.key,
            content_id=item.content,
            params=plan.params,
            styles=plan.styles,
            group_key=plan.group_key,
            work_key=result_key(plan.recipe_key, item.content),
            predicted_s=plan.predicted_s,
            work=plan.work,
        )

    def _plan(self, item: ItemRequest, styles: list[StyleChoice], sizes: Sizes) -> _Plan:
        batch = self._batch
        params = checks.resolve_params(batch.preset, {**batch.params, **item.params})
        checks.check_sizes(params, *sizes)
        for number, style in enumerate(styles):
            if style.mask:
                checks.check_mask_shape(f"/styles/{number}/mask", self._size(style.mask), sizes.content)
        with self._database.reading() as session:
            estimate = estimates.estimate(session, params, sizes)
        chosen = [style.model_dump(exclude_none=True) for style in styles]
        resolved = params.model_dump(mode="json")
        return _Plan(
            params=resolved,
            styles=chosen,
            recipe_key=recipe_key(
                resolved, chosen, None, batch.weights_wanted, depth=batch.depth, keep_metadata=batch.keep_metadata
            ),
            group_key=group_key(params, chosen, sizes.content, batch.weights_wanted, None),
            predicted_s=estimate.seconds if estimate else None,
            work=sizes_of_scales.work(params, sizes.content, sizes.styles),
        )

    def _size(self, image_id: str) -> Size:
        if image_id not in self._looked_for:
            self._load_sizes({*self._looked_for, image_id})
        try:
            return self._sizes[image_id]
        except KeyError:
            raise UnknownImage(f"No image {image_id} has been uploaded.", images=[image_id]) from None

    def _store(self, valid: Sequence[tuple[int, NewItem]]) -> bool:
        """Add a chunk in one transaction; return False if content images were deleted meanwhile, and reject those."""
        line_of = {id(item): line for line, item in valid}
        try:
            with self._database.writing("add_items") as session:
                batch = lifecycle.lock_batch(session, self._batch.id, owner=self._caller.sees)
                found = batch_items.classify(session, batch, [item for _, item in valid])
                room = max(0, self._max_items - sum(counts.count_items(session, [batch])[batch.id].values()))
                new, excess = found.new[:room], found.new[room:]
                if new:
                    quotas.charge(
                        session,
                        self._caller.quota_for(session, batch.owner),
                        work=sum(item.work for item in new),
                        count=len(new),
                    )
                images.record_use(session, {item.content_id for item in new} | _images_of_styles(new))
                batch_items.add(session, batch, new)
        except UnknownImage as error:
            self._drop_missing_images(valid, error)
            return False
        self.report.added += len(new)
        self.report.existing += len(found.existing)
        for item in found.conflicting:
            self.report.reject(line_of[id(item)], item.key, DuplicateKey(f"Another item has the key {item.key}."))
        for item in excess:
            full = BatchFull(f"A batch may have at most {self._max_items} items.")
            self.report.reject(line_of[id(item)], item.key, full)
        return True

    def _drop_missing_images(self, valid: Sequence[tuple[int, NewItem]], error: UnknownImage) -> None:
        """Reject the items whose content is missing; raise `error` if it is a style, which all of them need."""
        missing = set(error.fields["images"])
        for image_id in missing:
            self._sizes.pop(image_id, None)
        dropped = [(line, item) for line, item in valid if item.content_id in missing]
        if not dropped:
            raise error
        for line, item in dropped:
            self.report.reject(line, item.key, error)


def _images_of(item: ItemRequest) -> set[str]:
    return {item.content, *(style.image for style in item.styles or ())}


def _images_of_styles(items: Sequence[NewItem]) -> set[str]:
    return {style[part] for item in items for style in item.styles for part in ("image", "mask") if style.get(part)}


def _chunks(candidates: Iterable[Candidate], attend: Callable[[], None]) -> Iterator[list[Candidate]]:
    """Group candidates by transaction; if reading fails, yield those read so far before the error is raised."""
    chunk: list[Candidate] = []
    try:
        for candidate in candidates:
            chunk.append(candidate)
            attend()
            if len(chunk) == batch_items.CHUNK_SIZE:
                yield chunk
                chunk = []
    except AtelierError:
        yield chunk
        raise
    yield chunk
