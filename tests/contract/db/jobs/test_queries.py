"""Listings and counts."""

import pytest

from shared.db.jobs import queries, transitions
from shared.errors import NotFound
from shared.states import State
from tests.support.factories import add_image, add_job


def test_pages_are_newest_first_and_meet_without_gap_or_overlap(database) -> None:
    made = [add_job(database) for _ in range(7)]
    seen, before = [], None
    with database.reading() as session:
        while page := queries.list_jobs(session, before=before, limit=3):
            seen += [job.id for job in page]
            before = page[-1].sort_id
    assert seen == sorted(made, reverse=True)


def test_a_listing_is_filtered_by_state_and_label(database) -> None:
    wanted = add_job(database, label="sea")
    add_job(database, label="land")
    ended = add_job(database, label="sea")
    with database.writing() as session:
        transitions.request_cancel(session, ended)
    with database.reading() as session:
        found = queries.list_jobs(session, queries.Filter([State.QUEUED], label="sea"), limit=10)
    assert [job.id for job in found] == [wanted]


def test_known_images_are_told_from_unknown_ones(database) -> None:
    known = add_image(database)
    with database.reading() as session:
        assert set(queries.get_images(session, [known, "sha256:0"])) == {known}
        with pytest.raises(NotFound):
            queries.get_image(session, "sha256:0")
        with pytest.raises(NotFound):
            queries.get_job(session, "0")


def test_what_is_shown_of_a_job_is_what_the_job_has(database) -> None:
    job_id = add_job(database, label="sea", owner="ann")
    with database.reading() as session, database.autocommit() as connection:
        whole, shown = queries.get_job(session, job_id), queries.get_job_row(connection, job_id, owner="ann")
    assert shown._asdict() == {name: getattr(whole, name) for name in queries.SHOWN_COLUMNS}


@pytest.mark.parametrize(("job_id", "owner"), [("nowhere", None), (None, "bob")])
def test_a_strangers_job_is_shown_no_more_than_none(database, job_id, owner) -> None:
    theirs = add_job(database, owner="ann")
    with database.autocommit() as connection, pytest.raises(NotFound):
        queries.get_job_row(connection, job_id or theirs, owner=owner)
