"""What can be asked of many jobs at once: count what a filter finds, have it dealt with, stop that. No HTTP here.

Carrying it out is maintenance's; a client's operation reaches only its own jobs.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from api.access import Caller
from api.schemas.bulk_actions import OperationRequest
from api.services import Services
from shared import logs
from shared.db.admin import audit, bulk_actions
from shared.db.models import Operation

log = logs.get(__name__)


def count(services: Services, caller: Caller, asked: OperationRequest) -> int:
    """Count the jobs that an operation would be about, exactly up to `operations.MOST_COUNTED`."""
    with services.database.reading() as session:
        return bulk_actions.count_matches(session, asked.action, asked.filter.wanted(caller.sees))


def start(
    services: Services, caller: Caller, asked: OperationRequest, *, note: Callable[[Session, Operation], None]
) -> Operation:
    """Begin an operation: nothing → running. `note` is called in the transaction."""
    chosen = bulk_actions.filter_to_json(asked.filter.wanted(caller.sees))
    found = Operation(action=asked.action, chosen=chosen, reason=asked.reason.strip(), key_id=caller.key_id)
    found.owner, found.matched = caller.sees, count(services, caller, asked)
    with services.database.writing("start_operation") as session:
        bulk_actions.create(session, found)
        details = {"action": asked.action, "filter": chosen}
        audit.record(
            session, caller, "operation.start", found.id, count=found.matched, reason=found.reason, details=details
        )
        note(session, found)
    log.info("operation_started", operation_id=found.id, action=asked.action, matched=found.matched)
    return found


def stop(services: Services, caller: Caller, operation_id: str) -> Operation:
    """Have an operation deal with no further job; raise `NotFound`, or `IllegalTransition` if it is through."""
    with services.database.writing("stop_operation") as session:
        found = bulk_actions.stop(session, operation_id, owner=caller.sees)
        audit.record(session, caller, "operation.stop", operation_id, count=found.done)
    log.info("operation_stopped", operation_id=operation_id, done=found.done)
    return found
