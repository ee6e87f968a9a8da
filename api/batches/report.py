"""What a request's items become on their way into a batch: candidates, then counts and the first rejections."""

from dataclasses import dataclass, field
from typing import NamedTuple

from api.schemas import batches as schemas
from shared.errors import AtelierError

#: Rejections that are reported one by one; the rest are only counted.
MAX_REJECTIONS = 1_000


class Candidate(NamedTuple):
    """An item as it was sent, or the error found while reading it."""

    #: Its position in the request, from 1.
    line: int
    key: str | None
    item: object | AtelierError


class Rejection(NamedTuple):
    """Why an item was not added."""

    line: int
    key: str | None
    error: AtelierError


@dataclass
class IngestReport:
    """Counts of the items processed so far."""

    added: int = 0
    existing: int = 0
    rejected: int = 0
    skipped: int = 0
    #: The first `MAX_REJECTIONS`.
    rejections: list[Rejection] = field(default_factory=list)

    def skip(self) -> None:
        """Count a file that is not a picture."""
        self.skipped += 1

    def reject(self, line: int, key: str | None, error: AtelierError) -> None:
        """Count an item that was not added."""
        self.rejected += 1
        if len(self.rejections) < MAX_REJECTIONS:
            self.rejections.append(Rejection(line, key, error))


def serialize_report(batch_id: str, report: IngestReport) -> schemas.AddedView:
    """Serialize a report for the client."""
    path = f"/v1/batches/{batch_id}"
    return schemas.AddedView(
        added=report.added,
        existing=report.existing,
        rejected=report.rejected,
        skipped=report.skipped,
        errors=[
            schemas.ItemErrorView(line=line, key=key, code=error.code, detail=error.detail)
            for line, key, error in report.rejections
        ],
        links={"batch": path, "start": f"{path}/start"},
    )
