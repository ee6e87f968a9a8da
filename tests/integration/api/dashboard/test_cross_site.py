"""Every route that changes something, called from another site in the name of who is signed in: none is served."""

import re

import pytest
from sqlalchemy import func, select

from shared.db.models import AuditEntry, Job
from tests.integration.api.dashboard.signing_in import OURS, sign_in

_UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
#: What a browser says of a form on another site, of a script there, and of one that hides where it is.
_ELSEWHERE = (
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/"},
    {"Origin": "http://localhost.evil.example", "Sec-Fetch-Site": "same-site"},
)


@pytest.mark.parametrize("headers", _ELSEWHERE)
def test_no_unsafe_route_serves_another_site(app, key, job_id, database, headers) -> None:
    browser = app.test_client()
    sign_in(browser, key)
    before = counts(database)
    named = {"job_id": job_id, "way": "pause", "name": "worker"}
    tried = 0
    for rule in app.url_map.iter_rules():
        for method in rule.methods & _UNSAFE:
            path = re.sub("<(.*?)>", lambda argument: named.get(argument[1], job_id), rule.rule)
            answer = browser.open(path, method=method, headers=headers, data={"key": key, "action": "cancel"})
            assert answer.status_code in (401, 403), (method, path)
            assert "Set-Cookie" not in answer.headers
            tried += 1
    assert tried > 40
    assert counts(database) == before


def test_a_form_of_ours_whose_token_is_missing_is_refused_everywhere(app, key, job_id, database) -> None:
    browser = app.test_client()
    sign_in(browser, key)
    before = counts(database)
    routes = [
        rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/dashboard") and "POST" in rule.methods
    ]
    assert len(routes) >= 12
    for path in (re.sub("<.*?>", job_id, route) for route in routes):
        assert browser.post(path, headers=OURS).status_code == 403, path
    assert counts(database) == before


def counts(database) -> tuple[int, ...]:
    with database.reading() as session:
        return tuple(session.scalar(select(func.count()).select_from(table)) for table in (Job, AuditEntry))
