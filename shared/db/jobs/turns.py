"""When jobs of each owner were last sent, so that of several owners who wait the next is who has waited longest."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shared.db import sql_clock
from shared.db.lookups import insert_if_absent
from shared.db.models import OwnerTurn


def last_turns(session: Session, owners: Collection[str]) -> dict[str, datetime]:
    """Return when each of the owners had its last turn, those who had one."""
    rows = session.execute(select(OwnerTurn.owner, OwnerTurn.at).where(OwnerTurn.owner.in_(owners)))
    return {row.owner: row.at for row in rows}


def record(session: Session, owners: Collection[str]) -> None:
    """Record that the owners have a turn now."""
    for owner in sorted(owners):  # in one order, against deadlocks
        had_one = update(OwnerTurn).where(OwnerTurn.owner == owner).values(at=sql_clock.now())
        if session.scalar(had_one.returning(OwnerTurn.owner)) is None:
            insert_if_absent(session, OwnerTurn, owner=owner, at=sql_clock.now())
