"""The page Submit: what it shows, what it makes of what is filled in, what it refuses, and to whom it is closed."""

import io
import re

import pytest

from api.app import create_app
from shared.db import workers
from shared.ids import image_id as id_of
from shared.imaging import codec
from shared.painting.params import DEFAULT_PRESET, PRESETS, resolve
from tests.integration.api.dashboard.signing_in import OURS, signed_in, token_of
from tests.support.factories import add_key, picture
from tests.support.flask_clients import client_with

PAGE = "/dashboard/submit"
ESTIMATE = f"{PAGE}/estimate"
SCRIPT = '"><script>alert(1)</script>'
SMALL = {"preset": "fast", "p-size": "32", "p-start_size": "0", "p-steps": "8"}


@pytest.fixture
def worker(database) -> None:
    """One that has told what it can do, so that jobs can be predicted."""
    with database.writing() as session:
        workers.record_heartbeat(
            session, "studio", {"device": {"kind": "gpu", "name": "H"}, "capacity": {"memory_bytes": 10**10}}
        )


def painting() -> bytes:
    return codec.encode(picture(seed=1), format="png")


def file(data: bytes, name: str = "a.png") -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), name


def send(browser, path: str = PAGE, *, former: str = "", headers: dict[str, str] = OURS, **fields):
    """Fill the form in and send it; a field without a file is sent as browsers do, empty and without a name."""
    page = browser.get(f"{PAGE}?again={former}" if former else PAGE).text
    hidden = dict(re.findall(r'<input type="hidden" name="(csrf|once|again)" value="([^"]*)"', page))
    nothing = {name: file(b"", "") for name in ("content", "style")}
    data = {"label": "", "priority": ""} | hidden | nothing | fields
    return browser.post(path, data=data, headers=headers, content_type="multipart/form-data")


def job_at(client, answer) -> dict:
    assert answer.status_code == 303, answer.text
    return client.get(f"/v1/jobs/{answer.location.removeprefix('/dashboard/jobs/')}").json


def field(page: str, name: str) -> str:
    """Return the tag of a field."""
    return re.search(rf'<(input|select) id="{name}"[^>]*>', page)[0]


def test_every_preset_and_parameter_is_there_with_what_the_preset_has(browser) -> None:
    page = browser.get(PAGE).text
    for name, (text, _) in PRESETS.items():
        assert f'value="{name}"' in page
        assert text in page
    assert page.count("checked") == 1
    steps = field(page, "p-steps")
    placeholder = f'value="" placeholder="{resolve(DEFAULT_PRESET).steps}"'
    assert f'{placeholder} aria-describedby="p-steps-help" type="number" min="1" max="10000"' in steps
    for name in resolve("classic").model_dump():
        assert f'<label for="p-{name}">' in page
        assert f'id="p-{name}-help"' in page


def test_a_job_is_queued_as_the_form_says_and_its_page_is_next(browser, client, png) -> None:
    styles = [file(painting()), file(png)]
    layers = '{"block1_conv1": 0.5}'
    given = {"label": "a boat", "priority": "7", "p-antialias": "false", "p-style_layers": layers}
    job = job_at(client, send(browser, content=file(png), style=styles, **SMALL, **given))
    assert (job["state"], job["preset"], job["label"], job["priority"]) == ("queued", "fast", "a boat", 7)
    departures = {"size": 32, "start_size": 0, "steps": 8, "antialias": False, "style_layers": {"block1_conv1": 0.5}}
    assert job["params"] == resolve("fast", departures).model_dump(mode="json")
    assert len(job["styles"]) == 2
    assert browser.get(f"/dashboard/jobs/{job['id']}").status_code == 200


def test_a_form_that_is_sent_twice_makes_one_job(browser, client, png) -> None:
    once = re.search(r'name="once" value="([^"]+)"', browser.get(PAGE).text)[1]
    first, second = (send(browser, content=file(png), style=file(png), once=once, **SMALL) for _ in range(2))
    assert first.location == second.location
    assert len(client.get("/v1/jobs").json["jobs"]) == 1


