"""When an image is given up, and that nobody who needs it ever loses it, however they race."""

from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from shared import clock
from shared.db import images
from shared.db.base import Database
from shared.db.jobs import queries, transitions
from shared.db.models import Image, ImageOwner, Job
from shared.errors import UnknownImage
from shared.states import State
from tests.support.claims import claim_job
from tests.support.concurrency import meet, race
from tests.support.factories import add_image, add_job, new_job

DAY_S = 86_400.0
ROUNDS = 200


def ago(seconds: float):
    return clock.now() - timedelta(seconds=seconds)


def add_used(database: Database, used_s: float, data: bytes = b"bytes", **values) -> str:
    """Add an image that was last used that long ago."""
    return add_image(database, data, last_used_at=ago(used_s), created_at=ago(100 * DAY_S), **values)


def expire(database: Database, retention_s: float = DAY_S) -> list[str]:
    with database.writing() as session:
        return images.expire(session, retention_s=retention_s)


def submit(database: Database, image_id: str, **values) -> Job:
    """Queue a job as the API does, in one transaction with the use of its images."""
    job = new_job(image_id, **values)
    with database.writing() as session:
        images.record_use(session, [image_id])
        transitions.create(session, job)
    return job


def kept(database: Database) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(select(Image.id).where(Image.gone_at.is_(None))))


def test_an_image_that_nobody_used_for_its_retention_is_given_up_with_its_owners(database) -> None:
    old, fresh = add_used(database, 2 * DAY_S), add_used(database, DAY_S / 2, b"fresh")
    assert expire(database) == [old]
    assert expire(database) == []
    assert kept(database) == {fresh}
    with database.reading() as session:
        assert list(session.scalars(select(ImageOwner.image_id))) == [fresh]
        assert queries.get_images(session, [old]) == {}


def test_an_image_is_kept_two_hours_however_short_the_retention(database) -> None:
    old, fresh = add_used(database, 2.1 * 3600), add_used(database, 1.9 * 3600, b"fresh")
    assert expire(database, retention_s=1) == [old]
    assert kept(database) == {fresh}


@pytest.mark.parametrize("running", [False, True], ids=["waiting", "running"])
def test_no_image_goes_that_a_job_waiting_for_weeks_may_need(database, running) -> None:
    needed = add_used(database, 1800)
    waiting = submit(database, needed).id
    submit(database, needed)
    if running:
        with database.writing() as session:
            assert claim_job(session, waiting, worker="w", weights={}, lease_s=20)
    with database.writing() as session:  # twenty days pass
        session.execute(update(Job).where(Job.id == waiting).values(created_at=ago(20 * DAY_S)))
        session.execute(update(Image).values(last_used_at=ago(20 * DAY_S + 1800)))
    unneeded = add_used(database, 21 * DAY_S, b"unneeded")
    assert expire(database) == [unneeded]
    assert kept(database) == {needed}


def test_once_its_last_job_has_ended_an_image_may_go(database) -> None:
    needed = add_used(database, 0)
    job_id = submit(database, needed).id
    with database.writing() as session:
        session.execute(update(Job).values(created_at=ago(20 * DAY_S)))
        session.execute(update(Image).values(last_used_at=ago(20 * DAY_S)))
    assert expire(database) == []
    with database.writing() as session:
        transitions.request_cancel(session, job_id)
    assert expire(database) == [needed]


def test_a_use_makes_an_old_image_young_again(database) -> None:
    image_id = add_used(database, 20 * DAY_S)
    submit(database, image_id)
    with database.reading() as session:
        assert queries.get_image(session, image_id).last_used_at > ago(60)
    assert expire(database) == []


def test_nothing_can_be_made_with_an_image_that_is_gone_until_it_is_uploaded_again(database) -> None:
    image_id = add_used(database, 20 * DAY_S)
    expire(database)
    with pytest.raises(UnknownImage):
        submit(database, image_id)
    with database.writing() as session:
        again = Image(id=image_id, width=1, height=1, format="png", size_bytes=5, created_at=clock.now())
        row, is_new = images.record_upload(session, again, "local")
    assert (row.gone_at, row.width, is_new) == (None, 24, True)
    assert submit(database, image_id).state == State.QUEUED
    assert expire(database) == []


def test_an_upload_is_new_to_each_owner_once(database) -> None:
    def keep(owner: str) -> bool:
        values = {"width": 1, "height": 1, "format": "png", "size_bytes": 5}
        image = Image(id=f"sha256:{'0' * 64}", created_at=clock.now(), last_used_at=clock.now(), **values)
        with database.writing() as session:
            return images.record_upload(session, image, owner)[1]

    assert [keep(owner) for owner in ("ann", "bob", "ann")] == [True, True, False]
    found: list[bool] = []
    race(lambda: found.append(keep("cleo")), threads=8)
    assert sorted(found) == [False] * 7 + [True]


def test_bytes_may_go_only_while_no_row_keeps_them(database) -> None:
    here, gone = add_used(database, 0), add_used(database, 20 * DAY_S, b"gone")
    expire(database)
    with database.writing() as session:
        assert not images.can_remove_bytes(session, here)
        assert images.can_remove_bytes(session, gone)
        assert images.can_remove_bytes(session, f"sha256:{'0' * 64}")


def test_rows_of_images_gone_since_before_the_oldest_job_are_forgotten(database) -> None:
    named = add_used(database, 0)
    old_job = add_job(database, image_id=named)
    old, middle, fresh, here = (add_used(database, 0, bytes([n])) for n in range(4))
    with database.writing() as session:
        for image_id, age in ((old, 300), (middle, 200), (fresh, 1)):
            session.execute(update(Image).where(Image.id == image_id).values(gone_at=ago(age * DAY_S)))
        session.execute(update(Job).where(Job.id == old_job).values(created_at=ago(250 * DAY_S)))
        assert images.forget(session, history_s=180 * DAY_S) == [old]
        transitions.request_cancel(session, old_job)
        transitions.remove(session, old_job)
        assert images.forget(session, history_s=180 * DAY_S) == [middle]
    assert kept(database) == {named, here}
    with database.reading() as session:
        assert session.get(Image, fresh) is not None


def test_a_submission_and_the_sweep_never_both_win(database) -> None:
    image_id = add_used(database, 20 * DAY_S)
    queued: list[str] = []
    gone: list[str] = []

    def ask() -> None:
        with suppress(UnknownImage):
            queued.append(submit(database, image_id).id)

    for number in range(ROUNDS):
        with database.writing() as session:
            session.execute(update(Image).values(last_used_at=ago(20 * DAY_S), gone_at=None))
            session.execute(update(Job).values(state=State.CANCELED))
        meet(ask, lambda: gone.extend(expire(database)))
        assert len(queued) + len(gone) == number + 1
        with database.reading() as session:
            waits = session.scalar(select(func.count()).where(Job.state == State.QUEUED))
        assert (image_id in kept(database)) == bool(waits)
