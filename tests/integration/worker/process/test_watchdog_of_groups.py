"""The parent's watch over a child that paints several jobs: what ends it is written of each of them at once."""

from sqlalchemy import update

from shared.db.jobs import claims, queries, transitions
from shared.db.models import Job
from tests.integration.worker.process.watchdog_rig import refuse
from tests.support.claims import claim_job
from tests.support.factories import add_job


def test_a_group_of_which_one_makes_steps_is_left_alone(rig, settings) -> None:
    group = rig.run_group(None, None, 30.0)
    for step in range(1, 4):
        rig.now += settings.stall_s * 0.9
        rig.make_step(group[0], step)
        rig.watchdog.check()
    assert rig.lives(0)
    assert rig.states(group) == [("running", 0, None)] * 3  # the child itself ends the one over its limit


def test_jobs_that_end_one_after_the_other_are_no_hang(rig, settings) -> None:
    group = rig.run_group(None, None, None)
    for number, job_id in enumerate(group[:2], start=1):
        rig.now += settings.stall_s * 0.9
        with rig.database.writing() as session:
            transitions.stop(session, claims.Claim(job_id, 1, "w1"), result=None)
        rig.watchdog.check()
        assert rig.states(group[number:]) == [("running", 0, None)] * (3 - number)
    assert rig.lives(0)


def test_a_child_that_hangs_over_a_group_is_killed_and_all_go_back(rig, settings) -> None:
    group = rig.run_group(None, None, None)
    rig.now += settings.stall_s + 1
    rig.watchdog.check()
    assert rig.killed()
    assert rig.states(group) == [("queued", 1, None)] * 3


def test_a_child_that_hangs_over_one_jobs_limit_fails_that_one_alone(rig, database) -> None:
    group = rig.run_group(None, 30.0, None)
    rig.now += 36
    rig.watchdog.check()
    assert rig.killed()
    assert rig.states(group) == [("queued", 0, None), ("failed", 0, "timed_out"), ("queued", 0, None)]
    assert {rig.job(job_id).attempt for job_id in group} == {1}  # so that none of them goes in a group again
    with database.reading() as session:
        last = queries.list_events(session, group[0])[-1]
    assert (last.name, last.details) == ("job_returned", {"reason": "companion_over_limit"})


def test_the_time_that_a_living_child_tells_of_is_counted_once(rig, database) -> None:
    job_id = rig.run_job(time_limit_s=60.0)
    for ran_s in range(50):
        rig.now += 1
        with database.writing() as session:
            session.execute(update(Job).where(Job.id == job_id).values(ran_s=float(ran_s)))
        rig.watchdog.check()
    assert rig.job(job_id).state == "running"


def test_all_jobs_of_a_child_that_died_go_back_also_those_it_had_just_claimed(rig, database) -> None:
    group = rig.run_group(None, None)
    unseen = add_job(database)
    with database.writing() as session:
        assert claim_job(session, unseen, worker="w1", weights={}, lease_s=20)
    rig.let_the_child_die()
    rig.start_child()
    rig.watchdog.check()
    assert rig.states([*group, unseen]) == [("queued", 1, None)] * 3
    assert rig.lives(1)


def test_a_job_of_the_successor_is_its_own(rig) -> None:
    rig.let_the_child_die()
    rig.watchdog.check()
    rig.start_child()
    job_id = rig.run_job()
    rig.watchdog.check()
    assert rig.job(job_id).state == "running"


def test_a_child_that_keeps_an_ending_worker_gives_its_group_back_uncounted(rig) -> None:
    group = rig.run_group(None, 5.0)
    rig.watchdog.end()
    rig.now += 9
    rig.watchdog.check()
    assert rig.killed()
    assert rig.states(group) == [("queued", 0, None)] * 2


def test_what_cannot_be_written_of_a_killed_childs_jobs_is_written_later(rig, settings, monkeypatch) -> None:
    group = rig.run_group(None, None)
    rig.now += settings.stall_s + 1
    with monkeypatch.context() as away:
        away.setattr(transitions, "lose", refuse)
        rig.watchdog.check_safely()
    assert rig.killed()
    rig.start_child()
    rig.watchdog.check_safely()
    assert rig.states(group) == [("queued", 1, None)] * 2
    assert rig.lives(1)
