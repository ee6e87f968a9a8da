"""Batches paused and resumed, and many jobs acted on at once, with the reason in the audit log."""

import pytest
from playwright.sync_api import expect


@pytest.fixture
def batch_id(client, files) -> str:
    """A batch of pictures that take a while each, one at a time."""
    content, style = files
    picture, painting = client.upload(content).id, client.upload(style).id
    batch = client.open_batch(
        style=painting,
        preset="classic",
        params={"size": 64},
        label="a holiday",
        max_parallel=1,
        reuse=False,
    )
    items = [{"key": f"{n:02}.png", "content": picture, "params": {"steps": 40, "seed": n}} for n in range(30)]
    client.add_items(batch.id, items)
    client.control_batch(batch.id, "start")
    return batch.id


def test_a_batch_fills_its_grid_and_is_paused_resumed_and_canceled(page, batch_id, watched, client) -> None:
    page.goto("/dashboard/batches")
    page.get_by_role("link", name="a holiday").first.click()
    expect(page.locator(".wall img").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#batch .badge")).to_have_text("paused")
    assert client.batch(batch_id).state == "paused"
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#batch .badge")).to_have_text("running")
    expect(page.locator(".wall img").nth(2)).to_be_visible()
    watched.shoot("batch")
    page.locator("summary", has_text="Cancel").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#batch .badge")).to_have_text("canceled")
    expect(page.locator("#batch")).not_to_contain_text("queued")
    page.locator(".line a", has_text="canceled").click()
    expect(page.locator(".wall li").last).to_contain_text("canceled")


def test_many_are_retried_at_once_for_a_reason(page, client, files, watched) -> None:
    content, style = files
    jobs = [
        client.submit(
            content, [style], preset="classic", params={"size": 64, "steps": 9000}, time_limit_s=0.3, label="hasty"
        )
        for _ in range(3)
    ]
    for job in jobs:
        assert client.wait(job.id).error.code == "timed_out"
    page.goto("/dashboard/failures")
    watched.shoot("failures")
    page.get_by_role("link", name="Retry these").first.click()
    page.get_by_label("Search").fill("state:failed label:hasty")
    page.get_by_role("button", name="Count jobs").click()
    expect(page.get_by_text("3 jobs match")).to_be_visible()
    page.get_by_label("Reason, for the audit log").fill("They have <b>time</b> now.")
    watched.shoot("operations")
    page.get_by_role("button", name="Retry 3 jobs").click()
    expect(page.locator("#operation .badge")).to_have_text("done")
    expect(page.locator("#operation")).to_contain_text("3 of 3 processed")
    page.goto("/dashboard/audit?action=operation.start")
    expect(page.locator("tbody tr").first).to_contain_text("They have <b>time</b> now.")
    watched.shoot("audit")
    page.goto("/dashboard/jobs?q=label:hasty")
    expect(page.locator("tbody tr")).to_have_count(6)
