"""Signing in and out of the dashboard, and what a browser may not do."""

import pytest
from sqlalchemy import update

from api.app import create_app
from shared import clock
from shared.db.access import keys
from shared.db.models.admin import BrowserSession
from tests.integration.api.dashboard.signing_in import OURS, sign_in, token_of
from tests.support.factories import add_key

#: One that everybody who is signed in may see.
PAGE = "/dashboard/jobs"


@pytest.fixture
def browser(app):
    return app.test_client()


def test_a_key_opens_the_dashboard_and_signing_out_closes_it(browser, key) -> None:
    assert browser.get("/dashboard").location == "/login?next=%2Fdashboard"
    answer = sign_in(browser, key)
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
    page = browser.get(PAGE)
    assert page.status_code == 200
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    kept = browser.get_cookie("atelier_session").value
    assert browser.post("/logout", data={"csrf": token_of(page)}, headers=OURS).location == "/login"
    browser.set_cookie("atelier_session", kept)
    assert browser.get(PAGE).status_code == 303


def test_the_cookie_is_for_https_alone_where_there_is_https(browser, key) -> None:
    answer = browser.post(
        "/login", data={"key": key}, base_url="https://localhost", headers={"Origin": "https://localhost"}
    )
    assert "; Secure" in answer.headers["Set-Cookie"]


def test_a_wrong_key_is_told_so(browser) -> None:
    answer = sign_in(browser, "atl_1_2")
    assert answer.status_code == 401
    assert "That key is invalid or revoked." in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/dashboard/\\evil", "/dashboardx", "/\n"])
def test_signing_in_leads_nowhere_else(browser, key, back) -> None:
    assert sign_in(browser, key, back).location == "/dashboard"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}, OURS | {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_site_signs_nobody_in_or_out(browser, key, headers) -> None:
    assert browser.post("/login", data={"key": key}, headers=headers).status_code == 403
    sign_in(browser, key)
    csrf = token_of(browser.get(PAGE))
    assert browser.post("/logout", data={"csrf": csrf}, headers=headers).status_code == 403
    assert browser.get(PAGE).status_code == 200


def test_a_change_without_the_token_of_the_page_is_refused(browser, key) -> None:
    sign_in(browser, key)
    for csrf in ("", "é", "0" * 64):
        assert browser.post("/logout", data={"csrf": csrf}, headers=OURS).status_code == 403


def test_the_cookie_opens_nothing_of_the_api_and_a_key_no_page(browser, client, key) -> None:
    sign_in(browser, key)
    assert browser.get("/v1/queue").status_code == 401
    cookie = browser.get_cookie("atelier_session").value
    browser.get(PAGE)  # so that it is remembered, as a cookie
    assert browser.get("/v1/queue", headers={"Authorization": f"Bearer {cookie}"}).status_code == 401
    assert client.get("/dashboard").status_code == 303


def test_what_is_over_leads_back_to_the_sign_in_from_fragments_too(browser, database, key) -> None:
    sign_in(browser, key)
    with database.writing() as session:
        session.execute(update(BrowserSession).values(expires_at=clock.now()))
    assert browser.get(PAGE).status_code == 303
    answer = browser.get("/dashboard/now", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login?next=%2Fdashboard")


def test_a_revoked_key_ends_what_it_opened(browser, database, key) -> None:
    viewer = add_key(database, "viewer")
    sign_in(browser, viewer)
    with database.writing() as session:
        keys.revoke(session, viewer.split("_")[1])
    assert browser.get(PAGE).status_code == 303


def test_a_client_sees_no_overview(browser, database) -> None:
    sign_in(browser, add_key(database, "client"))
    assert browser.get("/dashboard").location == "/dashboard/jobs"
    for page in ("/dashboard/now", "/dashboard/failures", "/dashboard/audit"):
        assert browser.get(page).status_code == 403


def test_who_may_only_look_can_still_sign_out(settings, database, key) -> None:
    browser = create_app(settings.model_copy(update={"read_only": True})).test_client()
    sign_in(browser, key)
    csrf = token_of(browser.get(PAGE))
    assert browser.post("/logout", data={"csrf": csrf}, headers=OURS).status_code == 303
