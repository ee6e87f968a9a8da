"""The pages of batches: what they show, how batches are steered from there, and to whom that is closed."""

import json
from urllib.parse import urljoin

import pytest
from markupsafe import escape

from api.app import create_app
from shared.db.jobs import claims
from shared.errors import OutOfMemory
from shared.states import BatchState
from tests.integration.api.batch_requests import LINES, paint
from tests.integration.api.dashboard.signing_in import OURS, signed_in, token_of
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_items, add_key

PAGES = "/dashboard/batches"
SCRIPT = "<script>alert(1)</script>"
#: What a worker tells of a step.
STEP = {
    "step": 3,
    "total": 8,
    "scale": 1,
    "scales": 1,
    "losses": {"total": 1.0, "content": 0.5, "style": 0.4, "tv": 0.1},
    "step_ms": 12.0,
    "eta_s": 60.0,
}


@pytest.fixture
def batch_id(database) -> str:
    """A running batch of four: one painted, one failed, one running, one waiting."""
    made = add_batch(database, label="a holiday", params={"size": 64}, state=BatchState.RUNNING)
    done, failed, running, _ = add_items(database, made, 4)
    paint(database, done)
    paint(database, failed, error=OutOfMemory())
    with database.writing() as session:
        claim = claim_job(session, running, worker="w", weights={}, lease_s=60)
        claims.renew(session, claim, lease_s=60, progress=STEP)
    return made


@pytest.fixture
def matrix_id(client, image_id) -> str:
    """A matrix of one picture, `c1-s1`."""
    matrix = {"contents": [image_id], "styles": [image_id]}
    return client.post("/v1/batches", json={"matrix": matrix, "params": {"size": 64}}).json["id"]


def press(browser, batch_id: str, way: str, **fields: str):
    """Send a form of the batch's page."""
    page = browser.get(f"{PAGES}/{batch_id}")
    return browser.post(f"{PAGES}/{batch_id}/{way}", data={"csrf": token_of(page), **fields}, headers=OURS)


def promote(browser, batch_id: str, **fields: str):
    once = browser.get(f"{PAGES}/{batch_id}").text.split('name="once" value="')[1].split('"')[0]
    return press(browser, batch_id, "promote", once=once, **fields)


def state_of(client, batch_id: str) -> str:
    return client.get(f"/v1/batches/{batch_id}").json["state"]


def next_of(page: str) -> str:
    return page.split('rel="next" href="')[1].split('"', maxsplit=1)[0].replace("&amp;", "&")


def test_the_list_tells_how_far_each_batch_is(browser, batch_id) -> None:
    page = browser.get(PAGES).text
    assert f'<a href="{PAGES}/{batch_id}">a holiday</a>' in page
    assert '<progress max="4" value="2" aria-label="Items processed">' in page
    assert f'<a href="{PAGES}/{batch_id}?state=failed">1</a>' in page


def test_the_list_is_narrowed_to_a_state_that_there_is(browser, database, batch_id) -> None:
    add_batch(database, label="not begun")
    page = browser.get(f"{PAGES}?state=open").text
    assert "not begun" in page
    assert "a holiday" not in page
    assert browser.get(f"{PAGES}?state=gone").status_code == 422


def test_the_list_goes_on_where_it_stopped(browser, database) -> None:
    for number in range(31):
        add_batch(database, label=f"batch {number:02}")
    first = browser.get(PAGES).text
    assert (first.count('<th scope="row"'), "batch 30<" in first, "batch 00<" in first) == (30, True, False)
    rest = browser.get(urljoin(PAGES, next_of(first))).text
    assert (rest.count('<th scope="row"'), "batch 00<" in rest, 'rel="next"' in rest) == (1, True, False)


def test_each_item_is_shown_as_far_as_it_is(browser, batch_id) -> None:
    page = browser.get(f"{PAGES}/{batch_id}").text
    assert 'preview?v=1-succeeded-1.0" alt="" loading="lazy">' in page
    assert 'preview?v=1-3" alt="" loading="lazy">' in page
    assert '<span class="frame none">out_of_memory</span>' in page
    assert '<span class="frame none">queued</span>' in page
    for state in ("queued", "running", "succeeded", "failed"):
        assert f'?state={state}">{state} 1</a>' in page


