"""Who may do what: each view declares the access it needs, and this table says which roles have it.

A client sees and changes only what is its own; a viewer sees everything and changes nothing; an operator may do all.
"""

from dataclasses import dataclass
from enum import Enum

from sqlalchemy.orm import Session

from shared.db.access import quotas
from shared.db.access.quotas import Quota
from shared.states import Role


class Access(Enum):
    """What a view needs, as the roles that have it."""

    #: Anyone, without a key.
    PUBLIC = frozenset[Role]()
    #: See jobs and images: a client its own, the others all.
    READ = frozenset({Role.CLIENT, Role.VIEWER, Role.OPERATOR})
    #: Submit and change jobs: a client its own, an operator all.
    WRITE = frozenset({Role.CLIENT, Role.OPERATOR})
    #: See how the service is doing.
    OVERSEE = frozenset({Role.VIEWER, Role.OPERATOR})
    #: Control the service.
    OPERATE = frozenset({Role.OPERATOR})


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and within which limits; None is no limit."""

    key_id: str
    owner: str
    role: Role
    max_waiting: int | None = None
    max_work_per_day: float | None = None
    max_requests_per_min: int | None = None
    max_retention_s: float | None = None
    max_stored_bytes: int | None = None
    #: The server's limit, for owners whose keys have none of their own.
    default_stored_bytes: int | None = None
    key_name: str = ""

    @property
    def quota(self) -> Quota:
        """How many jobs it may have waiting, how much work it may ask for in a day, and how much it may store."""
        stored = self.max_stored_bytes or self.default_stored_bytes
        return Quota(self.key_id, self.owner, self.max_waiting, self.max_work_per_day, stored)

    def quota_for(self, session: Session, owner: str) -> Quota:
        """Return whose quota is charged for jobs of `owner`: the key's for its own owner's, else the owner's."""
        if owner == self.owner:
            return self.quota
        return quotas.get_owner_quota(session, owner, stored=self.default_stored_bytes)

    @property
    def is_operator(self) -> bool:
        """Whether it may do what concerns the jobs of all owners."""
        return self.role == Role.OPERATOR

    @property
    def sees(self) -> str | None:
        """The owner whose jobs and images it sees; None sees everything."""
        return self.owner if self.role == Role.CLIENT else None
