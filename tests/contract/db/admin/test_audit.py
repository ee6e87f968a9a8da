"""The audit log: written with the deed or not at all, listed from the newest on, forgotten in the end."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from shared import clock, ids
from shared.db.admin import audit
from shared.db.admin.audit import Filter, Host
from shared.db.base import Database
from shared.db.models import AuditEntry

ANN, BOB = Host("a1", "ann's"), Host("b1", "bob's")
ANY = Filter()


def note(database: Database, actor: Host = ANN, action: str = "job.cancel", subject: str | None = None) -> None:
    with database.writing() as session:
        audit.record(session, actor, action, subject)


def age(database: Database, subject: str, seconds: float) -> None:
    """Make an entry one that was written so long ago."""
    moment = clock.now() - timedelta(seconds=seconds)
    with database.writing() as session:
        values = {"at": moment, "id": ids.first_at(moment)}
        session.execute(update(AuditEntry).where(AuditEntry.subject == subject).values(**values))


def subjects(database: Database, wanted: Filter = ANY, *, before: str | None = None, limit: int = 50) -> list:
    with database.reading() as session:
        return [entry.subject for entry in audit.list_entries(session, wanted, before=before, limit=limit)]


def test_an_entry_says_who_did_what_to_what_how_often_and_why(database) -> None:
    with database.writing() as session:
        audit.record(session, ANN, "operation.start", "1", count=7, reason="tidy up", details={"action": "delete"})
    with database.reading() as session:
        (entry,) = audit.list_entries(session, ANY, limit=2)
    assert (entry.key_id, entry.key_name, entry.action, entry.subject) == ("a1", "ann's", "operation.start", "1")
    assert (entry.count, entry.reason, entry.details) == (7, "tidy up", {"action": "delete"})


def test_a_deed_that_is_rolled_back_is_not_in_the_log(database) -> None:
    def do_in_vain() -> None:
        with database.writing() as session:
            audit.record(session, ANN, "job.cancel")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        do_in_vain()
    assert subjects(database) == []


def test_pages_of_the_log_are_newest_first_and_meet(database) -> None:
    for number in range(5):
        note(database, subject=str(number))
        age(database, str(number), 50 - number)
    with database.reading() as session:
        third = audit.list_entries(session, ANY, limit=3)[-1]
    assert subjects(database, limit=3) == ["4", "3", "2"]
    assert subjects(database, before=third.id) == ["1", "0"]


def test_the_log_is_filtered_by_key_action_and_time(database) -> None:
    note(database, ANN, "job.cancel", "old")
    age(database, "old", 7200)
    note(database, ANN, "job.delete", "anns")
    note(database, BOB, "job.delete", "bobs")
    hour_ago = clock.now() - timedelta(hours=1)
    assert subjects(database, Filter(key_id="b1")) == ["bobs"]
    assert subjects(database, Filter(action="job.cancel")) == ["old"]
    assert subjects(database, Filter(before=hour_ago)) == ["old"]
    assert subjects(database, Filter(after=hour_ago, key_id="a1")) == ["anns"]


def test_entries_are_forgotten_after_more_than_a_year_a_bounded_number_at_once(database) -> None:
    for name in ("first", "second", "young"):
        note(database, subject=name)
    age(database, "first", audit.KEPT_S + 20)
    age(database, "second", audit.KEPT_S + 10)
    age(database, "young", audit.KEPT_S - 86_400)
    counts = []
    for _ in range(3):
        with database.writing() as session:
            counts.append(audit.forget(session, 1))
    assert counts == [1, 1, 0]
    assert subjects(database) == ["young"]
