"""What has been kept long enough goes, says so, and nobody loses what a job still needs. No test waits: rows age."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from io import BytesIO

import pytest
from sqlalchemy import select, update

from api.access import Caller
from api.services import Services
from api.usecases.images import inspect_upload, keep_upload
from shared import clock, ids
from shared.db import images as image_rows
from shared.db import sql_clock
from shared.db.jobs import claims, queries, transitions
from shared.db.models import Image, Job
from shared.errors import StorageUnavailable, UnknownImage
from shared.imaging import codec
from shared.states import Role, State
from shared.storage.store import LocalImageStore, image_key, job_prefix
from tests.support.claims import claim
from tests.support.concurrency import meet
from tests.support.factories import add_image, new_job, picture
from tests.support.job_runs import run_one
from worker.maintenance.orphans import remove_orphans
from worker.maintenance.retention import Retention

YEAR_S = 365 * 86_400
ROUNDS = 200
CALLER = Caller("k", "ann", Role.CLIENT)
FILES = ("result", "manifest", "timelapse", "preview", "losses")
on_both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def retention(settings, database, store) -> Retention:
    return Retention(settings, database, store)


@pytest.fixture
def services(app) -> Iterator[Services]:
    found = app.extensions["atelier"]
    yield found
    found.database.engine.dispose()


@pytest.fixture
def painted(context, client, image_id) -> str:
    """A job that has a picture and an animation."""
    params = {"size": 32, "steps": 8, "timelapse": True}
    job_id = client.post("/v1/jobs", json={"content": image_id, "style": image_id, "params": params}).json["id"]
    run_one(job_id, context)
    return job_id


def let_time_pass(database, *, jobs_too: bool = True) -> None:
    """Make everything a year older; jobs that have ended are past their retention then."""
    past = clock.now() - timedelta(seconds=YEAR_S)
    with database.writing() as session:
        session.execute(update(Image).values(last_used_at=past, created_at=past))
        if jobs_too:
            session.execute(update(Job).values(created_at=past))
            session.execute(update(Job).where(Job.expires_at.is_not(None)).values(expires_at=sql_clock.now_plus(-1)))


def missing(database, store) -> set[str]:
    """Return the images whose rows say that they are kept, and whose bytes are not there."""
    with database.reading() as session:
        kept = session.query(Image.id).where(Image.gone_at.is_(None))
        return {image_id for (image_id,) in kept if not store.exists(image_key(image_id))}


def test_what_a_job_gave_is_gone_when_its_retention_is_over_and_its_row_says_so(
    client, painted, database, store, retention
) -> None:
    links = client.get(f"/v1/jobs/{painted}").json["links"]
    assert [client.get(links[name]).status_code for name in FILES] == [200] * 5
    let_time_pass(database)
    retention.expire_files()
    assert list(store.list(job_prefix(painted))) == []
    answers = [client.get(links[name]) for name in FILES]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(410, "result_expired")] * 5
    job = client.get(f"/v1/jobs/{painted}").json
    assert set(links) - set(job["links"]) == {*FILES, "strength"}
    assert (job["state"], job["result"]["expired"], job["result"]["width"]) == ("succeeded", True, 24)
    assert job["expires_at"] in answers[0].json["detail"]
    assert job in client.get("/v1/jobs").json["jobs"]


def test_files_that_go_while_they_are_asked_for_have_expired_too(
    client, painted, database, retention, monkeypatch
) -> None:
    let_time_pass(database)
    get = LocalImageStore.get

    def late(store: LocalImageStore, key: str) -> bytes:
        retention.expire_files()
        return get(store, key)

    monkeypatch.setattr(LocalImageStore, "get", late)
    answer = client.get(f"/v1/jobs/{painted}/result")
    assert (answer.status_code, answer.json["code"]) == (410, "result_expired")


def test_a_job_that_never_had_a_picture_says_so_for_ever(client, job_id, database, retention) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel")
    let_time_pass(database)
    retention.expire_files()
    assert client.get(f"/v1/jobs/{job_id}/result").json["code"] == "no_result"
    assert client.get(f"/v1/jobs/{job_id}").json["result"] is None


def test_no_job_starts_from_a_picture_that_is_gone(client, painted, image_id, database, retention) -> None:
    let_time_pass(database)
    retention.expire_files()
    answer = client.post("/v1/jobs", json={"content": image_id, "style": image_id, "init_job": painted})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/init_job")
    assert "gone" in answer.json["detail"]


def test_files_that_cannot_be_deleted_go_with_the_orphans(painted, database, store, retention, monkeypatch) -> None:
    def away(*_: object) -> None:
        raise StorageUnavailable

    let_time_pass(database)
    with monkeypatch.context() as storage_is_away:
        storage_is_away.setattr(LocalImageStore, "delete", away)
        retention.expire_files()
        retention.expire_images()
    kept = list(store.list(""))
    assert {key.rpartition("/")[2] for key in kept if key.startswith(job_prefix(painted))} == {
        "result.png", "losses.json", "manifest.json", "film.webp", "timelapse.webp",
    }  # fmt: skip
    assert remove_orphans(database, store, older_than_s=0) == len(kept) == 6
    assert list(store.list("")) == []


def test_an_image_says_when_it_goes_and_a_use_puts_that_off(client, image_id, settings, database) -> None:
    def left() -> timedelta:
        expires_at = client.get(f"/v1/images/{image_id}").json["expires_at"]
        return datetime.fromisoformat(expires_at) - clock.now()

    assert abs(left() - timedelta(seconds=settings.retention_s)) < timedelta(minutes=1)
    let_time_pass(database)
    assert left() < timedelta(0)
    client.post("/v1/jobs", json={"content": image_id, "style": image_id})
    assert left() > timedelta(days=29)


def test_an_image_that_is_gone_is_unknown_until_it_is_uploaded_again(
    client, image_id, png, database, store, retention
) -> None:
    let_time_pass(database)
    retention.expire_images()
    assert not store.exists(image_key(image_id))
    assert client.get(f"/v1/images/{image_id}").status_code == 404
    assert client.get(f"/v1/images/{image_id}/content").status_code == 404
    body = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 8}}
    answer = client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "unknown_image")
    again = client.post("/v1/images", data=png, content_type="image/png")
    assert (again.status_code, again.json["id"]) == (201, image_id)
    assert client.get(f"/v1/images/{image_id}/content").data == png
    assert client.post("/v1/jobs", json=body).status_code == 202


def test_an_ended_job_is_shown_though_its_images_are_gone_and_cannot_be_tried_again(
    client, painted, database, retention
) -> None:
    let_time_pass(database)
    retention.expire_images()
    assert client.get(f"/v1/jobs/{painted}").json["content"].startswith("sha256:")
    answer = client.post(f"/v1/jobs/{painted}/retry")
    assert (answer.status_code, answer.json["code"]) == (422, "unknown_image")


def test_a_job_that_waited_for_a_year_is_painted_though_all_else_is_gone(
    client, painted, database, store, context, retention
) -> None:
    """Neither its images, nor where it goes on, nor what the running one writes: whatever the chores do."""
    pictures = [codec.encode(picture(seed=seed), format="png") for seed in (1, 2, 3)]
    files = {name: (BytesIO(data), "x") for name, data in zip(("content", "style"), pictures, strict=False)}
    running = client.post("/v1/jobs", data=files).json["id"]
    unneeded = client.post("/v1/images", data=pictures[2], content_type="image/png").json["id"]
    held = claim(database, running)
    checkpoint = f"jobs/{running}/1/checkpoint.npz"
    store.put(checkpoint, b"steps")
    with database.writing() as session:
        claims.save_checkpoint(session, held, {"key": checkpoint, "step": 1})
    let_time_pass(database)
    with database.writing() as session:
        older = clock.now() - timedelta(seconds=2 * YEAR_S)
        session.execute(update(Image).where(Image.id == unneeded).values(last_used_at=older))
    for chore in (retention.expire_files, retention.expire_images, retention.delete_old_rows):
        chore()
    remove_orphans(database, store, older_than_s=0)
    assert not store.exists(image_key(unneeded))
    assert store.exists(checkpoint)
    assert [store.get(image_key(ids.image_id(data))) for data in pictures[:2]] == pictures[:2]
    with database.writing() as session:
        transitions.give_back(session, held, reason="drain")
    assert run_one(running, context) == State.SUCCEEDED


@on_both_databases
def test_an_upload_and_the_sweep_never_leave_a_kept_image_without_its_bytes(
    services, png, database, store, retention
) -> None:
    file, image_id = inspect_upload(services.decoders, png, CALLER), ids.image_id(png)
    refused = 0
    keep_upload(services.database, services.store, file, CALLER)
    for _ in range(ROUNDS):
        let_time_pass(database, jobs_too=False)
        meet(retention.expire_images, lambda: keep_upload(services.database, services.store, file, CALLER))
        assert missing(database, store) == set()
        with database.writing() as session:
            try:
                image_rows.record_use(session, [image_id])
                transitions.create(session, new_job(image_id))
            except UnknownImage:  # it was uploaded first and swept then
                refused += 1
        with database.writing() as session:
            session.execute(update(Job).values(state=State.CANCELED))
    assert refused < ROUNDS


@on_both_databases
def test_an_upload_and_the_search_for_orphans_never_leave_a_kept_image_without_its_bytes(
    services, database, store
) -> None:
    """The bytes are there already, left by an upload that died before it wrote its row."""
    for seed in range(ROUNDS // 4):
        data = codec.encode(picture(8, 8, seed), format="png")
        file = inspect_upload(services.decoders, data, CALLER)
        store.put(image_key(ids.image_id(data)), data)
        meet(
            lambda: remove_orphans(database, store, older_than_s=0),
            lambda file=file: keep_upload(services.database, services.store, file, CALLER),
        )
        assert missing(database, store) == set()
        with database.reading() as session:
            assert queries.get_image(session, ids.image_id(data)).gone_at is None


def test_rows_of_images_are_forgotten_a_few_a_round_and_one_at_a_time(database, retention, monkeypatch) -> None:
    gone = [add_image(database, bytes([number])) for number in range(7)]
    with database.writing() as session:
        session.execute(update(Image).values(gone_at=clock.now() - timedelta(seconds=YEAR_S)))
    at_once, forget = [], image_rows.forget

    def counted(*args: object, **kept: object) -> list[str]:
        found = forget(*args, **kept)
        at_once.append(len(found))
        return found

    monkeypatch.setattr(image_rows, "forget", counted)
    retention.delete_old_rows()
    with database.reading() as session:
        assert len(session.scalars(select(Image.id)).all()) == len(gone) - 5
    retention.delete_old_rows()
    assert at_once == [1] * 7 + [0]
