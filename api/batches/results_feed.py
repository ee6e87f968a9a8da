"""The feed of a batch's results: a line of JSON for each item that ended, in an order that never changes.

A reader that comes back with the last number it read goes on behind it. Pages are read in transactions of their own, so
that nothing is held open however slowly somebody reads.

Invariant: no line is left out or told twice to a reader that goes on by numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from api.serializers.batches import item_result
from api.services import Services
from shared.db.batches import counts, lifecycle

#: Results read at once.
_PAGE = 200
#: Pause between two looks for new results, and longest silence, in seconds.
_LOOK_EVERY_S = 0.5
_BEAT_S = 15.0


def lines(services: Services, batch_id: str, *, after: int, follow: bool) -> Iterator[bytes]:
    """Yield results behind the number `after`; with `follow` those to come too, until batch or stream's life ends.

    An empty line is a sign of life.
    """
    spoke_at = time.monotonic()
    deadline = spoke_at + services.settings.stream_life_s
    while True:
        page, ended = _page(services, batch_id, after)
        if page:
            after = page[-1][0]
            spoke_at = time.monotonic()
            yield b"".join(line for _, line in page)
        elif ended or not follow or services.hub.closed or time.monotonic() > deadline:
            return
        else:
            if time.monotonic() - spoke_at > _BEAT_S:
                spoke_at = time.monotonic()
                yield b"\n"
            time.sleep(_LOOK_EVERY_S)


def _page(services: Services, batch_id: str, after: int) -> tuple[list[tuple[int, bytes]], bool]:
    """Read the next results, and whether none will follow what there is now."""
    with services.database.reading() as session:
        ended = lifecycle.get_batch(session, batch_id).ended_at is not None
        found = counts.list_results(session, batch_id, after=after, limit=_PAGE)
        return [(number, item_result(number, job).model_dump_json().encode() + b"\n") for number, job in found], ended
