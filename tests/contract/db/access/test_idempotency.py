"""A request that is sent again is carried out once, however many senders race."""

import pytest
from sqlalchemy import func, select

from api.http.idempotency import Once
from shared.db.access import idempotency
from shared.db.access.idempotency import AlreadyDone, StoredResponse
from shared.db.jobs import transitions
from shared.db.models import IdempotencyKey, Job
from shared.errors import IdempotencyConflict
from tests.support.concurrency import race
from tests.support.factories import add_image, new_job

RESPONSE = StoredResponse(202, "/v1/jobs/x", "{}")


def test_the_answer_is_found_again_by_its_owner_and_key(database) -> None:
    with database.writing() as session:
        idempotency.store(session, "ann", "k", "print", RESPONSE)
    with database.reading() as session:
        assert idempotency.find(session, "ann", "k", "print") == RESPONSE
        assert idempotency.find(session, "bob", "k", "print") is None
        assert idempotency.find(session, "ann", "other", "print") is None
        with pytest.raises(IdempotencyConflict):
            idempotency.find(session, "ann", "k", "another")


def test_of_many_at_once_one_makes_its_job(database) -> None:
    image_id = add_image(database)
    for number in range(5):
        first = []

        def submit(number: int = number, first: list[bool] = first) -> None:
            try:
                with database.writing() as session:
                    transitions.create(session, new_job(image_id))
                    idempotency.store(session, "ann", f"key-{number}", "print", RESPONSE)
            except AlreadyDone:
                first.append(False)
            else:
                first.append(True)

        race(submit, 8)
        assert sorted(first) == [False] * 7 + [True]
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 5


def test_answers_are_forgotten_after_a_day_and_no_more_at_once_than_asked(database) -> None:
    with database.writing() as session:
        for number in range(3):
            idempotency.store(session, "ann", str(number), "print", RESPONSE)
        for row in session.scalars(select(IdempotencyKey).where(IdempotencyKey.key != "2")):
            row.created_at = row.created_at.replace(year=2001)
    with database.writing() as session:
        assert [idempotency.forget(session, 1), idempotency.forget(session, 5)] == [1, 1]
    with database.reading() as session:
        assert idempotency.find(session, "ann", "2", "print") == RESPONSE


def test_of_two_requests_the_second_is_undone_and_takes_the_first_answer(database) -> None:
    first, second = (Once("ann", "k", "print") for _ in range(2))
    assert first.find(database) is second.find(database) is None  # neither knows of the other
    with first.writing(database, "test") as session:
        first.response = RESPONSE
    with second.writing(database, "test") as session:
        idempotency.store(session, "ann", "beside", "print", RESPONSE)
        second.response = RESPONSE._replace(location="/second")
    assert (first.replayed, second.replayed, second.response) == (False, True, RESPONSE)
    with database.reading() as session:
        assert idempotency.find(session, "ann", "beside", "print") is None


def test_a_request_without_a_key_is_carried_out_each_time(database) -> None:
    for _ in range(2):
        once = Once("ann", None, "print")
        assert once.find(database) is None
        with once.writing(database, "test"):
            once.response = RESPONSE
        assert not once.replayed
