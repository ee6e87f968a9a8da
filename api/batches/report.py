"""What a request's items become on their way into a batch: candidates, then counts and the first rejections."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from api.schemas import batches as schemas
from shared.errors import AtelierError, NothingAdded

#: Rejections that are reported one by one; the rest are only counted.
MAX_REJECTIONS = 1_000


#: Counts a file that is no picture, or with its kind, such as `cr2`, a picture that cannot be read.
Skip = Callable[[str | None], None]


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
    #: Pictures that cannot be read, by their kinds.
    unreadable: Counter[str] = field(default_factory=Counter)
    #: The first `MAX_REJECTIONS`.
    rejections: list[Rejection] = field(default_factory=list)

    def skip(self, unreadable: str | None) -> None:
        """Count a file that is not a picture, or a picture of a kind that cannot be read."""
        if unreadable is None:
            self.skipped += 1
        else:
            self.unreadable[unreadable] += 1

    def reject(self, line: int, key: str | None, error: AtelierError) -> None:
        """Count an item that was not added."""
        self.rejected += 1
        if len(self.rejections) < MAX_REJECTIONS:
            self.rejections.append(Rejection(line, key, error))


def require_added(report: IngestReport) -> None:
    """Raise `NothingAdded`, with the reasons, if nothing of an archive or a folder is in the batch."""
    if report.added or report.existing:
        return
    reasons = []
    if report.rejections:
        first = report.rejections[0]
        reasons.append(f"{report.rejected} rejected, the first, {first.key}: {first.error.detail.rstrip('.')}")
    if report.unreadable:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.unreadable.most_common())
        reasons.append(f"{report.unreadable.total()} of kinds that cannot be read ({kinds})")
    if report.skipped:
        reasons.append(f"{report.skipped} skipped, as folders and files that are no pictures are")
    raise NothingAdded(
        f"Nothing could be added: {'; '.join(reasons) or 'there are no files'}.",
        rejected=report.rejected,
        skipped=report.skipped,
        unreadable=dict(report.unreadable),
        errors=[error.model_dump() for error in _errors(report)],
    )


def serialize_report(batch_id: str, report: IngestReport) -> schemas.AddedView:
    """Serialize a report for the client."""
    path = f"/v1/batches/{batch_id}"
    return schemas.AddedView(
        added=report.added,
        existing=report.existing,
        rejected=report.rejected,
        skipped=report.skipped,
        unreadable=dict(report.unreadable),
        errors=_errors(report),
        links={"batch": path, "start": f"{path}/start"},
    )


def _errors(report: IngestReport) -> list[schemas.ItemErrorView]:
    return [
        schemas.ItemErrorView(line=line, key=key, code=error.code, detail=error.detail)
        for line, key, error in report.rejections
    ]
