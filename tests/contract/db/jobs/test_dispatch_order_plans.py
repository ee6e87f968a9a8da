"""Dispatch reads only the first jobs of each queue, however many wait behind them."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.db.jobs import dispatch_order
from shared.db.jobs.dispatch_order import Capacity
from shared.states import BatchState
from tests.support.factories import add_batch, add_items
from tests.support.many_jobs import multiply
from tests.support.query_plans import made_by, plans, reads_all

ITEMS, LANES, CAPACITY = 100_000, 200, Capacity(2, 2, 2)


@pytest.fixture
def crowded(database):
    """A hundred thousand items wait in two hundred batches; eight of a batch are painted together."""
    batch_ids = [add_batch(database, state=BatchState.RUNNING, max_parallel=20) for _ in range(LANES)]
    [item] = add_items(database, batch_ids[0], 1, group_key="8:a")
    multiply(database, item, batch_ids, ITEMS)
    return database


def choose(session) -> None:
    assert [len(message.job_ids) for message in dispatch_order.choose(session, CAPACITY, 60.0)] == [8, 8]


def test_no_dispatch_reads_the_backlog(crowded) -> None:
    found = plans(crowded, choose)
    assert found
    assert [plan for plan in found if reads_all(plan)] == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_dispatch_reads_a_few_rows_of_each_lane(crowded) -> None:
    with crowded.writing() as session, made_by(crowded.engine) as made:
        choose(session)
        session.rollback()
    with crowded.engine.connect() as connection:  # nothing is committed
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) "
        answers = [connection.exec_driver_sql(explain + each, values).scalar() for each, values in made]
    read = sum(rows for answer in answers for rows in _read(answer[0]["Plan"]))
    assert LANES < read < 20 * LANES


def _read(plan: dict[str, Any]) -> Iterator[float]:
    """Walk a plan for how many rows of jobs each of its scans read."""
    if plan.get("Relation Name") == "jobs":
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield rows * plan["Actual Loops"]
    for below in plan.get("Plans", ()):
        yield from _read(below)
