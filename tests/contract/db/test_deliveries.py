"""The outbox: what happened is told at least once, and each delivery is one process's at a time."""

import pytest
from sqlalchemy import func, select, update

from shared.db import deliveries, sql_clock, webhook_payloads
from shared.db.jobs import sweeps, transitions
from shared.db.models import Delivery, Job
from shared.errors import Diverged, NotFound
from shared.states import DeliveryState
from shared.webhooks import signing
from tests.support.claims import claim_job
from tests.support.concurrency import meet, race
from tests.support.factories import add_job
from tests.support.fakes import FakeSlots

URL = "https://example.org/hook"


def kept(database) -> list[Delivery]:
    with database.reading() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def claim_due(database, limit: int = 10, **slots) -> list[deliveries.ClaimedDelivery]:
    with database.writing() as session:
        return deliveries.claim_due(session, FakeSlots(limit, **slots))


def note(database, held: deliveries.ClaimedDelivery, **how) -> None:
    with database.writing() as session:
        deliveries.record_attempt(session, held, {"at": "now", "status": 200, "error": None, "ms": 1}, **how)


@pytest.mark.parametrize("end", ["succeeded", "failed", "canceled", "expired"])
def test_the_end_of_a_job_is_kept_to_be_told(database, end) -> None:
    job_id = add_job(database, webhook=URL, start_by=None)
    with database.writing() as session:
        if end == "canceled":
            transitions.request_cancel(session, job_id)
        elif end == "expired":
            session.execute(update(Job).values(start_by=sql_clock.now_plus(-5)))
            sweeps.expire(session)
        else:
            held = claim_job(session, job_id, worker="w", weights={}, lease_s=20)
            if end == "succeeded":
                transitions.succeed(
                    session, held, result={"width": 1, "height": 1, "bytes": 1, "format": "png", "partial": False}
                )
            else:
                transitions.fail(session, held, Diverged("far"))
    [told] = kept(database)
    assert (told.event, told.subject_id, told.url, told.state) == (f"job.{end}", job_id, URL, DeliveryState.PENDING)
    [held] = claim_due(database)
    with database.reading() as session:
        data = webhook_payloads.payload_of(session, held)
    assert (data["id"], data["state"], data["owner"]) == (job_id, end, "local")
    assert (data["error"] is not None) == (end == "failed")
    assert data["links"]["self"] == f"/v1/jobs/{job_id}"  # a path, unless the public URL is known


def test_nothing_is_told_of_a_job_without_a_webhook_or_that_goes_on(database) -> None:
    add = [add_job(database), add_job(database, webhook=URL)]
    with database.writing() as session:
        transitions.request_cancel(session, add[0])
        held = claim_job(session, add[1], worker="w", weights={}, lease_s=20)
        transitions.give_back(session, held, reason="drain")
    assert kept(database) == []


