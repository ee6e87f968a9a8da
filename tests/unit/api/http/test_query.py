"""Query parameters: what a model takes of a request, and how it refuses the rest; and pages of what is listed."""

from typing import Literal

import pytest
from flask import Flask
from pydantic import BaseModel, Field

from api.http.pagination import PageQuery, decode, page
from api.http.query import Count, Flag, parsed_query
from api.schemas.jobs import Timestamp
from shared.errors import InvalidParams
from shared.states import State


class Query(BaseModel):
    """One parameter of each kind."""

    state: list[State] = Field(default_factory=list, description="Several.")
    word: Literal["a", "b"] = Field("a", description="One of some.")
    after: Timestamp | None = Field(None, description="A time.")
    count: Count = Field(0, ge=0, description="A number.")
    wait: float = Field(0, ge=0, le=60, allow_inf_nan=False, description="Seconds.")
    flag: Flag = Field(False, description="Yes or no.")
    text: str | None = Field(None, description="Any text.")


def parsed(query: str, kind: type = Query):
    with Flask("test").test_request_context(f"/?{query}"):
        return parsed_query(kind)


def test_a_query_that_says_nothing_takes_the_defaults() -> None:
    assert parsed("") == Query()


def test_each_kind_of_parameter_is_read_and_unknown_ones_are_ignored() -> None:
    found = parsed("state=queued&state=failed&word=b&count=7&wait=1.5&flag=true&text=&other=1")
    assert (found.state, found.word, found.count, found.wait) == ([State.QUEUED, State.FAILED], "b", 7, 1.5)
    assert (found.flag, found.text) == (True, "")


def test_the_first_counts_of_a_parameter_that_is_sent_twice() -> None:
    assert parsed("count=1&count=2").count == 1


@pytest.mark.parametrize(
    ("query", "bounds"),
    [
        ("state=queued&state=lost", {}),
        ("word=c", {}),
        ("after=2030-01-31", {}),
        *((f"count={text}", {"ge": 0}) for text in ("", "-1", "+5", " 5", "1_0", "1e1", "5.0", "٣", "9" * 30)),
        *((f"wait={text}", {"ge": 0, "le": 60}) for text in ("", "-1", "61", "nan", "inf", "soon")),
        *((f"flag={text}", {}) for text in ("", "1", "yes", "TRUE")),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_bounds(query, bounds) -> None:
    with pytest.raises(InvalidParams) as caught:
        parsed(query.replace("+", "%2B"))
    (mistake,) = caught.value.fields["errors"]
    assert (mistake["pointer"], {name: mistake[name] for name in bounds}) == (query.partition("=")[0], bounds)
    assert set(mistake) == {"pointer", "detail", *bounds}


def test_a_cursor_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParams) as caught:
        parsed("cursor=x", PageQuery)
    assert caught.value.fields["errors"][0]["pointer"] == "cursor"


def test_pages_follow_each_other_to_the_end() -> None:
    rows = [f"00000000-0000-7000-8000-{number:012}" for number in range(5)]

    def listing(after: str | None, limit: int) -> list[str]:
        return [row for row in rows if after is None or row > after][:limit]

    found, after, sizes = [], None, []
    while True:
        part = page(lambda limit, after=after: listing(after, limit), 2, position=str)
        found += part.rows
        sizes.append(len(part.rows))
        if part.next_cursor is None:
            break
        after = decode(part.next_cursor)
    assert (found, sizes) == (rows, [2, 2, 1])
