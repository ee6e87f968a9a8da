"""The states of jobs, batches, bulk actions and deliveries, and the legal transitions of jobs and batches.

Only the standard library is imported. Check constraints in the database list the values: a new one needs a migration.

Invariant: a terminal state of a job is never left.
"""

from enum import IntEnum, StrEnum


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class DesiredState(StrEnum):
    """What an operator wants a worker to do: take jobs, take no more, or also return the one it has to the queue."""

    WORK = "work"
    PAUSE = "pause"
    DRAIN = "drain"


class Role(StrEnum):
    """What an API key may do: manage its owner's jobs, also see all, or manage all."""

    CLIENT = "client"
    VIEWER = "viewer"
    OPERATOR = "operator"


class BatchState(StrEnum):
    """The state of a batch; an open one is still being filled and none of its items is sent."""

    OPEN = "open"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELED = "canceled"
    FINISHED = "finished"


class OperationState(StrEnum):
    """The state of a bulk action; a stopped one leaves the rest of its jobs alone."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class DeliveryState(StrEnum):
    """The state of a webhook delivery; a failed one is not retried."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


#: From each state, the states it may change to. `running → queued`: the claim was returned, lost or its job is retried.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELED, State.EXPIRED, State.FAILED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.QUEUED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.EXPIRED: frozenset(),
}

#: The same for batches. `finished → running`: items were added, or failed ones are retried.
BATCH_TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    BatchState.OPEN: frozenset({BatchState.RUNNING, BatchState.CANCELED}),
    BatchState.RUNNING: frozenset({BatchState.PAUSED, BatchState.CANCELED, BatchState.FINISHED}),
    BatchState.PAUSED: frozenset({BatchState.RUNNING, BatchState.CANCELED}),
    BatchState.CANCELED: frozenset(),
    BatchState.FINISHED: frozenset({BatchState.RUNNING}),
}

TERMINAL: frozenset[State] = frozenset(state for state, targets in TRANSITIONS.items() if not targets)


def sources_of(target: State) -> frozenset[State]:
    """Return the states from which a job may change to `target`."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


class Rank(IntEnum):
    """In which order workers read the messages that wait in the broker."""

    #: Of an owner who has nothing running while others have, and of what goes before all owners' jobs.
    FIRST = 0
    SINGLE = 1
    BATCHED = 2
