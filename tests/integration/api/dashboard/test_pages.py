"""What the pages show, of which jobs, to whom; and what they refuse."""

from html import unescape

import pytest

from api.app import create_app
from shared import clock
from shared.db import workers
from shared.db.admin import minute_stats
from shared.db.jobs import claims, transitions
from shared.db.models import JobEvent
from shared.errors import OutOfMemory, StorageUnavailable
from shared.ids import new_id
from shared.painting.params import LAST_RESORT_WARNING
from shared.states import BatchState, DesiredState
from tests.integration.api.dashboard.signing_in import OURS, signed_in, token_of
from tests.support.claims import claim_job
from tests.support.factories import add_batch, add_job, add_key


def test_the_first_visitor_is_led_to_the_form(browser) -> None:
    assert browser.get("/").location == "/dashboard"
    assert browser.get("/dashboard").location == "/dashboard/submit"
    assert "Nothing has been painted here yet" in browser.get("/dashboard/submit").text


def test_a_queue_that_stands_looks_so(browser, database, job_id) -> None:
    assert "no worker accepts them" in browser.get("/dashboard").text
    with database.writing() as session:
        workers.record_heartbeat(
            session, "studio", {"device": {"kind": "gpu", "name": "H"}, "capacity": {"memory_bytes": 10**10}}
        )
    fresh(browser)
    assert "no worker accepts" not in browser.get("/dashboard/now").text
    with database.writing() as session:
        workers.pause_queue(session)
    fresh(browser)
    assert "The queue is paused" in browser.get("/dashboard/now").text
    with database.writing() as session:
        workers.resume_queue(session)
        workers.hold_queue(session, "storage_full")
    fresh(browser)
    assert "until this is fixed: storage_full" in browser.get("/dashboard/now").text


def test_without_redis_the_page_is_made_of_the_database_and_says_so(browser, database, job_id) -> None:
    with database.writing() as session:
        claim = claim_job(session, job_id, worker="studio", weights={}, lease_s=60)
        step = {"step": 3, "total": 8, "step_ms": 12.0, "eta_s": 60.0, "losses": {"total": 1.0}}
        claims.renew(session, claim, lease_s=60, progress=step)
    page = browser.get("/dashboard").text
    assert "Redis is down" in page
    assert "step <strong>3</strong> of 8" in page


def test_a_storage_that_is_away_is_told(browser, app, job_id, monkeypatch) -> None:
    def fail() -> None:
        raise StorageUnavailable("The bucket is gone.")

    monkeypatch.setattr(app.extensions["atelier"].store, "check", fail)
    assert "Storage is down: The bucket is gone." in browser.get("/dashboard").text


def test_pictures_of_the_last_resort_are_named_so_wherever_they_are_shown(browser, database) -> None:
    reason = "No `imagenet`: its publisher does not answer."
    weights = {"name": "patch", "sha256": "f00d", "reason": reason}
    batch_id = add_batch(database, state=BatchState.RUNNING)
    job_id = add_job(database, batch_id=batch_id, item_key="a.jpg")
    with database.writing() as session:
        workers.record_heartbeat(session, "studio", {"weights": weights, "capacity": {"memory_bytes": 10**10}})
        claim_job(session, job_id, worker="studio", weights=weights, lease_s=60)
    now, job, batch = (
        unescape(browser.get(f"/dashboard{path}").text) for path in ("", f"/jobs/{job_id}", f"/batches/{batch_id}")
    )
    assert "patch weights (last resort)" in now
    assert f'title="{reason}">patch (last resort)' in now
    assert LAST_RESORT_WARNING in job
    assert reason in job
    assert LAST_RESORT_WARNING in batch


def test_curves_of_the_last_hour_are_drawn(browser, database, job_id) -> None:
    with database.writing() as session:
        minute_stats.store(session, minute_stats.sample(session))
    assert 'aria-label="Waiting jobs in the last hour"><path d="M' in browser.get("/dashboard").text


def test_failures_of_the_last_hour_are_told_by_code_each_with_its_curve(browser, database) -> None:
    for error in (OutOfMemory(), OutOfMemory(), StorageUnavailable()):
        failed = add_job(database)
        with database.writing() as session:
            transitions.fail(session, claim_job(session, failed, worker="studio", weights={}, lease_s=60), error)
    page = browser.get("/dashboard").text
    assert page.index("<code>out_of_memory</code></a> 2") < page.index("<code>storage_unavailable</code></a> 1")
    assert 'aria-label="out_of_memory in each minute of the last hour"' in page


def test_workers_and_the_queue_are_steered(browser, database, job_id) -> None:
    with database.writing() as session:
        workers.record_heartbeat(session, "studio")
    csrf = token_of(browser.get("/dashboard"))
    for way, wish in (("drain", DesiredState.DRAIN), ("resume", DesiredState.WORK), ("pause", DesiredState.PAUSE)):
        answer = browser.post(f"/dashboard/workers/studio/{way}", data={"csrf": csrf}, headers=OURS)
        assert answer.location == "/dashboard"
        with database.reading() as session:
            assert workers.list_workers(session)[0].desired_state == wish
    browser.post("/dashboard/queue/pause", data={"csrf": csrf}, headers=OURS)
    assert "Resume the queue" in browser.get("/dashboard").text
    assert browser.post("/dashboard/queue/burn", data={"csrf": csrf}, headers=OURS).status_code == 404


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", {"a", "b", "c"}),
        ("state:failed", {"b"}),
        ("state:failed state:queued", {"a", "b", "c"}),
        ("code:oom", {"b"}),
        ("owner:ann", {"c"}),
        ('label:"b"', {"b"}),
        ("label:a owner:local", {"a"}),
        ("after:2020-01-01 before:2120-01-01T00:00:00Z", {"a", "b", "c"}),
        ("before:2020-01-01", set()),
    ],
)
def test_jobs_are_searched(browser, database, search, found) -> None:
    add_job(database, label="a")
    failed = add_job(database, label="b")
    with database.writing() as session:
        held = claim_job(session, failed, worker="studio", weights={}, lease_s=60)
        transitions.fail(session, held, OutOfMemory())
    add_job(database, label="c", owner="ann")
    page = browser.get("/dashboard/jobs", query_string={"q": search}).text
    assert {label for label in "abc" if f'<td class="text">{label}</td>' in page} == found
    assert (f"<p>{len(found)} job" if found else "No jobs match.") in page


