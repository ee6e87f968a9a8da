"""Pages of listings, by keyset cursors: opaque to clients, each holds the position of a page's last row.

Invariant: a page costs the same however far down the list it is, and rows added meanwhile neither repeat nor hide any.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, Field

from api.http.query import Count
from shared.errors import InvalidParams
from shared.ids import is_uuid

Row = TypeVar("Row")

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


class Page(NamedTuple, Generic[Row]):
    """Rows, and the cursor of the page that follows, if one does."""

    rows: list[Row]
    next_cursor: str | None


def page(
    listing: Callable[..., Sequence[Row]], limit: int, *, position: Callable[[Row], str] = attrgetter("id")
) -> Page[Row]:
    """Read a page of up to `limit` rows by `listing(limit=…)`, with one more to see whether another page follows.

    `position` returns what a listing continues after.
    """
    found = listing(limit=limit + 1)
    rows = list(found[:limit])
    return Page(rows, encode(position(rows[-1])) if len(found) > limit else None)


def encode(position: str) -> str:
    """Return the cursor of the page after the row at `position`."""
    return urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """Return the id that a cursor holds, None for the first page; raise `InvalidParams` for anything else."""
    last_id = decode_text(cursor)
    if last_id is not None and not is_uuid(last_id):
        raise invalid_cursor()
    return last_id


def decode_text(cursor: str | None) -> str | None:
    """Return the text that a cursor holds, None for the first page; raise `InvalidParams`."""
    if not cursor:
        return None
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        raise invalid_cursor() from None


def invalid_cursor() -> InvalidParams:
    """Make the error of a cursor that this service did not issue."""
    return InvalidParams("The cursor is not valid.", errors=[{"pointer": "cursor", "detail": "a `next_cursor`"}])


#: How models declare the two parameters of every listing; what a cursor decodes to is up to the listing.
LIMIT: Any = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Rows per page.")
CURSOR: Any = Field(None, description="The `next_cursor` of the previous page.")


class PageQuery(BaseModel):
    """Which page of a listing."""

    limit: Count = LIMIT
    #: The id of the last row of the page before.
    cursor: Annotated[str | None, BeforeValidator(decode)] = CURSOR
