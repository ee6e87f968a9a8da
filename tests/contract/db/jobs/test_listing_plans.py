"""How the databases answer what is asked of many jobs: by indexes, whatever a listing is filtered by."""

from itertools import product

import pytest
from sqlalchemy import select

from shared import clock
from shared.db.admin import bulk_actions
from shared.db.admin.bulk_steps import Action
from shared.db.jobs import failures, forecasts, queries
from shared.db.jobs.queries import Filter
from shared.db.models import Job
from shared.states import State
from tests.support.factories import add_image, add_operation
from tests.support.many_jobs import fill
from tests.support.query_plans import plans, reads_all

_COUNT = 20_000
#: A page of the common state, of one that is rare, of one that no job is in, of some, and of all.
_STATES = ([State.SUCCEEDED], [State.FAILED], [State.RUNNING], [State.FAILED, State.QUEUED], [])


@pytest.fixture
def crowded(database):
    """A database with enough jobs that reading all of them is a mistake."""
    fill(database, add_image(database), _COUNT)
    return database


def test_no_filter_of_a_listing_has_all_jobs_read(crowded) -> None:
    with crowded.reading() as session:
        middle = session.scalars(select(Job).order_by(Job.sort_id).offset(_COUNT // 2).limit(1)).one()
    owners, labels = (None, "o0", "o7", "nobody"), (None, "l0", "l3", "none")
    moments, places = (None, middle.created_at), (None, middle.sort_id)
    offenders = []
    for states, owner, label, moment, place in product(_STATES, owners, labels, moments, places):
        wanted = Filter(states, owner, label, moment)
        found = plans(crowded, lambda s: queries.list_jobs(s, wanted, before=place, limit=51))  # noqa: B023 - asked at once
        if any(reads_all(plan) for plan in found):
            offenders.append((wanted, place))
    assert offenders == []


def test_no_filter_by_code_or_batch_has_all_jobs_read(crowded) -> None:
    owners, codes, batches = (None, "o0", "o7"), (None, "diverged", "none"), (None, "none")
    moment = clock.now()
    offenders = []
    for states, owner, code, batch_id, before in product(_STATES, owners, codes, batches, (None, moment)):
        wanted = Filter(states, owner, code=code, batch_id=batch_id, created_before=before)
        if any(reads_all(plan) for plan in plans(crowded, lambda s: queries.list_jobs(s, wanted, limit=51))):  # noqa: B023 - asked at once
            offenders.append(wanted)
    assert offenders == []


@pytest.mark.parametrize("action", list(Action))
def test_no_portion_of_an_operation_has_all_jobs_read(crowded, action) -> None:
    with crowded.reading() as session:
        middle = session.scalars(select(Job).order_by(Job.sort_id).offset(_COUNT // 2).limit(1)).one()
    offenders = []
    for owner, label, code, reached in product((None, "o7"), (None, "l3"), (None, "diverged"), (None, middle.sort_id)):
        chosen = bulk_actions.filter_to_json(Filter(owner=owner, label=label, code=code))
        begun = add_operation(crowded, action=action, chosen=chosen, reached=reached)
        with crowded.reading() as session:
            found = bulk_actions.get_operation(session, begun)
        wanted = bulk_actions.filter_from_json(found)
        if any(reads_all(plan) for plan in plans(crowded, lambda s: bulk_actions.next_job_ids(s, found, wanted))):  # noqa: B023 - asked at once
            offenders.append(wanted)
    assert offenders == []


@pytest.mark.parametrize(
    "question",
    [
        queries.get_backlog,
        queries.busy_s,
        queries.running_by_worker,
        lambda session: queries.count_ended_since(session, 0.0),
        failures.list_groups,
        lambda session: queries.list_running_on(session, "w1"),
        lambda session: forecasts.samples(session, 500),
        lambda session: forecasts.recent_times(session, 500),
        lambda session: forecasts.list_eta_outcomes(session, 500),
        lambda session: forecasts.count_ahead(session, "o7", 0, "ffffffff"),
    ],
)
def test_no_question_about_the_queue_or_the_last_jobs_has_all_read(crowded, question) -> None:
    assert [plan for plan in plans(crowded, question) if reads_all(plan)] == []
