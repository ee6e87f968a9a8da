"""A job from the form to its end: the picture and the curve change while it is painted; cancel, retry, delete."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Page, expect

from api.client import ApiProblem
from tests.support.waiting import wait_until


@pytest.fixture
def running(client, files) -> Iterator[str]:
    """A job that takes its time, until the test is over."""
    content, style = files
    job = client.submit(content, [style], preset="classic", params={"size": 96, "steps": 4000}, label="slow")
    yield job.id
    with suppress(ApiProblem):  # most tests have ended it
        client.cancel(job.id)


def step_of(page: Page) -> int:
    text = page.locator('[data-live="step"]').inner_text()
    return int(text) if text.isdigit() else 0


def test_picture_curve_and_figures_change_while_it_is_painted_and_it_is_canceled(page, running, watched) -> None:
    page.goto(f"/dashboard/jobs/{running}")
    picture = page.locator("#picture")
    expect(picture).to_be_visible()
    first = picture.get_attribute("src")
    # `decode` would be refused whenever a newer picture takes the place of this one
    page.wait_for_function("() => { const {complete, naturalWidth} = picture; return complete && naturalWidth > 0; }")
    expect(page.locator("#curves canvas")).to_be_visible()
    step = step_of(page)
    wait_until(lambda: step_of(page) > step + 20, "steps go on")
    wait_until(lambda: picture.get_attribute("src") != first, "the picture is a newer one")
    points = "losses.columns.step.length"
    drawn = page.evaluate(points)
    wait_until(lambda: page.evaluate(points) > drawn, "the curve grows")
    assert page.evaluate("new Set(Object.values(losses.columns).map((column) => column.length)).size") == 1
    expect(page.locator("#film img").first).to_be_visible()
    watched.shoot("job-running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".badge").first).to_have_text("canceled")
    expect(page.get_by_role("link", name="Download PNG")).to_be_visible()
    expect(page.locator("#timeline")).to_contain_text("job canceled")
    expect(page.locator("#whole img")).to_be_visible()
    page.reload()
    assert page.locator("img.film").evaluate("film => film.decode().then(() => film.naturalWidth > film.naturalHeight)")


def test_it_ends_before_the_eyes_of_who_looks_and_is_retried_and_deleted(page, client, files, watched) -> None:
    content, style = files
    job = client.submit(content, [style], preset="fast", params={"size": 96, "steps": 60})
    page.goto(f"/dashboard/jobs/{job.id}")
    expect(page.locator("#state .badge")).to_have_text("succeeded")
    expect(page.get_by_role("link", name="Download PNG")).to_be_visible()
    slider = page.get_by_label("Content and result")
    slider.focus()
    page.keyboard.press("End")
    assert page.locator("#picture").evaluate("picture => picture.style.clipPath") == "inset(0px 0px 0px 100%)"
    watched.shoot("job")
    page.get_by_role("button", name="Retry", exact=True).click()
    page.wait_for_url(lambda url: job.id not in url)
    expect(page.locator(".facts").last).to_contain_text(job.id[-8:])
    expect(page.locator("#state .badge")).to_have_text("succeeded")
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/dashboard/jobs")
    assert client.job(job.id).state == "succeeded"


def wait_for_the_streams_end(page: Page) -> None:
    closed = "document.getElementById('job')['htmx-internal-data'].sseEventSource.readyState === 2"
    wait_until(lambda: page.evaluate(closed), "the stream has told the end")


def test_an_end_that_comes_while_the_page_asks_for_an_earlier_state_is_shown(page, running, client) -> None:
    held = []

    def hold_the_first(route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page.route("**/live", hold_the_first)
    page.goto(f"/dashboard/jobs/{running}")
    wait_until(lambda: page.evaluate("1") and held, "the page asks for the state")  # any call lets the route be held
    client.cancel(running)
    wait_for_the_streams_end(page)
    route, answer = held[0]
    route.fulfill(response=answer)
    expect(page.locator("#state .badge")).to_have_text("canceled")


def test_an_end_that_comes_while_nobody_looks_is_shown_to_who_looks_again(page, running, client) -> None:
    page.goto(f"/dashboard/jobs/{running}")
    badge = page.locator("#state .badge")
    expect(badge).to_have_text("running")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    client.cancel(running)
    wait_for_the_streams_end(page)
    page.wait_for_timeout(500)  # longer than the page waits before it would ask
    expect(badge).to_have_text("running")
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(badge).to_have_text("canceled")


def test_a_job_that_waits_is_asked_for_again_until_it_runs(page, client, files) -> None:
    client.pause_queue()
    job = client.submit(files[0], [files[1]], preset="classic", params={"size": 64, "steps": 1})
    page.goto(f"/dashboard/jobs/{job.id}")
    for _ in range(3):  # once as the stream tells the state, then every three seconds
        page.wait_for_event("response", lambda answer: answer.url.endswith("/live"))
    badge = page.locator("#state .badge")
    expect(page.locator("#state")).to_have_count(1)
    expect(badge).to_have_text("queued")
    client.resume_queue()
    expect(badge).to_have_text("succeeded")


def test_the_wall_shows_it_and_a_click_leads_there(page, running, watched, client) -> None:
    page.goto("/dashboard")
    card = page.locator(".wall li", has_text="slow")
    expect(card.locator("img")).to_be_visible()
    steps = card.locator("strong")
    first = steps.inner_text()
    expect(steps).not_to_have_text(first)
    watched.shoot("now")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.get_by_role("status")).to_contain_text("The queue is paused")
    page.get_by_role("button", name="Resume the queue").click()
    expect(page.get_by_role("button", name="Pause the queue")).to_be_visible()
    card.get_by_role("link").click()
    page.wait_for_url(f"**/dashboard/jobs/{running}")
    client.cancel(running)
    expect(page.locator("#state .badge")).to_have_text("canceled")