def test_pictures_that_are_missing_are_asked_for_both_at_once(browser, client) -> None:
    answer = send(browser, label="kept", **SMALL)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    for name in ("content", "style"):
        assert 'aria-invalid="true"' in field(answer.text, name)
    assert 'value="kept"' in field(answer.text, "label")
    assert 'value="8"' in field(answer.text, "p-steps")
    assert re.search(r'value="fast" checked', answer.text)
    assert client.get("/v1/jobs").json["jobs"] == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("p-steps", "0", "greater than or equal to 1"),
        ("p-size", "many", "integer"),
        ("p-optimizer", "sgd", "adam"),
        ("p-style_layers", "block1", "Write layers as JSON"),
        ("p-style_layers", "[" * 100_000, "Write layers as JSON"),
        ("p-style_layers", '{"\\ud800": 1}', "Write layers as JSON"),
        ("p-style_layers", '{"block1_conv1": -1}', "greater than or equal to 0"),
        ("p-content_layers", '{"block1_conv1": NaN}', "JSON"),
        ("priority", "201", "less than or equal to 200"),
        ("label", "x" * 201, "at most 200"),
    ],
)
def test_a_mistake_is_told_at_its_field_and_keeps_what_was_typed(browser, client, png, name, value, told) -> None:
    answer = send(browser, content=file(png), style=file(png), **SMALL | {name: value})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in field(answer.text, name)
    assert answer.text.count('aria-invalid="true"') == 1
    described = answer.text.split(f'id="{name}-help"')[1].split("</p>")[0]
    assert told in described
    assert f"{name.removeprefix('p-')}: " in answer.text.split('role="alert"')[1].split("</p>")[0]
    assert client.get("/v1/jobs").json["jobs"] == []


def test_what_is_no_picture_is_told_with_its_own_status(browser, png) -> None:
    answer = send(browser, content=file(b"no picture"), style=file(png), **SMALL)
    assert answer.status_code == 415
    assert 'role="alert"' in answer.text
    assert 'value="8"' in field(answer.text, "p-steps")


def test_a_preset_that_there_is_not_is_refused(browser, png) -> None:
    answer = send(browser, content=file(png), style=file(png), preset=SCRIPT)
    assert answer.status_code == 422
    assert SCRIPT not in answer.text


@pytest.mark.parametrize("name", ["label", "again", "p-size", "preset"])
def test_no_nul_comes_through(browser, client, png, name) -> None:
    answer = send(browser, content=file(png), style=file(png), **SMALL | {name: "a\0b"})
    assert answer.status_code == 422
    assert client.get("/v1/jobs").json["jobs"] == []


def test_the_estimate_tells_time_memory_and_sizes_and_keeps_nothing(browser, client, worker, png) -> None:
    headers = OURS | {"HX-Request": "true"}
    asked = {"content": lambda: file(png), "style": lambda: file(painting())}
    answer = send(browser, ESTIMATE, headers=headers, **{name: make() for name, make in asked.items()}, **SMALL)
    assert answer.status_code == 200
    assert re.search(r"about <strong>[^<]+</strong> and [\d.,]+\s\w+ of memory", answer.text)
    assert "32 × 21 px" in answer.text
    assert "<form" not in answer.text
    whole = send(browser, ESTIMATE, label="kept", **{name: make() for name, make in asked.items()}, **SMALL)
    assert "32 × 21 px" in whole.text
    assert 'value="kept"' in field(whole.text, "label")
    assert client.get("/v1/jobs").json["jobs"] == []
    assert client.post("/v1/jobs", json={"content": id_of(png), "style": id_of(png)}).status_code == 422


def test_the_estimate_says_why_there_is_none(browser, png) -> None:
    headers = OURS | {"HX-Request": "true"}
    missing = send(browser, ESTIMATE, headers=headers, **SMALL).text
    assert "Choose a photograph" in missing
    assert "Choose a painting" in missing
    both = {"content": png, "style": png}
    wrong = send(browser, ESTIMATE, headers=headers, **{n: file(d) for n, d in both.items()}, **{"p-steps": "0"})
    assert (wrong.status_code, "steps: Input should be" in wrong.text) == (200, True)
    unknown = send(browser, ESTIMATE, headers=headers, **{n: file(d) for n, d in both.items()}, **SMALL)
    assert "No estimate yet" in unknown.text
    assert 'hx-trigger="load delay' in unknown.text  # it asks again by itself


def test_a_job_is_tried_again_with_changes_and_keeps_the_rest(browser, client, image_id) -> None:
    params = {"size": 32, "steps": 8, "final_learning_rate": None}
    asked = {"content": image_id, "styles": [{"image": image_id, "weight": 2.5}], "init_image": image_id}
    unseen = {"time_limit_s": 90.0, "retention_s": 3600.0, "webhook": "https://example.com/hook", "metadata": {"a": 1}}
    asked |= unseen | {"priority": 7}
    made = client.post("/v1/jobs", json=asked | {"preset": "quality", "label": "a boat", "params": params}).json
    page = browser.get(f"{PAGE}?again={made['id']}").text
    assert re.search(r'value="quality" checked', page)
    assert 'value="a boat"' in field(page, "label")
    assert 'value="7"' in field(page, "priority")
    assert [re.search(r'value="([^"]*)"', field(page, f"p-{name}"))[1] for name in (*params, "seed")] == [
        "32",
        "8",
        "null",
        "",
    ]
    assert page.count(f'src="/dashboard/images/{image_id}?v=1"') == 2
    assert "required" not in field(page, "content")
    typed = {"preset": "quality", "p-size": "32", "p-steps": "9", "p-final_learning_rate": "null"}
    job = job_at(client, send(browser, former=made["id"], **typed))
    assert job["params"] == made["params"] | {"steps": 9}
    kept = ("content", "styles", "init_image", *unseen)
    assert [job[name] for name in kept] == [made[name] for name in kept]


