"""What a key may have waiting and ask for in a day, however many ask at once and with however many keys."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from shared import clock
from shared.db.access import quotas
from shared.db.access.quotas import Quota
from shared.db.jobs import transitions
from shared.db.models import Job, Usage
from shared.errors import QuotaExceeded
from tests.support.claims import claim_job
from tests.support.concurrency import meet
from tests.support.factories import add_image, add_key, new_job

Submit = Callable[..., dict | None]


@pytest.fixture
def submit(database) -> Submit:
    """Queue a job within a quota; give what the refusal says, or None if there was none."""
    image_id = add_image(database)

    def act(quota: Quota, work: float = 1.0) -> dict | None:
        try:
            with database.writing() as session:
                quotas.charge(session, quota, work=work)
                transitions.create(session, new_job(image_id, owner=quota.owner))
        except QuotaExceeded as error:
            return error.fields
        return None

    return act


def quota_of(database, owner: str = "ann", *, waiting: int | None = None, work: float | None = None) -> Quota:
    token = add_key(database, "client", owner, max_waiting=waiting, max_work_per_day=work)
    return Quota(token.split("_")[1], owner, waiting, work)


def at_once(*submits: Callable[[], dict | None]) -> list[dict | None]:
    """Submit all at once; give what each refusal says."""
    refusals: list[dict | None] = []
    meet(*[lambda submit=submit: refusals.append(submit()) for submit in submits])
    return refusals


def used(database, quota: Quota) -> dict[str, float]:
    with database.reading() as session:
        rows = session.scalars(select(Usage).where(Usage.key_id == quota.key_id))
        return {row.day: row.work for row in rows}


def waiting(database, owner: str = "ann") -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.owner == owner))


def at(monkeypatch, *moment: int) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(*moment, tzinfo=UTC))


def test_a_key_without_limits_may_all_and_nothing_is_kept_of_it(database, submit) -> None:
    quota = quota_of(database)
    assert [submit(quota, 1e18) for _ in range(3)] == [None] * 3
    assert used(database, quota) == {}


def test_no_more_wait_than_may_however_many_are_submitted_at_once(database, submit) -> None:
    quota = quota_of(database, waiting=3)
    refusals = at_once(*[lambda: submit(quota)] * 8)
    assert refusals.count(None) == waiting(database) == 3


def test_keys_of_one_owner_share_what_may_wait(database, submit) -> None:
    for number in range(5):
        shared = [quota_of(database, f"o{number}", waiting=1) for _ in range(4)]
        refusals = at_once(*[lambda quota=quota: submit(quota) for quota in shared])
        assert refusals.count(None) == waiting(database, f"o{number}") == 1


def test_others_jobs_and_those_that_no_longer_wait_do_not_count(database, submit) -> None:
    quota = quota_of(database, waiting=1)
    assert submit(quota_of(database, "bob")) is None
    assert submit(quota) is None
    with database.writing() as session:
        job_id = session.scalar(select(Job.id).where(Job.owner == "ann"))
        claim_job(session, job_id, worker="w", weights={}, lease_s=20)
    assert submit(quota) is None
    assert submit(quota) == {"limit": 1, "used": 1, "unit": "jobs", "retry_after_s": 30}


def test_several_jobs_are_granted_together_or_not_at_all(database, submit) -> None:
    quota = quota_of(database, waiting=3)
    submit(quota)
    with database.writing() as session:
        quotas.charge(session, quota, work=1, count=2)
        with pytest.raises(QuotaExceeded):
            quotas.charge(session, quota, work=1, count=3)


def test_no_more_work_is_granted_in_a_day_than_may_be_however_many_ask_at_once(database, submit) -> None:
    quota = quota_of(database, work=50.0)
    refusals = at_once(*[lambda: submit(quota, 20.0)] * 6)
    assert refusals.count(None) == waiting(database) == 2
    assert list(used(database, quota).values()) == [40.0]


def test_work_may_reach_its_bound_exactly(database, submit) -> None:
    quota = quota_of(database, work=50.0)
    assert [submit(quota, 25.0), submit(quota, 25.0)] == [None, None]
    assert submit(quota, 0.5) is not None


def test_a_new_day_begins_at_midnight_utc(database, submit, monkeypatch) -> None:
    quota = quota_of(database, work=10.0)
    at(monkeypatch, 2030, 12, 31, 23, 59, 30)
    assert submit(quota, 10.0) is None
    assert submit(quota, 1.0) == {"limit": 10.0, "used": 10.0, "unit": "px·steps", "retry_after_s": 31}
    at(monkeypatch, 2031, 1, 1)
    assert submit(quota, 10.0) is None
    assert used(database, quota) == {"2030-12-31": 10.0, "2031-01-01": 10.0}


def test_what_is_refused_is_not_charged(database, submit) -> None:
    quota = quota_of(database, waiting=1, work=10.0)
    assert submit(quota, 4.0) is None
    assert submit(quota, 4.0) is not None
    assert list(used(database, quota).values()) == [4.0]
