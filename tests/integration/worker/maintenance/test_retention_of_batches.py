"""Batches go when nothing is left of them, and what their items still need stays. No test waits: rows age."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from shared import clock
from shared.db.models import Batch, Image, Job
from shared.states import BatchState, State
from shared.storage.store import image_key
from tests.support.factories import add_batch, add_image, add_items
from worker.maintenance.retention import Retention

pytestmark = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)
YEAR = timedelta(days=365)


@pytest.fixture
def retention(settings, database, store) -> Retention:
    return Retention(settings, database, store)


def let_a_year_pass(database) -> None:
    past = clock.now() - YEAR
    with database.writing() as session:
        session.execute(update(Image).values(last_used_at=past, created_at=past))
        session.execute(update(Job).values(created_at=past))


def end(database, batch_id: str, state: State, **values: object) -> None:
    """End a batch and its items a year ago."""
    past = clock.now() - YEAR
    with database.writing() as session:
        session.execute(update(Batch).where(Batch.id == batch_id).values(state=BatchState.FINISHED, ended_at=past))
        session.execute(update(Job).where(Job.batch_id == batch_id).values(state=state, ended_at=past, **values))


def batches_left(database) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(select(Batch.id)))


def test_a_batch_is_forgotten_once_its_last_item_is(database, retention) -> None:
    kept, emptied = add_batch(database), add_batch(database)
    for batch_id in (kept, emptied):
        add_items(database, batch_id, 2)
    end(database, kept, State.CANCELED)  # what it left is not gone yet
    end(database, emptied, State.CANCELED, files_gone_at=clock.now())
    retention.delete_old_rows()
    assert batches_left(database) == {kept}


def test_a_batch_that_has_not_ended_is_kept_however_old_and_empty(database, retention) -> None:
    waiting = {add_batch(database, state=state) for state in (BatchState.OPEN, BatchState.PAUSED)}
    with database.writing() as session:
        session.execute(update(Batch).values(created_at=clock.now() - YEAR))
    retention.delete_old_rows()
    assert batches_left(database) == waiting


@pytest.mark.parametrize("state", [BatchState.OPEN, BatchState.PAUSED, BatchState.RUNNING])
def test_a_picture_that_an_item_waits_with_stays_for_as_long_as_it_waits(database, store, retention, state) -> None:
    unneeded = add_image(database, b"unneeded")
    batch_id = add_batch(database, state=state)
    [item] = add_items(database, batch_id, 1)
    with database.reading() as session:
        needed = session.get(Job, item).content_id
    for image_id in (needed, unneeded):
        store.put(image_key(image_id), b"picture")
    let_a_year_pass(database)
    with database.writing() as session:
        session.execute(update(Image).where(Image.id == unneeded).values(last_used_at=clock.now() - 2 * YEAR))
    retention.expire_images()
    assert store.exists(image_key(needed))
    assert not store.exists(image_key(unneeded))
    end(database, batch_id, State.CANCELED)
    retention.expire_images()
    assert not store.exists(image_key(needed))