def test_depth_metadata_and_a_longer_time_can_be_chosen_then_kept_or_changed(browser, client, png) -> None:
    chosen = {"depth": "16", "keep_metadata": "true", "time_limit_s": "90"}
    first = job_at(client, send(browser, content=file(png), style=file(painting()), **SMALL, **chosen))
    assert [first[name] for name in chosen] == [16, True, 90.0]
    client.post(f"/v1/jobs/{first['id']}/cancel")
    page = browser.get(f"{PAGE}?again={first['id']}").text
    assert 'value="90"' in field(page, "time_limit_s")
    assert re.search(r'value="16" selected', page)
    assert re.search(r'value="true" selected', page)
    kept = job_at(client, send(browser, former=first["id"], **SMALL))
    assert [kept[name] for name in chosen] == [16, True, 90.0]
    changes = {"depth": "8", "keep_metadata": "false", "time_limit_s": ""}
    changed = job_at(client, send(browser, former=first["id"], **SMALL, **changes))
    assert [changed[name] for name in chosen] == [8, False, None]


@pytest.mark.parametrize(
    ("name", "value"), [("depth", "12"), ("depth", "x"), ("time_limit_s", "1e9"), ("time_limit_s", "-1")]
)
def test_a_wrong_setting_is_told_at_its_field(browser, png, name, value) -> None:
    answer = send(browser, content=file(png), style=file(painting()), **SMALL, **{name: value})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in field(answer.text, name)


def test_a_time_to_start_by_is_kept_by_a_retry_with_changes_while_it_lies_ahead(browser, client, image_id) -> None:
    asked = {"content": image_id, "style": image_id, "start_by": "2200-01-31T12:00:00.000Z"}
    made = client.post("/v1/jobs", json=asked).json
    assert job_at(client, send(browser, former=made["id"], **SMALL))["start_by"] == asked["start_by"]


def test_another_picture_takes_the_place_of_the_earlier_jobs(browser, client, job_id, image_id) -> None:
    job = job_at(client, send(browser, former=job_id, content=file(painting()), **SMALL))
    assert job["content"] == id_of(painting())
    assert [style["image"] for style in job["styles"]] == [image_id]


def test_texts_come_out_as_texts(browser, client, image_id, png) -> None:
    asked = {"content": image_id, "style": image_id, "label": SCRIPT, "params": {"size": 32}}
    made = client.post("/v1/jobs", json=asked).json["id"]
    assert SCRIPT not in browser.get(f"{PAGE}?again={made}").text
    fields = {"label": SCRIPT, "priority": SCRIPT, "p-steps": SCRIPT, "p-style_layers": SCRIPT}
    for path in (PAGE, ESTIMATE):
        answer = send(browser, path, content=file(png, SCRIPT), style=file(png), **fields)
        assert "<script>alert" not in answer.text, path
        assert "&lt;script&gt;alert(1)" in answer.text, path


def test_the_friendly_line_goes_with_the_first_job(browser, job_id) -> None:
    assert "Nothing has been painted here yet" not in browser.get(PAGE).text


def test_a_viewer_has_no_form(app, database, client, key) -> None:
    viewer = signed_in(app, add_key(database, "viewer"))
    assert viewer.get(PAGE).status_code == 403
    page = viewer.get("/dashboard/jobs")
    assert PAGE not in page.text
    for path in (PAGE, ESTIMATE):
        assert viewer.post(path, data={"csrf": token_of(page)}, headers=OURS).status_code == 403, path


def test_a_client_tries_again_its_own_jobs_alone_and_owns_what_it_submits(app, database, job_id, png) -> None:
    key = add_key(database, "client", "ann")
    ann = signed_in(app, key)
    assert "Nothing has been painted here yet" in ann.get(PAGE).text
    assert ann.get(f"{PAGE}?again={job_id}").status_code == 404
    for path in (PAGE, ESTIMATE):
        assert send(ann, path, **SMALL | {"again": job_id}).status_code == 404, path
    made = job_at(client_with(app, key), send(ann, content=file(png), style=file(png), **SMALL))
    assert made["state"] == "queued"


def test_where_only_looking_is_allowed_nothing_is_submitted(settings, database, key, client, png) -> None:
    browser = signed_in(create_app(settings.model_copy(update={"read_only": True})), key)
    assert browser.get(PAGE).status_code == 403
    data = {"csrf": token_of(browser.get("/dashboard/jobs")), "content": file(png), "style": file(png)}
    assert browser.post(PAGE, data=data, headers=OURS).status_code == 403
    assert client.get("/v1/jobs").json["jobs"] == []
