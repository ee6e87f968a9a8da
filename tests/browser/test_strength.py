"""The slider of a job's strength: the picture follows it, the keyboard moves it, and what is saved stays."""

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.watched import Watched
from tests.support.waiting import wait_until


@pytest.fixture
def done(client, files) -> str:
    """The address of the page of a painted job."""
    content, style = files
    job = client.submit(content, [style], preset="fast", params={"size": 96, "steps": 20})
    client.wait(job.id)
    return f"/dashboard/jobs/{job.id}"


def source(page: Page) -> str:
    return page.locator("#whole img").get_attribute("src") or ""


def test_the_picture_follows_the_slider_once_it_rests_and_is_saved(page, done, watched) -> None:
    asked: list[Response] = []
    page.on("response", lambda response: asked.append(response) if "strength=" in response.url else None)
    page.goto(done)
    slider = page.get_by_label("Strength")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#strength output")).to_have_text("0.70")
    wait_until(lambda: "strength=0.7" in source(page), "the picture follows")
    assert page.locator("#whole img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 96
    assert source(page).endswith(page.locator("#picture").get_attribute("src") or "none")
    assert (page.locator("#whole a").get_attribute("href") or "").endswith("/result?strength=0.7")
    assert [response.status for response in asked] == [200], "one picture for all of the steps"
    watched.shoot("job-strength")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{done}")
    expect(page.get_by_label("Strength")).to_have_value("0.7")
    assert page.locator("#whole img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 96


def test_a_strength_is_saved_without_a_script(chromium, stack, done) -> None:
    watched = Watched(chromium, stack.url, java_script_enabled=False)
    page = watched.sign_in(stack.key)
    page.goto(done)
    slider = page.get_by_label("Strength")
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{done}")
    expect(page.locator("#strength output")).to_have_text("0.00")
    watched.context.close()
    assert watched.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_slider_is_seen_in_light_and_dark(chromium, stack, done, scheme) -> None:
    watched = Watched(chromium, stack.url, color_scheme=scheme, viewport={"width": 1280, "height": 800})
    watched.sign_in(stack.key).goto(done)
    expect(watched.page.get_by_label("Strength")).to_be_visible()
    watched.shoot(f"job-strength-{scheme}")
    watched.context.close()
    assert watched.faults == []
