"""Every page in every dress: light, dark, on a phone, without a script; its weight, and what axe finds."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Request, expect

from tests.browser.watched import Watched

#: How heavy a page may be at its first load, without pictures, in bytes.
_MOST_BYTES = 200_000
_DRESSES = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 800}, "has_touch": True},
}


@pytest.fixture(scope="module")
def pages(client, files) -> dict[str, str]:
    """The address of every page, by its name, each with something to show."""
    content, style = files
    wishes = {"preset": "fast", "params": {"size": 64, "steps": 5}}
    done = client.submit(content, [style], label="a morning in May", **wishes)
    failed = client.submit(content, [style], preset="classic", params={"size": 64, "steps": 9000}, time_limit_s=0.3)
    picture, painting = client.upload(content).id, client.upload(style).id
    batch = client.open_batch(style=painting, label="a holiday", **wishes)
    client.add_items(batch.id, [{"key": f"{n}.png", "content": picture} for n in range(5)])
    client.control_batch(batch.id, "start")
    wanted = {"contents": [picture], "styles": [painting], "params": {"style_weight": [1, 4]}}
    matrix = client.open_batch(matrix=wanted, label="a choice", **wishes)
    for job in (done, failed):
        client.wait(job.id)
    operation = client.start_operation("retry", reason="To be seen.", code="timed_out")
    return {
        "now": "/dashboard",
        "jobs": "/dashboard/jobs",
        "job": f"/dashboard/jobs/{done.id}",
        "job-failed": f"/dashboard/jobs/{failed.id}",
        "batches": "/dashboard/batches",
        "batch": f"/dashboard/batches/{batch.id}",
        "matrix": f"/dashboard/batches/{matrix.id}",
        "submit": "/dashboard/submit",
        "retry": f"/dashboard/submit?again={done.id}",
        "failures": "/dashboard/failures",
        "operations": "/dashboard/operations?q=state:failed&action=retry",
        "operation": f"/dashboard/operations/{operation.id}",
        "audit": "/dashboard/audit",
    }


@pytest.mark.parametrize("dress", _DRESSES)
def test_every_page_is_accessible_and_fits(chromium, stack, pages, dress) -> None:
    watched = Watched(chromium, stack.url, **_DRESSES[dress])
    page = watched.sign_in(stack.key)
    found = []
    for name, path in pages.items():
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        violations = Axe().run(page).response["violations"]
        found += [
            (name, each["id"], each["impact"]) for each in violations if each["impact"] in ("serious", "critical")
        ]
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not too_wide, name
        watched.shoot(f"{name}-{dress}")
    page.get_by_role("button", name="Sign out").click()
    violations = Axe().run(page).response["violations"]
    found += [("login", each["id"], each["impact"]) for each in violations if each["impact"] in ("serious", "critical")]
    watched.shoot(f"login-{dress}")
    watched.context.close()
    assert found == []
    assert watched.faults == []


def test_no_page_is_heavy(chromium, stack, pages) -> None:
    first = Watched(chromium, stack.url)
    first.sign_in(stack.key)
    cookies, weights = first.context.cookies(), {}
    first.context.close()
    for name, path in pages.items():
        watched = Watched(chromium, stack.url)  # which has kept nothing yet
        watched.context.add_cookies(cookies)
        heard: list[Request] = []
        watched.page.on("requestfinished", lambda request, heard=heard: heard.append(request))
        watched.page.goto(path)
        expect(watched.page.get_by_role("heading", level=1)).to_be_visible()
        weights[name] = sum(_weight(request) for request in heard)
        watched.context.close()
    assert {name: weight for name, weight in weights.items() if weight > _MOST_BYTES} == {}
    assert min(weights.values()) > 50_000


def test_every_page_can_be_read_without_a_script(chromium, stack, pages) -> None:
    watched = Watched(chromium, stack.url, java_script_enabled=False)
    page = watched.sign_in(stack.key)
    for path in pages.values():
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.locator("main").inner_text().strip()
    page.goto(pages["job"])
    expect(page.locator("#state")).to_contain_text("succeeded")
    page.get_by_role("button", name="Retry", exact=True).click()
    page.wait_for_url("**/dashboard/jobs/*")
    watched.context.close()


def test_the_keyboard_leads_past_the_menu_and_through_the_page(page) -> None:
    page.goto("/dashboard/jobs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("state:queued")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=state*")


def _weight(request: Request) -> int:
    if request.resource_type == "image":
        return 0
    return request.sizes()["responseBodySize"] + request.sizes()["responseHeadersSize"]
