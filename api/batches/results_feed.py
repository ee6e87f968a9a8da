"""The feed of a batch's results: one line of JSON for each item that has ended, in an order that never changes.

Each page is read in its own transaction, so a slow reader holds none open.

Invariant: a reader that resumes after the last number it read misses no line and sees none twice.
"""

import time
from collections.abc import Iterator

from api.live.hub import Hub
from api.serializers.batches import serialize_item_result
from shared.db.base import Database
from shared.db.batches import counts, lifecycle

#: Results read at once.
_PAGE = 200
#: Time between two polls for new results, and between two keep-alives, in seconds.
_POLL_S = 0.5
_KEEPALIVE_S = 15.0


def lines(
    database: Database, hub: Hub, batch_id: str, *, after: int, follow: bool, max_duration_s: float
) -> Iterator[bytes]:
    """Yield the results numbered above `after`, in chunks of whole lines; an empty line is a keep-alive.

    With `follow`, wait for more until the batch ends, the server stops or `max_duration_s` has passed.
    """
    sent_at = time.monotonic()
    deadline = sent_at + max_duration_s
    while True:
        page, ended = _page(database, batch_id, after)
        if page:
            after = page[-1][0]
            sent_at = time.monotonic()
            yield b"".join(line for _, line in page)
        elif ended or not follow or hub.closed or time.monotonic() > deadline:
            return
        else:
            if time.monotonic() - sent_at > _KEEPALIVE_S:
                sent_at = time.monotonic()
                yield b"\n"
            time.sleep(_POLL_S)


def _page(database: Database, batch_id: str, after: int) -> tuple[list[tuple[int, bytes]], bool]:
    """Read the next numbered lines, and whether the batch had ended before they were read."""
    with database.reading() as session:
        ended = lifecycle.get_batch(session, batch_id).ended_at is not None
        found = counts.list_results(session, batch_id, after=after, limit=_PAGE)
        lines = [
            (number, serialize_item_result(number, job).model_dump_json().encode() + b"\n") for number, job in found
        ]
    return lines, ended
