"""Bulk actions: counted, carried out a portion at a time, by any number at once, through deaths, and stopped."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from shared import clock, ids
from shared.db.admin import bulk_actions
from shared.db.admin.bulk_steps import Action
from shared.db.base import Database
from shared.db.jobs import claims, queries, transitions
from shared.db.jobs.queries import Filter
from shared.db.models import Job, Operation
from shared.errors import Diverged, IllegalTransition, NotFound
from shared.states import State
from tests.support.claims import claim_job
from tests.support.concurrency import race
from tests.support.factories import add_batch, add_image, add_items, add_job, add_key


def begin(database: Database, action: Action, wanted: Filter, *, owner: str | None = None, key_id: str = "k") -> str:
    """Begin an operation and return its id."""
    with database.writing() as session:
        matched = bulk_actions.count_matches(session, action, wanted)
        values = {"action": action, "chosen": bulk_actions.filter_to_json(wanted), "reason": "r", "key_id": key_id}
        made = Operation(**values, owner=owner, matched=matched)
        bulk_actions.create(session, made)
    return made.id


def advance(database: Database, operation_id: str) -> bulk_actions.ChunkResult | None:
    with database.writing() as session:
        return bulk_actions.run_chunk(session, operation_id)


def carry_out(database: Database, operation_id: str) -> Operation:
    """Advance until the end; return what the operation is then."""
    while (portion := advance(database, operation_id)) is not None and portion.advanced:
        pass
    return shown(database, operation_id)


def shown(database: Database, operation_id: str) -> Operation:
    with database.reading() as session:
        return bulk_actions.get_operation(session, operation_id)


def job(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return queries.get_job(session, job_id)


def successors(database: Database) -> list[str]:
    """Return which jobs were tried again, as often as they were."""
    with database.reading() as session:
        return sorted(name for name in session.scalars(select(Job.retry_of)) if name)


def run(database: Database, job_id: str) -> claims.Claim:
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w", weights={}, lease_s=20)
    assert held is not None
    return held


def failed(database: Database, **values: Any) -> str:
    job_id = add_job(database, **values)
    held = run(database, job_id)
    with database.writing() as session:
        transitions.fail(session, held, Diverged())
    return job_id


@pytest.fixture
def small_portions(monkeypatch) -> None:
    monkeypatch.setattr(bulk_actions, "CHUNK_SIZE", 2)


def test_what_matches_is_canceled_and_nothing_else(database, small_portions) -> None:
    wanted = [add_job(database, label="sea") for _ in range(5)]
    other, ended = add_job(database, label="land"), failed(database, label="sea")
    begun = begin(database, Action.CANCEL, Filter(label="sea"))
    assert shown(database, begun).matched == 5
    after = add_job(database, label="sea")
    found = carry_out(database, begun)
    assert (found.state, found.done, found.refused, found.matched) == ("done", 5, 0, 5)
    assert found.ended_at is not None
    assert {job(database, job_id).state for job_id in wanted} == {"canceled"}
    assert [job(database, job_id).state for job_id in (other, ended, after)] == ["queued", "failed", "queued"]


def test_running_jobs_are_wished_canceled_and_named_so_that_they_are_told(database) -> None:
    job_id = add_job(database, owner="ann")
    run(database, job_id)
    portion = advance(database, begin(database, Action.CANCEL, Filter(owner="ann")))
    assert portion is not None
    assert portion.result.stopping == [job_id]
    assert job(database, job_id).cancel_requested_at is not None


def test_what_is_in_another_state_than_the_action_is_for_refuses_and_is_counted(database) -> None:
    waiting, ended = add_job(database, label="x"), failed(database, label="x")
    wanted = Filter([State.QUEUED, State.FAILED], label="x")
    found = carry_out(database, begin(database, Action.DELETE, wanted))
    assert (found.matched, found.done, found.refused) == (2, 2, 1)
    assert job(database, waiting).state == "queued"
    with pytest.raises(NotFound):
        job(database, ended)


def test_deleted_jobs_are_named_so_that_their_files_can_go(database) -> None:
    ended = [failed(database) for _ in range(3)]
    portion = advance(database, begin(database, Action.DELETE, Filter(code="diverged")))
    assert portion is not None
    assert portion.result.removed == ended
    with database.reading() as session:
        assert queries.list_jobs(session, limit=10) == []


def test_a_job_tried_again_is_another_that_is_asked_for_alike(database) -> None:
    former = job(database, failed(database, label="sea", priority=3, owner="ann", annotations={"order": 7}))
    carry_out(database, begin(database, Action.RETRY, Filter(code="diverged")))
    with database.reading() as session:
        (fresh,) = queries.list_jobs(session, Filter([State.QUEUED]), limit=10)
    assert (fresh.retry_of, fresh.label, fresh.priority, fresh.owner) == (former.id, "sea", 3, "ann")
    assert (fresh.params, fresh.styles, fresh.annotations) == (former.params, former.styles, {"order": 7})


def test_what_an_operation_makes_is_not_dealt_with_by_it(database, small_portions) -> None:
    ended = [failed(database, label="sea") for _ in range(5)]
    every = Filter([State.FAILED, State.QUEUED], label="sea")
    found = carry_out(database, begin(database, Action.RETRY, every))
    assert (found.done, found.refused) == (5, 0)
    assert successors(database) == sorted(ended)


def test_a_job_whose_picture_is_gone_or_that_nobody_can_read_is_refused(database) -> None:
    gone = failed(database, image_id=add_image(database, b"gone", gone_at=clock.now()))
    broken, whole = failed(database), failed(database)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == broken).values(params={"steps": "many"}))
    found = carry_out(database, begin(database, Action.RETRY, Filter([State.FAILED])))
    assert (found.done, found.refused) == (3, 2)
    assert successors(database) == [whole]
    assert job(database, gone).state == "failed"


def test_no_more_is_tried_again_than_may_wait(database) -> None:
    key_id = add_key(database, "client", "ann", max_waiting=2).split("_")[1]
    for _ in range(3):
        failed(database, owner="ann")
        failed(database, owner="bob")
    everyones = carry_out(database, begin(database, Action.RETRY, Filter([State.FAILED])))
    assert (everyones.done, everyones.refused) == (6, 1)
    anns = carry_out(database, begin(database, Action.RETRY, Filter([State.FAILED]), owner="ann", key_id=key_id))
    assert (anns.done, anns.refused) == (3, 3)


def test_a_clients_operation_finds_its_own_jobs_alone(database) -> None:
    mine, other = add_job(database, owner="ann"), add_job(database, owner="bob")
    carry_out(database, begin(database, Action.CANCEL, Filter([State.QUEUED], owner="bob"), owner="ann"))
    assert (job(database, mine).state, job(database, other).state) == ("canceled", "queued")


def test_the_items_of_a_batch_can_be_chosen(database) -> None:
    batch_id = add_batch(database)
    items, other = add_items(database, batch_id, 3), add_job(database)
    carry_out(database, begin(database, Action.CANCEL, Filter(batch_id=batch_id)))
    assert {job(database, job_id).state for job_id in items} == {"canceled"}
    assert job(database, other).state == "queued"


def test_however_many_carry_it_on_each_job_is_tried_again_once(database, small_portions) -> None:
    ended = [failed(database) for _ in range(11)]
    begun = begin(database, Action.RETRY, Filter(code="diverged"))

    def carry_on() -> None:
        while shown(database, begun).state == "running":
            advance(database, begun)

    race(carry_on, 4)
    assert successors(database) == sorted(ended)
    assert (shown(database, begun).done, shown(database, begun).refused) == (11, 0)


def test_a_death_in_the_middle_neither_skips_nor_doubles(database, small_portions) -> None:
    ended = [failed(database) for _ in range(5)]
    begun = begin(database, Action.RETRY, Filter(code="diverged"))
    advance(database, begun)

    def die_before_the_commit() -> None:
        with database.writing() as session:
            bulk_actions.run_chunk(session, begun)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die_before_the_commit()
    assert (shown(database, begun).done, successors(database)) == (2, sorted(ended[:2]))
    assert carry_out(database, begun).done == 5
    assert successors(database) == sorted(ended)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_job_that_somebody_else_has_is_not_passed_over(database) -> None:
    first, held, last = (add_job(database, label="sea") for _ in range(3))
    begun = begin(database, Action.CANCEL, Filter(label="sea"))
    with database.writing() as session:
        session.execute(select(Job.id).where(Job.id == held).with_for_update())
        moved = [portion.advanced for portion in (advance(database, begun), advance(database, begun)) if portion]
        assert moved == [True, False]
        assert [job(database, job_id).state for job_id in (first, held, last)] == ["canceled", "queued", "queued"]
    assert carry_out(database, begun).done == 3


def test_an_operation_that_is_stopped_does_nothing_more(database, small_portions) -> None:
    waiting = [add_job(database, label="sea") for _ in range(4)]
    begun = begin(database, Action.CANCEL, Filter(label="sea"))
    advance(database, begun)
    for _ in range(2):  # stopping twice is stopping once
        with database.writing() as session:
            assert bulk_actions.stop(session, begun).state == "stopped"
    assert advance(database, begun) is None
    assert [job(database, job_id).state for job_id in waiting] == ["canceled"] * 2 + ["queued"] * 2
    assert (shown(database, begun).done, shown(database, begun).matched) == (2, 4)


def test_one_that_is_done_cannot_be_stopped_nor_can_a_strangers(database) -> None:
    done = begin(database, Action.CANCEL, Filter(label="none"), owner="ann")
    carry_out(database, done)
    with database.writing() as session:
        with pytest.raises(IllegalTransition):
            bulk_actions.stop(session, done, owner="ann")
        with pytest.raises(NotFound):
            bulk_actions.stop(session, done, owner="bob")
    with database.reading() as session:
        assert [found.id for found in bulk_actions.list_operations(session, owner="ann", before=None, limit=5)] == [
            done
        ]
        assert bulk_actions.list_operations(session, owner="bob", before=None, limit=5) == []


def test_what_matches_is_counted_up_to_a_bound(database, monkeypatch) -> None:
    for _ in range(3):
        add_job(database)
        failed(database)
    with database.reading() as session:
        assert bulk_actions.count_matches(session, Action.CANCEL, Filter()) == 3
        assert bulk_actions.count_matches(session, Action.RETRY, Filter(code="diverged")) == 3
        assert bulk_actions.count_matches(session, Action.DELETE, Filter([State.QUEUED], code="diverged")) == 0
        monkeypatch.setattr(bulk_actions, "MOST_COUNTED", 2)
        assert bulk_actions.count_matches(session, Action.DELETE, Filter(list(State))) == 2


def test_a_filter_is_kept_whole(database) -> None:
    moment = clock.now()
    wanted = Filter([State.FAILED], "ann", "sea", moment, moment, "diverged", "b1")
    begun = shown(database, begin(database, Action.RETRY, wanted))
    assert bulk_actions.filter_from_json(begun) == wanted


def test_operations_that_ended_long_ago_are_forgotten_and_those_under_way_are_not(database) -> None:
    old, under_way, young = (begin(database, Action.CANCEL, Filter(label="none")) for _ in range(3))
    carry_out(database, old)
    carry_out(database, young)
    long_ago = clock.now() - timedelta(days=401)
    with database.writing() as session:
        for number, name in enumerate((old, under_way)):
            aged = ids.first_at(long_ago + timedelta(seconds=number))
            session.execute(update(Operation).where(Operation.id == name).values(id=aged))
        bulk_actions.forget(session, 10)
    with database.reading() as session:
        left = bulk_actions.list_operations(session, owner=None, before=None, limit=5)
    assert [(found.id == young, found.state) for found in left] == [(True, "done"), (False, "running")]
