"""Who may do what: each view declares what it needs, and this table says which roles have it.

A client acts on what is its own and sees nothing else; a viewer sees all and changes nothing; an operator does all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from shared.db.access.quotas import Quota
from shared.states import Role


class Access(Enum):
    """What a view needs of its caller, as the roles that have it."""

    #: Nothing, not even a key.
    PUBLIC = frozenset[Role]()
    #: To see jobs and images: a client its own, the others all.
    READ = frozenset({Role.CLIENT, Role.VIEWER, Role.OPERATOR})
    #: To submit and to change jobs: a client its own, an operator all.
    WRITE = frozenset({Role.CLIENT, Role.OPERATOR})
    #: To see how the whole does.
    OVERSEE = frozenset({Role.VIEWER, Role.OPERATOR})
    #: To steer the whole.
    OPERATE = frozenset({Role.OPERATOR})


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and within which limits; null is none."""

    key_id: str
    owner: str
    role: Role
    max_waiting: int | None = None
    max_work_per_day: float | None = None
    max_requests_per_min: int | None = None
    max_retention_s: float | None = None
    key_name: str = ""

    @property
    def quota(self) -> Quota:
        """What it may have waiting, and ask for in a day."""
        return Quota(self.key_id, self.owner, self.max_waiting, self.max_work_per_day)

    @property
    def sees(self) -> str | None:
        """The owner whose things are all that it sees; None for all."""
        return self.owner if self.role == Role.CLIENT else None
