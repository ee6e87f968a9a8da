"""Ids that clients choose: another owner's tells nothing before a whole valid job, which it costs like any other."""

import pytest

from shared.db.models import Usage
from tests.support.factories import add_job, add_key
from tests.support.flask_clients import client_with


@pytest.fixture
def stranger(app, database):
    """A client of somebody else, whose work per day is counted."""
    return client_with(app, add_key(database, "client", "eve", max_work_per_day=1e15))


@pytest.mark.parametrize("body", [{}, {"label": 1}, {"content": "sha256:" + "0" * 64, "style": "sha256:" + "0" * 64}])
def test_another_owners_id_is_like_an_unused_one_to_a_request_that_is_not_valid(stranger, database, body) -> None:
    answers = [
        stranger.put(f"/v1/jobs/{job_id}", json=body)
        for job_id in (add_job(database), "01a20a21-0000-7000-8000-000000000000")
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json == answers[1].json


def test_trying_another_owners_id_costs_what_a_job_costs(stranger, database, png) -> None:
    picture = stranger.post("/v1/images", data=png, content_type="image/png").json["id"]
    body = {"content": picture, "style": picture, "params": {"size": 32}}
    work = []
    for job_id in (add_job(database), "01a20a21-0000-7000-8000-000000000000"):
        work.append(stranger.put(f"/v1/jobs/{job_id}", json=body).status_code)
        with database.reading() as session:
            work.append(session.query(Usage).one().work)
    refused, charged, accepted, twice = work
    assert (refused, accepted) == (409, 202)
    assert twice == 2 * charged > 0
