"""Who gets in, who may act, and what is over."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from shared import clock
from shared.db.base import connect
from shared.db.models import BrowserSession


@pytest.fixture
def viewer(watched, client):
    return watched.sign_in(client.create_key("a viewer", role="viewer").key)


@pytest.fixture(scope="module")
def job_id(client, files) -> str:
    content, style = files
    job = client.submit(content, [style], preset="fast", params={"size": 48, "steps": 1}, label="for all to see")
    client.wait(job.id)
    return job.id


def test_a_wrong_key_is_told_and_the_right_one_leads_to_where_one_wished_to_go(watched, stack, job_id) -> None:
    page = watched.page
    page.goto(f"/dashboard/jobs/{job_id}")
    page.get_by_label("API key").fill("atl_no_key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That key is invalid or revoked.")
    watched.faults.clear()  # Chromium calls the answer 401 an error
    page.get_by_label("API key").fill(stack.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("for all to see")


def test_signing_out_ends_it(page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto("/dashboard/jobs")
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_viewer_sees_no_button_and_is_refused(viewer, watched, job_id) -> None:
    for path in ("/dashboard", "/dashboard/jobs", f"/dashboard/jobs/{job_id}", "/dashboard/batches"):
        viewer.goto(path)
        buttons = [button.inner_text() for button in viewer.get_by_role("button").all()]
        assert set(buttons) <= {"Sign out", "Search"}, path
    token = viewer.locator("input[name=csrf]").first.input_value()
    answer = viewer.evaluate(
        """async ([path, csrf]) => (await fetch(path, {method: "POST", body: new URLSearchParams({csrf})})).status""",
        [f"/dashboard/jobs/{job_id}/delete", token],
    )
    assert answer == 403
    watched.faults.clear()  # the refusal
    viewer.goto(f"/dashboard/jobs/{job_id}")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("for all to see")


def test_a_page_whose_sign_in_is_over_leads_back_to_it(page, watched, client, stack) -> None:
    page.goto("/dashboard")
    database = connect(stack.settings.database_url)
    with database.writing() as session:
        session.execute(update(BrowserSession).values(expires_at=clock.now()))
    database.engine.dispose()
    expect(page.get_by_label("API key")).to_be_visible()  # the page asked for news, and was sent there
    watched.faults.clear()  # the refusal
