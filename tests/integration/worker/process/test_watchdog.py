"""The parent's watch over its child and over itself, with a child that is a real process."""

import pytest
from sqlalchemy import update

from shared.db import workers
from shared.db.jobs import claims, transitions
from shared.db.models import Job
from shared.states import DesiredState
from tests.integration.worker.process.watchdog_rig import refuse


def test_a_worker_is_known_while_it_looks(rig, database) -> None:
    with database.reading() as session:
        assert [worker.name for worker in workers.list_alive(session)] == ["w1"]
        assert workers.count_accepting(session) == 1


@pytest.mark.parametrize("wish", [DesiredState.PAUSE, DesiredState.DRAIN])
def test_a_wish_closes_the_tap_and_its_end_opens_it(rig, database, wish) -> None:
    for told, is_open in ((wish, False), (DesiredState.WORK, True)):
        with database.writing() as session:
            workers.set_desired_state(session, "w1", told)
        rig.watchdog.check()
        assert rig.tap.is_open is is_open


def test_a_child_that_makes_steps_is_left_alone(rig, settings) -> None:
    job_id = rig.run_job()
    for step in range(1, 5):
        rig.now += settings.stall_s * 0.9
        rig.make_step(job_id, step)
        rig.watchdog.check()
    assert rig.lives(0)
    assert rig.job(job_id).state == "running"


def test_a_child_that_hangs_is_killed_and_its_job_goes_back(rig, settings) -> None:
    job_id = rig.run_job()
    rig.now += settings.stall_s + 1
    rig.watchdog.check()
    assert rig.killed()
    assert (rig.job(job_id).state, rig.job(job_id).lost_attempts) == ("queued", 1)


def test_a_child_that_froze_until_its_job_was_taken_is_killed(rig) -> None:
    job_id = rig.run_job()
    rig.painting = True
    with rig.database.writing() as session:
        transitions.lose(session, claims.Claim(job_id, 1, "w1"))
    rig.watchdog.check()
    assert rig.lives(0)  # it may just be about to end
    rig.now += 6
    rig.watchdog.check()
    assert rig.killed()
    assert rig.job(job_id).state == "queued"


def test_a_fresh_child_has_a_while_to_claim_the_job_of_a_message_older_than_itself(rig) -> None:
    rig.messages.count = 1  # others wait as well
    rig.let_the_child_die()
    rig.start_child(ready=False)
    rig.watchdog.message_taken()
    rig.now += 20
    rig.watchdog.check()
    rig.painting = True
    rig.now += 1
    rig.watchdog.check()
    assert rig.lives(1)
    rig.now += 6
    rig.watchdog.check()
    assert rig.spawned[1].wait(10) == -9


def test_a_worker_without_a_child_asks_for_one_unless_it_ends(rig) -> None:
    rig.watchdog.check()
    assert rig.refilled == 0
    rig.let_the_child_die()
    rig.watchdog.check()
    assert rig.refilled == 1
    rig.watchdog.end()
    rig.watchdog.check()
    assert rig.refilled == 1


def test_a_child_over_its_jobs_limit_is_killed_and_the_job_failed(rig) -> None:
    job_id = rig.run_job(time_limit_s=30.0, ran_s=20.0)
    rig.now += 14
    rig.watchdog.check()
    assert rig.job(job_id).state == "running"  # the child has a while to stop by itself
    rig.now += 2
    rig.watchdog.check()
    assert rig.killed()
    assert rig.job(job_id).error_code == "timed_out"


def test_the_job_of_a_child_that_died_goes_back_at_once_and_its_successor_lives(rig) -> None:
    job_id = rig.run_job()
    rig.let_the_child_die()
    rig.start_child()
    rig.watchdog.check()
    assert rig.job(job_id).state == "queued"
    assert rig.lives(1)


def test_a_child_that_keeps_an_ending_worker_is_killed_and_its_job_goes_back_uncounted(rig) -> None:
    job_id = rig.run_job()
    rig.watchdog.end()
    rig.now += 9
    rig.watchdog.check()
    assert rig.killed()
    assert (rig.job(job_id).state, rig.job(job_id).lost_attempts) == ("queued", 0)


def test_an_idle_worker_that_leaves_messages_alone_replaces_itself(rig, settings) -> None:
    rig.messages.count = 1
    rig.watchdog.message_taken()
    rig.now += settings.starve_s - 1
    rig.watchdog.check()
    assert rig.replaced == 0
    rig.now += 2
    rig.watchdog.check()
    assert rig.replaced == 1
    assert rig.killed()


def test_a_child_that_still_learns_its_weights_is_given_time(rig, settings) -> None:
    rig.spawned[-1].kill()
    rig.spawned[-1].wait(10)
    rig.start_child(ready=False)
    rig.messages.count = 1
    rig.watchdog.message_taken()
    rig.now += settings.stall_s - 1
    rig.watchdog.check()
    assert rig.replaced == 0
    rig.tell_ready()
    rig.watchdog.check()
    assert rig.replaced == 0  # it is about to take one
    rig.now += settings.starve_s + 1
    rig.watchdog.check()
    assert rig.replaced == 1


def test_a_busy_or_paused_worker_may_leave_messages_alone(rig, settings, database) -> None:
    rig.messages.count = 1
    rig.run_job()
    rig.now += settings.starve_s + 1
    rig.watchdog.check()
    with database.writing() as session:
        session.execute(update(Job).values(state="canceled", lease_expires_at=None))
        workers.set_desired_state(session, "w1", DesiredState.PAUSE)
    rig.watchdog.check()
    rig.now += settings.starve_s + 1
    rig.watchdog.check()
    assert rig.replaced == 0


def test_a_database_that_was_away_is_not_the_workers_fault(rig, settings, monkeypatch) -> None:
    rig.messages.count = 1
    with monkeypatch.context() as away:
        away.setattr(rig.database, "writing", refuse)
        rig.now += settings.starve_s + 1
        rig.watchdog.check_safely()
    rig.watchdog.check_safely()
    assert rig.replaced == 0
    rig.now += settings.starve_s + 1
    rig.watchdog.check_safely()
    assert rig.replaced == 1
