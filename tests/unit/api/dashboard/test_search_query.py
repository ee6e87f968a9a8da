"""What is typed into the search becomes a filter, and a filter what would be typed."""

from datetime import UTC, datetime

import pytest

from api.dashboard.search_query import parse, to_text
from shared.db.jobs.queries import Filter
from shared.errors import InvalidParams
from shared.states import State


def test_nothing_is_everything() -> None:
    assert parse("") == (Filter(), None)


def test_every_field_is_read_and_written_again() -> None:
    text = 'state:failed state:canceled code:diverged owner:ann label:"in oils" batch:b1 after:2026-01-31T12:00:00Z'
    wanted = parse(text).filter
    assert wanted == Filter(
        states=(State.FAILED, State.CANCELED),
        owner="ann",
        label="in oils",
        created_after=datetime(2026, 1, 31, 12, tzinfo=UTC),
        code="diverged",
        batch_id="b1",
    )
    assert parse(to_text(wanted)).filter == wanted


def test_a_day_is_that_of_utc() -> None:
    assert parse("before:2026-01-31").filter.created_before == datetime(2026, 1, 31, tzinfo=UTC)


def test_an_id_is_told_from_words() -> None:
    job_id = "01a20750-e506-729a-9bdf-2a44836107f2"
    assert parse(job_id).job_id == job_id


def test_a_label_may_be_empty_or_look_like_a_field() -> None:
    assert parse('label:""').filter.label == ""
    assert parse('label:"state:failed"').filter == Filter(label="state:failed")
    assert parse(to_text(Filter(label="a b"))).filter.label == "a b"


@pytest.mark.parametrize("text", ["oils", "colour:red", "state:", "state:done", "owner:a owner:b", "after:12:00"])
def test_what_cannot_be_looked_for_is_refused(text) -> None:
    with pytest.raises(InvalidParams):
        parse(text)
