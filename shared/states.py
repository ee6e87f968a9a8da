"""The states of a job, the legal moves between them, what a worker may be told, and the roles. Standard library only.

Invariant: a terminal state is never left; every writer in `shared.db.jobs.transitions` asks this table first.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class DesiredState(StrEnum):
    """What an operator wants of a worker: to take jobs, to take no more, or to hand back the one it has too."""

    WORK = "work"
    PAUSE = "pause"
    DRAIN = "drain"


class Role(StrEnum):
    """What a key may do: its own jobs, see all, or steer all."""

    CLIENT = "client"
    VIEWER = "viewer"
    OPERATOR = "operator"


class BatchState(StrEnum):
    """Where a batch is: being filled, painted, held, given up, or all of it ended."""

    OPEN = "open"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELED = "canceled"
    FINISHED = "finished"


class OperationState(StrEnum):
    """Where a bulk action is: under way, through, or stopped on its way."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class DeliveryState(StrEnum):
    """Where a webhook's delivery is: still to be made, made, or given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


#: From each state, the states it may move to. `running → queued` is a claim handed back or lost.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELED, State.EXPIRED, State.FAILED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.QUEUED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.EXPIRED: frozenset(),
}

#: The same of batches. `finished → running` is a batch that items are added to, or whose failed ones are tried again.
BATCH_TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    BatchState.OPEN: frozenset({BatchState.RUNNING, BatchState.CANCELED}),
    BatchState.RUNNING: frozenset({BatchState.PAUSED, BatchState.CANCELED, BatchState.FINISHED}),
    BatchState.PAUSED: frozenset({BatchState.RUNNING, BatchState.CANCELED}),
    BatchState.CANCELED: frozenset(),
    BatchState.FINISHED: frozenset({BatchState.RUNNING}),
}

TERMINAL: frozenset[State] = frozenset(state for state, targets in TRANSITIONS.items() if not targets)


def sources_of(target: State) -> frozenset[State]:
    """Return the states from which a job may move to `target`."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)