def test_the_grid_is_narrowed_to_a_state(browser, batch_id) -> None:
    page = browser.get(f"{PAGES}/{batch_id}?state=failed").text
    assert 'aria-label="item-1, failed"' in page
    assert page.count("<li><a") == 1
    assert browser.get(f"{PAGES}/{batch_id}?state=gone").status_code == 422


def test_the_grid_has_sixty_on_a_page_in_the_order_in_which_they_came(browser, database) -> None:
    made = add_batch(database)
    ids = add_items(database, made, 61)
    first = browser.get(f"{PAGES}/{made}").text
    shown = [part.split('"')[0] for part in first.split('<li><a href="/dashboard/jobs/')[1:]]
    assert shown == ids[:60]
    rest = browser.get(next_of(first)).text
    assert [part.split('"')[0] for part in rest.split('<li><a href="/dashboard/jobs/')[1:]] == ids[60:]


def test_what_changes_asks_again_for_the_same_part_until_all_has_ended(browser, batch_id) -> None:
    part = browser.get(f"{PAGES}/{batch_id}/live?state=queued").text
    assert part.startswith('<div id="batch"')
    assert f'hx-get="{PAGES}/{batch_id}/live?state=queued" hx-trigger="every 2s" hx-swap="outerHTML"' in part


def test_a_batch_that_is_finished_or_canceled_for_good_is_not_asked_for_again(browser, database, client) -> None:
    finished = add_batch(database, state=BatchState.RUNNING)
    paint(database, add_items(database, finished, 1)[0])
    assert state_of(client, finished) == "finished"
    canceled = add_batch(database)
    press(browser, canceled, "cancel")
    for over in (finished, canceled):
        assert "hx-get" not in browser.get(f"{PAGES}/{over}/live").text


def test_a_batch_is_started_paused_resumed_and_canceled(browser, database, client) -> None:
    made = add_batch(database)
    add_items(database, made, 1)
    for way, state in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("cancel", "canceled")):
        assert f'action="{PAGES}/{made}/{way}"' in browser.get(f"{PAGES}/{made}").text
        answer = press(browser, made, way)
        assert (answer.status_code, answer.location) == (303, f"{PAGES}/{made}")
        assert state_of(client, made) == state
    assert f'action="{PAGES}/{made}/' not in browser.get(f"{PAGES}/{made}").text


def test_what_cannot_be_done_now_or_at_all_is_refused(browser, database, batch_id) -> None:
    assert press(browser, batch_id, "burn").status_code == 404
    open_one = add_batch(database)
    assert press(browser, open_one, "resume").status_code == 409


def test_what_failed_is_tried_again(browser, client, batch_id) -> None:
    assert press(browser, batch_id, "retry-failed").location == f"{PAGES}/{batch_id}"
    counts = client.get(f"/v1/batches/{batch_id}").json["counts"]
    assert (counts["failed"], counts["queued"]) == (0, 2)
    assert "/retry-failed" not in browser.get(f"{PAGES}/{batch_id}").text


def test_what_failed_can_be_given_another_time_limit(browser, client, batch_id) -> None:
    refused = press(browser, batch_id, "retry-failed", time_limit_s="1e9")
    assert (refused.status_code, 'class="bad" role="alert"' in refused.text) == (422, True)
    press(browser, batch_id, "retry-failed", time_limit_s="600")
    items = client.get(f"/v1/batches/{batch_id}/items").json["jobs"]
    assert [item["time_limit_s"] for item in items if item["retry_of"]] == [600.0]


def test_a_cell_of_a_matrix_is_painted_large_once(browser, client, matrix_id) -> None:
    page = browser.get(f"{PAGES}/{matrix_id}").text
    assert f'src="{PAGES}/{matrix_id}/sheet.webp"' in page
    once = page.split('name="once" value="')[1].split('"')[0]
    fields = {"once": once, "key": "c1-s1", "size": "96"}
    first, again = (press(browser, matrix_id, "promote", **fields) for _ in range(2))
    assert (first.status_code, again.location) == (303, first.location)
    job = client.get(f"/v1/jobs/{first.location.rpartition('/')[2]}").json
    assert (job["params"]["size"], job["metadata"]) == (96, {"batch_id": matrix_id, "key": "c1-s1"})


