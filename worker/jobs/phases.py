"""The phases of an attempt at a job, and the legal moves between them.

Invariant: `FINISHED` and `DROPPED` are never left, so an attempt writes at most one end.
"""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """How far an attempt has come."""

    #: The claim is held; nothing is loaded yet.
    CLAIMED = auto()
    #: The engine paints it.
    PAINTING = auto()
    #: Its outcome is known, and holds once its files are stored.
    STORING = auto()
    #: Its outcome holds, and is to be written to the database.
    FINISHING = auto()
    #: The outcome is written.
    FINISHED = auto()
    #: The claim was lost, or the outcome cannot be written and the lease is left to expire.
    DROPPED = auto()

    @property
    def is_over(self) -> bool:
        """Whether the attempt has let go of its claim."""
        return not MOVES[self]

    def moved_to(self, phase: Phase) -> Phase:
        """Return `phase`; raise `ValueError` if it may not follow this one."""
        if phase not in MOVES[self]:
            raise ValueError(f"an attempt cannot move from {self.name} to {phase.name}")
        return phase


#: From each phase, those that may follow. An attempt is `FINISHING` without being painted if an equal result is reused,
#: and from wherever an error or a drain ends it.
MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.CLAIMED: frozenset({Phase.PAINTING, Phase.FINISHING, Phase.DROPPED}),
    Phase.PAINTING: frozenset({Phase.STORING, Phase.FINISHING, Phase.DROPPED}),
    Phase.STORING: frozenset({Phase.FINISHING, Phase.DROPPED}),
    Phase.FINISHING: frozenset({Phase.FINISHED, Phase.DROPPED}),
    Phase.FINISHED: frozenset(),
    Phase.DROPPED: frozenset(),
}
