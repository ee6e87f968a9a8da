"""What goes before a job, and what became of promises."""

from datetime import timedelta

from sqlalchemy import update

from shared import clock
from shared.db.jobs import forecasts, transitions
from shared.db.models import Job
from shared.states import BatchState
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_job


def ahead(database, job_id: str) -> forecasts.JobsAhead:
    with database.reading() as session:
        job = session.get(Job, job_id)
        return forecasts.count_ahead(session, job.owner, job.priority, job.sort_id, job.batch_id)


def test_the_queue_goes_by_priority_and_then_by_age(database) -> None:
    first, second, urgent = add_job(database), add_job(database), add_job(database, priority=5)
    assert [ahead(database, job_id).jobs for job_id in (first, second, urgent)] == [1, 2, 0]


def test_owners_take_turns_whatever_each_has_waiting(database) -> None:
    for _ in range(10):
        add_job(database, owner="ann")
    first, second = (add_job(database, owner="bob") for _ in range(2))
    assert [ahead(database, job_id).jobs for job_id in (first, second)] == [1, 3]


def test_items_of_batches_go_before_other_jobs_only_where_their_batch_is_more_urgent(database) -> None:
    for state in (BatchState.RUNNING, BatchState.PAUSED):
        add_items(database, add_batch(database, state=state), 3)
    assert ahead(database, add_job(database, owner="bob")).jobs == 0
    add_items(database, add_batch(database, state=BatchState.RUNNING, priority=4), 2)
    add_items(database, add_batch(database, state=BatchState.PAUSED, priority=4), 2)
    assert ahead(database, add_job(database)).jobs == 3, "bob's, and the items of the urgent batch that runs"


def test_an_item_lets_other_jobs_pass_and_takes_turns_with_other_batches(database) -> None:
    items = add_items(database, add_batch(database, state=BatchState.RUNNING), 3)
    assert [ahead(database, item).jobs for item in items] == [0, 1, 2]
    add_items(database, add_batch(database, state=BatchState.RUNNING, owner="bob"), 9)
    add_items(database, add_batch(database, state=BatchState.OPEN, owner="eve"), 9)
    add_job(database, owner="bob")
    add_job(database, priority=-1)
    assert [ahead(database, item).jobs for item in items] == [2, 4, 6]


def test_the_time_ahead_is_what_was_predicted(database) -> None:
    for seconds in (10.0, 20.0):
        add_job(database, predicted_s=seconds)
    assert ahead(database, add_job(database, predicted_s=1.0)) == forecasts.JobsAhead(2, 30.0)
    assert ahead(database, add_job(database, priority=9)) == forecasts.JobsAhead(0, 0.0)


def test_nobody_can_say_how_long_unpredicted_jobs_take(database) -> None:
    add_job(database)
    assert ahead(database, add_job(database)) == forecasts.JobsAhead(1, None)


def test_jobs_that_succeeded_tell_what_was_predicted_promised_and_real(database) -> None:
    now = clock.now()
    job_id = add_job(database, predicted_s=10.0)
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w", weights={}, lease_s=20)
        transitions.succeed(session, held, result={"key": "x"})
        times = {"started_at": now + timedelta(seconds=5), "ended_at": now + timedelta(seconds=25), "created_at": now}
        promised = {"eta_p50_at": now + timedelta(seconds=20), "eta_p90_at": now + timedelta(seconds=30)}
        session.execute(update(Job).values(**times, **promised))
    add_job(database)
    with database.reading() as session:
        [sample] = forecasts.samples(session, 10)
        [promise] = forecasts.list_eta_outcomes(session, 10)
        times = forecasts.recent_times(session, 10)
    assert (sample.preset, sample.long_side, sample.predicted_s, round(sample.took_s)) == ("classic", 32, 10.0, 20)
    assert promise.p50_at < promise.ended_at < promise.p90_at
    assert ([round(each) for each in times.waits_s], [round(each) for each in times.runs_s]) == ([5], [20])


def test_a_job_passes_batches_and_an_item_lets_other_jobs_pass(database) -> None:
    batch = add_batch(database, state=BatchState.RUNNING)
    first, *_, last = add_items(database, batch, 20)
    job = add_job(database)
    assert [ahead(database, each).jobs for each in (job, first, last)] == [0, 1, 20]


def test_batches_take_turns_and_more_urgent_ones_go_before_other_jobs(database) -> None:
    slow = add_items(database, add_batch(database, state=BatchState.RUNNING), 5)
    fast = add_items(database, add_batch(database, state=BatchState.RUNNING, priority=3), 4)
    add_items(database, add_batch(database, state=BatchState.PAUSED, priority=9), 4)
    other = add_items(database, add_batch(database, state=BatchState.RUNNING, owner="bob"), 9)
    job = add_job(database)
    assert ahead(database, job).jobs == 4
    assert ahead(database, fast[2]).jobs == 2 + 3, "priority counts among an owner's jobs alone"
    assert ahead(database, slow[1]).jobs == 1 + 4 + 1 + 2
    assert ahead(database, other[0]).jobs == 1 + 1 + 1