@pytest.mark.parametrize(
    ("cell", "size", "status"),
    [("c9-s9", "96", 404), ("c1-s1", "large", 422), ("c1-s1", "99999", 422), ("", "96", 422), (SCRIPT, "96", 404)],
)
def test_a_choice_that_cannot_be_is_told_beside_the_form_which_keeps_it(
    browser, client, matrix_id, cell, size, status
) -> None:
    before = client.get("/v1/jobs").json["jobs"]
    answer = promote(browser, matrix_id, key=cell, size=size)
    assert answer.status_code == status
    assert 'class="bad" role="alert"' in answer.text
    assert f'placeholder="c1-s2" value="{escape(cell)}"' in answer.text
    assert f'max="16383" value="{size}"' in answer.text
    assert SCRIPT not in answer.text
    assert 'href="?' not in answer.text  # would lead to where only forms are sent
    assert client.get("/v1/jobs").json["jobs"] == before


def test_a_batch_that_is_not_there_has_no_cells(browser, matrix_id, job_id) -> None:
    fields = {"csrf": token_of(browser.get(f"{PAGES}/{matrix_id}")), "key": "c1-s1", "size": "96"}
    assert browser.post(f"{PAGES}/{job_id}/promote", data=fields, headers=OURS).status_code == 404


def test_a_batch_that_is_no_matrix_has_no_sheet(browser, batch_id) -> None:
    assert "sheet.webp" not in browser.get(f"{PAGES}/{batch_id}").text
    assert browser.get(f"{PAGES}/{batch_id}/sheet.webp").status_code == 409


def test_texts_of_clients_come_out_as_texts(browser, client, image_id) -> None:
    asked = {"style": image_id, "label": SCRIPT, "metadata": {SCRIPT: SCRIPT}}
    made = client.post("/v1/batches", json=asked).json["id"]
    item = json.dumps({"key": SCRIPT, "content": image_id})
    added = client.post(f"/v1/batches/{made}/items", data=item, content_type=LINES)
    assert added.json["added"] == 1
    for path in (PAGES, f"{PAGES}/{made}", f"{PAGES}/{made}/live"):
        assert SCRIPT not in browser.get(path).text, path
    live = browser.get(f"{PAGES}/{made}/live").text
    assert live.count("&lt;script&gt;alert(1)") == 2  # what the tile is called, twice


def test_a_viewer_gets_no_button_and_is_refused(app, database, client, batch_id, matrix_id) -> None:
    viewer = signed_in(app, add_key(database, "viewer"))
    for made in (batch_id, matrix_id):
        assert f'action="{PAGES}' not in viewer.get(f"{PAGES}/{made}").text
    for way in ("start", "pause", "resume", "cancel", "retry-failed", "promote"):
        assert press(viewer, matrix_id, way, key="c1-s1", size="96").status_code == 403, way
    assert state_of(client, matrix_id) == "running"


def test_a_client_sees_and_steers_its_own_alone(app, database, client, batch_id) -> None:
    hers = add_batch(database, owner="ann", label="hers")
    ann = signed_in(app, add_key(database, "client", "ann"))
    page = ann.get(PAGES).text
    assert "hers" in page
    assert "a holiday" not in page
    for part in ("", "/live", "/sheet.webp", "/archive.zip"):
        assert ann.get(f"{PAGES}/{batch_id}{part}").status_code == 404, part
    csrf = token_of(ann.get(f"{PAGES}/{hers}"))
    for way in ("pause", "cancel", "retry-failed", "promote"):
        fields = {"csrf": csrf, "key": "item-0", "size": "96"}
        assert ann.post(f"{PAGES}/{batch_id}/{way}", data=fields, headers=OURS).status_code == 404, way
    assert state_of(client, batch_id) == "running"
    assert press(ann, hers, "start").status_code == 303


def test_where_only_looking_is_allowed_no_batch_is_changed(settings, database, key, batch_id, client) -> None:
    browser = signed_in(create_app(settings.model_copy(update={"read_only": True})), key)
    assert f'action="{PAGES}' not in browser.get(f"{PAGES}/{batch_id}").text
    for way in ("pause", "cancel", "retry-failed", "promote"):
        assert press(browser, batch_id, way).status_code == 403, way
    assert state_of(client, batch_id) == "running"