def test_what_is_rolled_back_is_not_told(database) -> None:
    job_id = add_job(database, webhook=URL)

    def act() -> None:
        with database.writing() as session:
            transitions.request_cancel(session, job_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()
    assert kept(database) == []


def test_of_a_deleted_job_its_end_is_told_all_the_same(database) -> None:
    job_id = add_job(database, webhook=URL)
    with database.writing() as session:
        transitions.request_cancel(session, job_id)
        transitions.remove(session, job_id)
    [held] = claim_due(database)
    with database.reading() as session:
        assert webhook_payloads.payload_of(session, held) == {"id": job_id, "state": "canceled"}


def test_each_delivery_is_claimed_by_one(database) -> None:
    with database.writing() as session:
        for _ in range(20):
            deliveries.add(session, "ann", URL, signing.TEST_EVENT)
    taken: list[str] = []
    race(lambda: taken.extend(held.id for held in claim_due(database, 5)), 8)
    # whoever was first may have locked all of them, so that the others found none
    taken += [held.id for held in claim_due(database, 20, per_host=20, per_owner=20)]
    assert sorted(taken) == sorted(each.id for each in kept(database))


def test_who_dies_over_a_delivery_leaves_it_due_again(database) -> None:
    with database.writing() as session:
        deliveries.add(session, "ann", URL, signing.TEST_EVENT)
    [first] = claim_due(database)
    assert claim_due(database) == []
    with database.writing() as session:
        session.execute(update(Delivery).values(next_at=sql_clock.now_plus(-1)))
    [second] = claim_due(database)
    assert (second.id, second.attempt) == (first.id, first.attempt + 1)
    note(database, first, delivered=True, retry_in_s=None)
    assert kept(database)[0].state == DeliveryState.PENDING
    note(database, second, delivered=True, retry_in_s=None)
    assert (kept(database)[0].state, len(kept(database)[0].log)) == (DeliveryState.DELIVERED, 1)


def test_a_full_host_holds_up_no_other(database) -> None:
    with database.writing() as session:
        for _ in range(3):
            deliveries.add(session, "ann", "https://slow.org/", signing.TEST_EVENT)
        deliveries.add(session, "ann", URL, signing.TEST_EVENT)
    assert [held.url for held in claim_due(database, full_hosts=["slow.org"])] == [URL]
    assert len(claim_due(database, per_host=2)) == 2


@pytest.mark.parametrize("full_hosts", [[], ["slow.org"]])
def test_whatever_waits_for_one_host_the_others_are_told(database, full_hosts) -> None:
    with database.writing() as session:
        for mark in ("/", "?a", "#a", ""):
            for _ in range(60):
                deliveries.add(session, "ann", f"https://Slow.org{mark}", signing.TEST_EVENT)
        deliveries.add(session, "ann", "https://slow.org.example/", signing.TEST_EVENT)
        deliveries.add(session, "ann", URL, signing.TEST_EVENT)
    told = [held.url for held in claim_due(database, 8, full_hosts=full_hosts, per_host=2)]
    assert {"https://slow.org.example/", URL} <= set(told)
    assert len(told) == (2 if full_hosts else 4)


def test_owners_take_turns_whatever_one_has_waiting(database) -> None:
    with database.writing() as session:
        for number in range(300):
            deliveries.add(session, "greedy", f"https://alias-{number}.org/", signing.TEST_EVENT)
        for owner in ("ann", "bob"):
            deliveries.add(session, owner, URL, signing.TEST_EVENT)
    assert sorted(held.owner for held in claim_due(database, 4)) == ["ann", "bob", "greedy", "greedy"]


def test_who_has_fewer_calls_under_way_is_next(database) -> None:
    with database.writing() as session:
        for owner in ("greedy", "ann"):
            for _ in range(3):
                deliveries.add(session, owner, URL, signing.TEST_EVENT)
    slots = FakeSlots(4)
    assert slots.take("greedy", "elsewhere.org")
    with database.writing() as session:
        claimed = deliveries.claim_due(session, slots)
    assert [held.owner for held in sorted(claimed, key=lambda held: held.owner)] == ["ann", "ann", "greedy"]


def test_a_call_put_off_is_no_attempt(database) -> None:
    with database.writing() as session:
        deliveries.add(session, "ann", URL, signing.TEST_EVENT)
    [held] = claim_due(database)
    with database.writing() as session:
        deliveries.postpone(session, held, 100)
    assert ([each.attempts for each in kept(database)], claim_due(database)) == ([0], [])
    with database.writing() as session:
        deliveries.postpone(session, held, -1)  # its claim is no longer valid
    assert claim_due(database) == []


def test_a_failure_is_tried_again_and_at_last_given_up(database) -> None:
    with database.writing() as session:
        deliveries.add(session, "ann", URL, signing.TEST_EVENT)
    [held] = claim_due(database)
    note(database, held, delivered=False, retry_in_s=100)
    assert claim_due(database) == []
    with database.writing() as session:
        session.execute(update(Delivery).values(next_at=sql_clock.now_plus(-1)))
    [held] = claim_due(database)
    note(database, held, delivered=False, retry_in_s=None)
    [failed] = kept(database)
    assert (failed.state, failed.next_at, len(failed.log)) == (DeliveryState.FAILED, None, 2)


def test_the_schedule_lasts_three_days() -> None:
    assert 2.8 <= sum(deliveries.RETRY_DELAYS_S) / 86_400 <= 3.2


def test_an_owners_secret_is_made_once_and_rotated(database) -> None:
    made: list[str] = []

    def ask() -> None:
        with database.writing() as session:
            made.append(deliveries.get_secrets(session, "ann").secret)

    race(ask, 4)
    assert len(set(made)) == 1
    with database.writing() as session:
        rotated = deliveries.rotate_secret(session, "ann")
    assert (rotated.previous, rotated.secret != made[0]) == (made[0], True)
    with database.writing() as session:
        assert deliveries.get_secrets(session, "bob").secret not in made


def test_of_two_rotations_at_once_one_follows_the_other(database) -> None:
    made: list[deliveries.SigningSecrets] = []

    def rotate() -> None:
        with database.writing() as session:
            made.append(deliveries.rotate_secret(session, "ann"))

    with database.writing() as session:
        first = deliveries.get_secrets(session, "ann").secret
    meet(rotate, rotate, rotate)
    assert {each.previous for each in made} < {first, *(each.secret for each in made)}
    assert len({each.previous for each in made}) == 3


def test_deliveries_are_listed_by_owner_and_forgotten_in_time(database) -> None:
    with database.writing() as session:
        # ids of one millisecond are in no order
        mine = sorted(deliveries.add(session, "ann", URL, signing.TEST_EVENT).id for _ in range(3))
        deliveries.add(session, "bob", URL, signing.TEST_EVENT)
        session.execute(
            update(Delivery).where(Delivery.id == mine[0]).values(created_at=sql_clock.now_plus(-40 * 86_400))
        )
        session.execute(
            update(Delivery).where(Delivery.id == mine[0]).values(state=DeliveryState.DELIVERED, next_at=None)
        )
    with database.reading() as session:
        found = deliveries.list_deliveries(session, owner="ann", state=None, before=mine[2], limit=10)
        assert [each.id for each in found] == [mine[1], mine[0]]
        with pytest.raises(NotFound):
            deliveries.get_delivery(session, mine[0], owner="bob")
    with database.writing() as session:
        assert deliveries.forget(session, 10) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 3