@pytest.mark.parametrize("search", ["state:gone", "code:nothing", "label:a label:b", "after:soon", "hello"])
def test_a_search_that_cannot_be_is_told_so(browser, search) -> None:
    assert 'role="alert"' in browser.get("/dashboard/jobs", query_string={"q": search}).text


def test_an_id_leads_to_its_job(browser, job_id) -> None:
    assert browser.get("/dashboard/jobs", query_string={"q": job_id}).location == f"/dashboard/jobs/{job_id}"


def test_pages_follow_each_other(browser, database) -> None:
    for _ in range(51):
        add_job(database, label="x")
    first = browser.get("/dashboard/jobs?q=label:x").text
    assert first.count('<tr><th scope="row">') == 50
    rest = browser.get("/dashboard/jobs" + first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")).text
    assert rest.count('<tr><th scope="row">') == 1


def test_a_client_sees_its_own_alone(app, database) -> None:
    hers, others = add_job(database, owner="ann", label="hers"), add_job(database, owner="bob", label="his")
    batch = add_batch(database, owner="bob")
    ann = signed_in(app, add_key(database, "client", "ann"))
    listed = ann.get("/dashboard/jobs?q=owner:bob").text
    assert "hers" in listed
    assert "his<" not in listed
    assert ann.get(f"/dashboard/jobs/{hers}").status_code == 200
    for path in (f"jobs/{others}", f"jobs/{others}/live", f"jobs/{others}/losses", f"batches/{batch}"):
        assert ann.get(f"/dashboard/{path}").status_code == 404, path


def test_only_operators_see_tracebacks(app, browser, database, job_id) -> None:
    with database.writing() as session:
        details = {"code": "internal", "message": "It broke.", "traceback": "in secret_place.py"}
        session.add(
            JobEvent(job_id=job_id, name="job_failed", state="failed", attempt=1, details=details, at=clock.now())
        )
    assert "secret_place" in browser.get(f"/dashboard/jobs/{job_id}").text
    viewer = signed_in(app, add_key(database, "viewer"))
    page = viewer.get(f"/dashboard/jobs/{job_id}").text
    assert "It broke." in page
    assert "secret_place" not in page


def test_a_job_says_why_it_waits_and_what_departs_from_its_preset(browser, job_id) -> None:
    page = browser.get(f"/dashboard/jobs/{job_id}").text
    assert "no worker accepts jobs" in page
    assert "<dt>steps</dt><dd><strong>8</strong> steps" in page


def test_nothing_can_be_changed_where_only_looking_is_allowed(settings, database, key, job_id) -> None:
    browser = signed_in(create_app(settings.model_copy(update={"read_only": True})), key)
    page = browser.get(f"/dashboard/jobs/{job_id}")
    assert "Cancel" not in page.text
    assert "/dashboard/submit" not in page.text
    csrf = token_of(page)
    for path in (f"jobs/{job_id}/cancel", "queue/pause", "submit", "operations", f"batches/{job_id}/pause"):
        answer = browser.post(f"/dashboard/{path}", data={"csrf": csrf}, headers=OURS)
        assert answer.status_code == 403, path


def test_a_second_press_of_retry_makes_no_second_job(browser, client, database, job_id) -> None:
    client.post(f"/v1/jobs/{job_id}/cancel")
    page = browser.get(f"/dashboard/jobs/{job_id}").text
    fields = {name: page.split(f'name="{name}" value="')[1].split('"')[0] for name in ("csrf", "once")}
    made = {browser.post(f"/dashboard/jobs/{job_id}/retry", data=fields, headers=OURS).location for _ in range(2)}
    assert len(made) == 1
    assert browser.get(made.pop()).status_code == 200


@pytest.mark.parametrize(("typed", "kept"), [("", None), ("600", 600.0)])
def test_many_jobs_are_retried_with_their_own_time_limits_or_with_another(browser, client, typed, kept) -> None:
    page = browser.get("/dashboard/operations?q=label:sea&action=retry&count=1")
    assert "<button" in page.text
    fields = {"q": "label:sea", "action": "retry", "reason": "r", "time_limit_s": typed, "once": new_id()}
    answer = browser.post("/dashboard/operations", data=fields | {"csrf": token_of(page)}, headers=OURS)
    assert answer.status_code == 303
    (started,) = client.get("/v1/operations").json["operations"]
    assert started["time_limit_s"] == kept


def test_a_time_limit_that_many_jobs_cannot_have_is_told_and_nothing_starts(browser, client) -> None:
    page = browser.get("/dashboard/operations?q=label:sea&action=retry")
    fields = {"q": "label:sea", "action": "retry", "reason": "r", "time_limit_s": "1e9", "once": new_id()}
    answer = browser.post("/dashboard/operations", data=fields | {"csrf": token_of(page)}, headers=OURS)
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert client.get("/v1/operations").json["operations"] == []


def fresh(browser) -> None:
    """Have the next look be a new one, not that of half a second ago."""
    browser.application.extensions["atelier_overview"].invalidate()
