"""What became of the items of one request: counts, and the first of those rejected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from api.schemas import batches as schemas
from shared.errors import AtelierError

#: Errors that are told one by one.
MOST_ERRORS = 1_000


class Offer(NamedTuple):
    """One item as it came, or why it is none."""

    #: Its place in what was sent, from 1.
    line: int
    key: str | None
    item: object | AtelierError


class Mistake(NamedTuple):
    """Why an item was not taken."""

    line: int
    key: str | None
    error: AtelierError


@dataclass
class Tally:
    """What became of the items so far."""

    added: int = 0
    existing: int = 0
    rejected: int = 0
    skipped: int = 0
    #: The first of those rejected.
    mistakes: list[Mistake] = field(default_factory=list)

    def skip(self) -> None:
        """Count a file that is no picture by its kind."""
        self.skipped += 1

    def reject(self, line: int, key: str | None, error: AtelierError) -> None:
        """Count an item that was not taken."""
        self.rejected += 1
        if len(self.mistakes) < MOST_ERRORS:
            self.mistakes.append(Mistake(line, key, error))


def added_view(batch_id: str, tally: Tally) -> schemas.AddedView:
    """Show what became of items."""
    path = f"/v1/batches/{batch_id}"
    told = [
        schemas.ItemErrorView(line=line, key=key, code=error.code, detail=error.detail)
        for line, key, error in tally.mistakes
    ]
    return schemas.AddedView(
        added=tally.added,
        existing=tally.existing,
        rejected=tally.rejected,
        skipped=tally.skipped,
        errors=told,
        links={"batch": path, "start": f"{path}/start"},
    )
