"""Bulk actions: count the jobs that a filter matches, start an action on them, stop it.

Maintenance carries them out; a client's action reaches only its own jobs.
"""

from sqlalchemy.orm import Session

from api.access import Caller
from api.schemas.bulk_actions import OperationRequest
from shared import logs
from shared.db.admin import audit, bulk_actions
from shared.db.base import Database, on_commit
from shared.db.models import Operation

log = logs.get(__name__)


def count(database: Database, caller: Caller, request: OperationRequest) -> int:
    """Count the jobs that an action would affect, exactly up to `bulk_actions.MOST_COUNTED`."""
    with database.reading() as session:
        return bulk_actions.count_matches(session, request.action, request.filter.to_db_filter(caller.sees))


def start(session: Session, caller: Caller, request: OperationRequest, matched: int) -> Operation:
    """Start a bulk action that matched that many jobs: nothing → running."""
    chosen = bulk_actions.filter_to_json(request.filter.to_db_filter(caller.sees))
    made = Operation(action=request.action, chosen=chosen, reason=request.reason.strip(), key_id=caller.key_id)
    made.owner, made.matched, made.time_limit_s = caller.sees, matched, request.time_limit_s
    bulk_actions.create(session, made)
    changes = {} if request.time_limit_s is None else {"time_limit_s": request.time_limit_s}
    details = {"action": request.action, "filter": chosen, **changes}
    audit.record(session, caller, "operation.start", made.id, count=matched, reason=made.reason, details=details)
    on_commit(session, log.info, "operation_started", operation_id=made.id, action=made.action, matched=matched)
    return made


def stop(database: Database, caller: Caller, operation_id: str) -> Operation:
    """Stop a bulk action before its next jobs; raise `NotFound`, or `IllegalTransition` if it is done."""
    with database.writing("stop_operation") as session:
        found = bulk_actions.stop(session, operation_id, owner=caller.sees)
        audit.record(session, caller, "operation.stop", operation_id, count=found.done)
    log.info("operation_stopped", operation_id=operation_id, done=found.done)
    return found
