"""How many items of a batch are in each state, and in which order they ended.

An item that moves leaves a row in `batch_moves`, in the transaction that moves it; these are folded into the batch's
row a moment later, by whoever comes first. So workers never wait for one another's batch, and nobody counts items.

Invariant: a batch's row and its moves not yet folded add up to exactly its items, in any snapshot.
Invariant: numbers of results are given while the batch's row is locked: none appears behind one that could be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from shared.db.models import Batch, BatchMove, BatchResult, Job
from shared.states import TERMINAL, State

#: Moves folded in one transaction.
_AT_ONCE = 5_000


def count_items(session: Session, batches: Collection[Batch]) -> dict[str, dict[State, int]]:
    """Return how many items each of `batches` has in each state, as of this transaction."""
    unfolded = select(BatchMove.batch_id, BatchMove.was, BatchMove.became, func.sum(BatchMove.count))
    unfolded = unfolded.where(BatchMove.batch_id.in_([batch.id for batch in batches]))
    moves: dict[str, Counter[str]] = {batch.id: Counter() for batch in batches}
    for batch_id, was, became, count in session.execute(
        unfolded.group_by(BatchMove.batch_id, BatchMove.was, BatchMove.became)
    ):
        _shift(moves[batch_id], was, became, int(count))
    return {
        batch.id: {state: count + moves[batch.id][state] for state, count in in_row(batch).items()} for batch in batches
    }


def in_row(batch: Batch) -> dict[State, int]:
    """Return what the batch's row says alone."""
    return {state: getattr(batch, state) for state in State}


def fold(session: Session) -> int:
    """Take moves into their batches' rows, and what ended into their results; return how many moves."""
    oldest = select(BatchMove.id).order_by(BatchMove.id).limit(_AT_ONCE).with_for_update(skip_locked=True)
    taken = delete(BatchMove).where(BatchMove.id.in_(list(session.scalars(oldest)))).returning(BatchMove)
    moves = list(session.scalars(taken.execution_options(synchronize_session=False)))
    moves.sort(
        key=lambda move: (move.batch_id, move.id)
    )  # batches in one order, so that no two of these wait for each other
    for batch_id, own in groupby(moves, lambda move: move.batch_id):
        _fold_into(session, batch_id, list(own))
    return len(moves)


def list_results(session: Session, batch_id: str, *, after: int, limit: int) -> list[tuple[int, Job]]:
    """Return up to `limit` items that ended, with their numbers, those numbered higher than `after`.

    Items that have left the batch since, because they were tried again or deleted, are left out.
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
    batch.reused += _reused(session, ended)
    numbered = enumerate(ended, batch.results + 1)
    batch.results += len(ended)
    session.flush()
    if ended:
        rows = [{"batch_id": batch_id, "number": number, "job_id": job_id} for number, job_id in numbered]
        session.execute(insert(BatchResult), rows)


def _reused(session: Session, job_ids: Iterable[str]) -> int:
    taken_over = select(func.count()).select_from(Job).where(Job.id.in_(list(job_ids)), Job.reused_from.is_not(None))
    return session.scalar(taken_over) or 0


def _shift(counted: Counter[str], was: str | None, became: str | None, count: int) -> None:
    if was is not None:
        counted[was] -= count
    if became is not None:
        counted[became] += count
