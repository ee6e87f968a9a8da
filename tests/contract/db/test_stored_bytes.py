"""What owners store is counted as it comes and goes, and adds up to what a count of everything says."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from shared import clock, ids
from shared.db import images, stored_bytes
from shared.db.access import quotas
from shared.db.access.quotas import Quota
from shared.db.base import Database
from shared.db.jobs import claims, sweeps, transitions
from shared.db.models import Image, ImageOwner, Job, StoredBytes
from shared.errors import Diverged, QuotaExceeded
from tests.support.claims import claim
from tests.support.concurrency import meet
from tests.support.factories import add_image, add_job, add_key

OWNERS = ("ann", "bob")
PAST = clock.now() - timedelta(days=100)


def result(size_bytes: int) -> dict:
    return {"width": 1, "height": 1, "bytes": size_bytes, "format": "png", "partial": False}


def upload(database: Database, owner: str, data: bytes, quota: Quota | None = None) -> None:
    row = {"width": 1, "height": 1, "format": "png", "created_at": clock.now(), "last_used_at": clock.now()}
    image = Image(id=ids.image_id(data), size_bytes=len(data), **row)
    with database.writing() as session:
        _, is_new = images.record_upload(session, image, owner)
        if quota is not None:
            quotas.check_stored(session, quota, new_bytes=len(data) if is_new else 0)


def finish(database: Database, job_id: str, way: str, size_bytes: int) -> None:
    """End a job by one of the ways in which a picture may be kept."""
    held = claim(database, job_id)
    with database.writing() as session:
        if way == "together":
            claims.succeed_all(session, [claims.Finished(held, result(size_bytes), None, 1.0, None)])
        elif way == "alone":
            transitions.succeed(session, held, result=result(size_bytes))
        elif way == "failed":
            transitions.fail(session, held, Diverged("no numbers"), result=result(size_bytes))
        else:
            transitions.stop(session, held, result=result(size_bytes))


def expire_images(database: Database) -> None:
    with database.writing() as session:
        session.execute(update(Image).values(last_used_at=PAST))
        session.execute(update(Job).values(created_at=clock.now()))
        images.expire(session, retention_s=0)


def expire_files(database: Database) -> None:
    with database.writing() as session:
        session.execute(update(Job).where(Job.ended_at.is_not(None)).values(expires_at=PAST))
        sweeps.expire_files(session)


def counted(database: Database, owner: str) -> int:
    with database.reading() as session:
        return stored_bytes.total(session, owner)


def recount(database: Database, owner: str) -> int:
    """Count everything anew, without the changes."""
    with database.reading() as session:
        owned = select(func.sum(Image.size_bytes)).join(ImageOwner, ImageOwner.image_id == Image.id)
        uploads = session.scalar(owned.where(ImageOwner.owner == owner, Image.gone_at.is_(None))) or 0
        results = session.scalars(select(Job.result).where(Job.owner == owner, Job.files_gone_at.is_(None)))
        return uploads + sum(each["bytes"] for each in results if each)


@pytest.mark.parametrize("way", ["together", "alone", "failed", "stopped"])
def test_results_count_for_their_owner_until_they_expire(database, way) -> None:
    image = add_image(database, b"12345", owner="ann")
    finish(database, add_job(database, owner="ann", image_id=image), way, 7)
    assert (counted(database, "ann"), counted(database, "bob")) == (12, 0)
    expire_files(database)
    assert counted(database, "ann") == 5
    expire_images(database)
    assert counted(database, "ann") == 0


def test_a_picture_counts_once_for_each_of_its_owners_also_after_it_came_back(database) -> None:
    for owner in ("ann", "ann", "bob"):
        upload(database, owner, b"12345")
    assert [counted(database, owner) for owner in OWNERS] == [5, 5]
    expire_images(database)
    assert [counted(database, owner) for owner in OWNERS] == [0, 0]
    upload(database, "bob", b"12345")
    assert [counted(database, owner) for owner in OWNERS] == [0, 5]


def test_deleting_a_job_gives_its_bytes_back_once(database) -> None:
    kept, gone = (add_job(database, owner="ann", image_id=add_image(database, b"1", owner="zoe")) for _ in range(2))
    finish(database, gone, "alone", 7)
    expire_files(database)
    finish(database, kept, "alone", 9)
    with database.writing() as session:
        transitions.remove(session, gone)
        assert stored_bytes.total(session, "ann") == 9
        transitions.remove(session, kept)
    assert counted(database, "ann") == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_agrees_with_a_recount_whatever_was_done(database, seed) -> None:
    dice = random.Random(seed)
    image = add_image(database, b"shared", owner="zoe")
    jobs: list[str] = []
    for _ in range(60):
        owner, size_bytes = dice.choice(OWNERS), dice.randint(1, 1000)
        act = dice.choice(["upload", "upload", "finish", "finish", "finish", "delete", "files", "images", "fold"])
        if act == "upload":
            upload(database, owner, dice.choice(b"abc").to_bytes() * dice.randint(1, 4))
        elif act == "finish":
            jobs.append(add_job(database, owner=owner, image_id=image))
            finish(database, jobs[-1], dice.choice(["together", "alone", "failed", "stopped"]), size_bytes)
        elif act == "delete" and jobs:
            with database.writing() as session:
                transitions.remove(session, jobs.pop(dice.randrange(len(jobs))))
        elif act == "files" and dice.random() < 0.3:
            expire_files(database)
        elif act == "images" and dice.random() < 0.3:
            expire_images(database)
        elif act == "fold":
            with database.writing() as session:
                stored_bytes.fold(session)
        assert [counted(database, each) for each in OWNERS] == [recount(database, each) for each in OWNERS], act


def test_changes_that_are_folded_by_several_at_once_keep_their_sum(database) -> None:
    with database.writing() as session:
        for number in range(300):
            stored_bytes.add(session, {"ann": number, "bob": -1})

    def fold() -> None:
        with database.writing() as session:
            stored_bytes.fold(session)

    meet(*[fold] * 4)
    assert [counted(database, owner) for owner in OWNERS] == [sum(range(300)), -300]
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(StoredBytes)) <= 8


def test_no_more_is_stored_than_may_be_however_many_upload_at_once(database) -> None:
    key_id = add_key(database, "client", "ann", max_stored_bytes=35).split("_")[1]
    quota, refused = Quota(key_id, "ann", None, None, 35), []

    def act(number: int) -> None:
        try:
            upload(database, "ann", bytes([number]) * 10, quota)
        except QuotaExceeded as error:
            refused.append(error.fields)

    meet(*[lambda number=number: act(number) for number in range(6)])
    assert counted(database, "ann") == 30
    assert refused == [{"limit": 35, "used": 30, "unit": "bytes", "retry_after_s": 3600}] * 3


def test_who_acts_for_an_owner_has_the_largest_limit_of_its_keys_or_the_servers(database) -> None:
    add_key(database, "client", "ann", max_stored_bytes=10)
    add_key(database, "client", "ann")
    with database.reading() as session:
        limits = [
            quotas.get_owner_quota(session, owner, stored=stored).max_stored_bytes
            for owner, stored in [("ann", 5), ("ann", 20), ("ann", None), ("nobody", 7)]
        ]
    assert limits == [10, 20, None, 7]
