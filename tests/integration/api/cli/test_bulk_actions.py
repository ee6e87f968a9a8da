"""The commands about many jobs at once, about what was done and what failed."""

import json
from collections.abc import Callable
from functools import partial

import pytest

from shared.db.jobs import transitions
from shared.errors import Diverged
from shared.messaging.progress import RedisProgress
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_job
from worker.maintenance.bulk_actions import advance_bulk_actions

RETRY = ("operations", "start", "retry", "--code", "diverged")


@pytest.fixture
def failed(database) -> list[str]:
    """Two jobs that have failed."""
    made = [add_job(database, label="sea") for _ in range(2)]
    with database.writing() as session:
        for job_id in made:
            held = claim_job(session, job_id, worker="w1", weights={}, lease_s=20)
            assert held is not None
            transitions.fail(session, held, Diverged("no numbers"))
    return made


@pytest.fixture
def maintenance(database, store, redis) -> Callable[[], None]:
    return partial(advance_bulk_actions, database, store, RedisProgress(redis))


def test_jobs_are_counted_first_then_tried_again_and_followed(atelier, failed, maintenance) -> None:
    assert atelier(*RETRY, "--dry-run").stdout == "2\n"
    begun = atelier(*RETRY, "--reason", "the disk has room")
    assert (begun.exit_code, begun.stderr) == (0, "2 jobs match.\n")
    maintenance()
    operation_id = begun.stdout.strip()
    shown = json.loads(atelier("operations", "show", operation_id, "--json").stdout)
    assert (shown["state"], shown["done"], shown["refused"]) == ("done", 2, 0)
    sheet = atelier("operations", "show", operation_id).stdout
    assert "2/2" in sheet
    assert "the disk has room" in sheet
    assert {job["retry_of"] for job in json.loads(atelier("list", "--state", "queued", "--json").stdout)} == set(failed)
    assert operation_id in atelier("operations", "list").stdout
    assert len(json.loads(atelier("operations", "list", "--json").stdout)) == 1


def test_an_operation_is_stopped(atelier, failed, maintenance) -> None:
    operation_id = atelier(*RETRY, "--reason", "r").stdout.strip()
    stopped = json.loads(atelier("operations", "stop", operation_id, "--json").stdout)
    maintenance()
    assert (stopped["state"], stopped["done"]) == ("stopped", 0)
    assert len(json.loads(atelier("list", "--json").stdout)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cancel", "--label", "sea"), "--reason"),
        (("cancel", "--reason", "r"), "which jobs"),
        (("paint", "--label", "sea", "--reason", "r"), "paint"),
        (("cancel", "--created-after", "soon", "--reason", "r"), "soon"),
    ],
)
def test_what_is_no_operation_is_a_mistake_in_the_command(atelier, words, said) -> None:
    refused = atelier("operations", "start", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_each_part_of_a_filter_reaches_the_server(atelier, database) -> None:
    batch_id = add_batch(database, label="sea")
    add_items(database, batch_id, 2)
    parts = ("--owner", "local", "--label", "sea", "--batch", batch_id, "--state", "queued")
    moments = ("--created-after", "2020-01-01T00:00Z", "--created-before", "2999-01-01T00:00Z")
    assert atelier("operations", "start", "cancel", *parts, *moments, "--dry-run").stdout == "2\n"
    for part in (("--batch", "none"), ("--created-before", "2020-01-01T00:00Z"), ("--label", "land")):
        assert atelier("operations", "start", "cancel", *parts, *part, "--dry-run").stdout == "0\n"


def test_jobs_are_listed_by_code_batch_and_time(atelier, database, failed) -> None:
    items = add_items(database, batch_id := add_batch(database), 2)

    def listed(*words: str) -> list[str]:
        return sorted(job["id"] for job in json.loads(atelier("list", *words, "--json").stdout))

    assert listed("--code", "diverged") == sorted(failed)
    assert listed("--batch", batch_id) == sorted(items)
    assert listed("--created-before", "2020-01-01T00:00Z") == []


def test_failures_are_a_table_for_people_and_groups_for_programs(atelier, failed) -> None:
    assert "No failures" not in (table := atelier("failures").stdout)
    assert {"diverged", "2", failed[1]} <= set(table.split())
    (group,) = json.loads(atelier("failures", "--json").stdout)
    assert (group["code"], group["count"], group["worker"]) == ("diverged", 2, "w1")


def test_the_log_tells_who_did_what_and_why(atelier, failed) -> None:
    atelier("queue", "pause")
    atelier(*RETRY, "--reason", "the disk has room")
    first, second = atelier("audit").stdout.splitlines()[1:]
    assert "operation.start" in first
    assert "(the disk has room)" in first
    assert "local's" in second
    listed = json.loads(atelier("audit", "--action", "queue.pause", "--after", "2020-01-01T00:00Z", "--json").stdout)
    assert [entry["action"] for entry in listed] == ["queue.pause"]
    assert json.loads(atelier("audit", "--before", "2020-01-01T00:00Z", "--json").stdout) == []
