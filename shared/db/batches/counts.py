"""How many items of a batch are in each state, and the order in which they ended.

An item that changes its state inserts a row in `batch_moves` in the same transaction; maintenance later folds these
into the batch's row. So workers never contend for a batch's row, and items need not be counted.

Invariant: in any snapshot, the counts in a batch's row plus its unfolded moves are the counts of its items. Items of
ended batches that are deleted with their history are the exception: they stay counted.
Invariant: result numbers are assigned while the batch's row is locked, so a reader never misses a lower number.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import groupby

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from shared.db.models import Batch, BatchMove, BatchResult, Job
from shared.states import TERMINAL, State

#: Moves folded in one transaction.
_CHUNK_SIZE = 5_000


def count_items(session: Session, batches: Collection[Batch]) -> dict[str, dict[State, int]]:
    """Return how many items each of `batches` has in each state, as seen by this transaction."""
    unfolded = select(BatchMove.batch_id, BatchMove.was, BatchMove.became, func.sum(BatchMove.count))
    unfolded = unfolded.where(BatchMove.batch_id.in_([batch.id for batch in batches]))
    moves: dict[str, Counter[str]] = {batch.id: Counter() for batch in batches}
    for batch_id, was, became, count in session.execute(
        unfolded.group_by(BatchMove.batch_id, BatchMove.was, BatchMove.became)
    ):
        _shift(moves[batch_id], was, became, int(count))
    return {
        batch.id: {state: count + moves[batch.id][state] for state, count in stored_counts(batch).items()}
        for batch in batches
    }


def stored_counts(batch: Batch) -> dict[State, int]:
    """Return the counts in the batch's row, without unfolded moves."""
    return {state: getattr(batch, state) for state in State}


def fold(session: Session) -> int:
    """Fold moves into their batches' rows and append ended items to the results; return how many moves."""
    oldest = select(BatchMove.id).order_by(BatchMove.id).limit(_CHUNK_SIZE).with_for_update(skip_locked=True)
    taken = delete(BatchMove).where(BatchMove.id.in_(list(session.scalars(oldest)))).returning(BatchMove)
    moves = list(session.scalars(taken.execution_options(synchronize_session=False)))
    moves.sort(key=lambda move: (move.batch_id, move.id))  # batches are locked in one order: no deadlock
    for batch_id, own in groupby(moves, lambda move: move.batch_id):
        _fold_into(session, batch_id, list(own))
    return len(moves)


def list_results(session: Session, batch_id: str, *, after: int, limit: int) -> list[tuple[int, Job]]:
    """Return up to `limit` ended items with their numbers, from the first number above `after`.

    Items that have left the batch since, by a retry or by deletion, are omitted.
    """
    query = (
        select(BatchResult.number, Job)
        .join(Job, (Job.id == BatchResult.job_id) & (Job.batch_id == batch_id))
        .where(BatchResult.batch_id == batch_id, BatchResult.number > after)
        .order_by(BatchResult.number)
        .limit(limit)
    )
    return [(number, job) for number, job in session.execute(query)]


def _fold_into(session: Session, batch_id: str, moves: Sequence[BatchMove]) -> None:
    batch = session.scalars(select(Batch).where(Batch.id == batch_id).with_for_update(key_share=True)).one_or_none()
    if batch is None:
        return
    changes = Counter[str]()
    for move in moves:
        _shift(changes, move.was, move.became, move.count)
    for state, change in changes.items():
        setattr(batch, state, getattr(batch, state) + change)
    ended = [move.job_id for move in moves if move.became in TERMINAL and move.job_id is not None]
    reused = select(func.count()).select_from(Job).where(Job.id.in_(ended), Job.reused_from.is_not(None))
    batch.reused += session.scalar(reused) or 0
    numbered = enumerate(ended, batch.results + 1)
    batch.results += len(ended)
    session.flush()
    if ended:
        rows = [{"batch_id": batch_id, "number": number, "job_id": job_id} for number, job_id in numbered]
        session.execute(insert(BatchResult), rows)


def _shift(counted: Counter[str], was: str | None, became: str | None, count: int) -> None:
    if was is not None:
        counted[was] -= count
    if became is not None:
        counted[became] += count
