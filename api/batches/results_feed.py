"""The feed of a batch's results: one line of JSON for each item that has ended, in an order that never changes.

Each page is read in its own transaction, so a slow reader holds none open. While the database is away the feed only
keeps itself alive, and goes on once it is back.

Invariant: a reader that resumes after the last number it read misses no line and sees none twice. A feed that ends in
good order has sent everything that there was; one that cannot breaks its connection instead.
"""

import time
from collections.abc import Generator
from typing import NamedTuple

from api.live.hub import Hub
from api.serializers.batches import serialize_item_result
from shared.db.base import Database
from shared.db.batches import counts, lifecycle
from shared.errors import DatabaseUnavailable

#: Results read at once.
_PAGE = 200
#: Time between two polls for new results, and between two keep-alives, in seconds.
_POLL_S = 0.5
_KEEPALIVE_S = 15.0
_KEEPALIVE = b"\n"


class _Page(NamedTuple):
    """Whole lines, the number of the last one, and whether the batch had ended before they were read."""

    lines: bytes
    last_number: int
    has_batch_ended: bool


def lines(
    database: Database, hub: Hub, batch_id: str, *, after: int, follow: bool, max_duration_s: float
) -> Generator[bytes, None, None]:
    """Yield the results numbered above `after`, in chunks of whole lines; an empty line is a keep-alive.

    With `follow`, wait for more until the batch ends, the server stops or `max_duration_s` has passed; begin with an
    empty line, so that the client has an answer at once. Raises `DatabaseUnavailable` if the database is still away
    then.
    """
    sent_at = time.monotonic()
    deadline = sent_at + max_duration_s
    if follow:
        yield _KEEPALIVE
    while True:
        is_last_read = hub.closed or time.monotonic() > deadline
        page = _read_page(database, batch_id, after, required=is_last_read)
        if page is not None and page.lines:
            after = page.last_number
            sent_at = time.monotonic()
            yield page.lines
        elif is_last_read or (page is not None and (page.has_batch_ended or not follow)):
            return
        else:
            if time.monotonic() - sent_at > _KEEPALIVE_S:
                sent_at = time.monotonic()
                yield _KEEPALIVE
            time.sleep(_POLL_S)


def _read_page(database: Database, batch_id: str, after: int, *, required: bool) -> _Page | None:
    """Read the next lines; while the database is away return None, unless they are `required`."""
    try:
        with database.reading() as session:
            has_ended = lifecycle.get_batch(session, batch_id).ended_at is not None
            found = counts.list_results(session, batch_id, after=after, limit=_PAGE)
    except DatabaseUnavailable:
        if required:
            raise
        return None
    views = [serialize_item_result(number, job) for number, job in found]
    lines = b"".join(view.model_dump_json().encode() + b"\n" for view in views)
    return _Page(lines, views[-1].number if views else after, has_ended)
