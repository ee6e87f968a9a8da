"""Keys over HTTP, and what limits them."""

import re
from base64 import urlsafe_b64encode

import pytest

from api.app import create_app
from tests.support.concurrency import race
from tests.support.factories import add_key
from tests.support.flask_clients import client_with


def test_a_key_is_shown_in_full_once(client) -> None:
    answer = client.post("/v1/keys", json={"name": "Web-site", "max_waiting": 5})
    made = answer.json
    assert (answer.status_code, made["owner"], made["role"], made["max_waiting"]) == (201, "Web-site", "client", 5)
    assert answer.headers["Cache-Control"] == "no-store"
    key = made.pop("key")
    assert key.startswith(f"atl_{made['id']}_")
    assert client.get(answer.headers["Location"]).json == made
    assert made in client.get("/v1/keys").json["keys"]


def test_whose_name_cannot_be_an_owner_gets_one_that_no_other_name_has(client) -> None:
    names = ["Web site", "Web-site", "Zürich", "Z rich", "日本", "中国", "x" * 65, "x" * 64, "x" * 66]
    owners = [client.post("/v1/keys", json={"name": name}).json["owner"] for name in names]
    assert len(set(owners)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", owner) for owner in owners)
    assert owners[0].startswith("Web-site-")
    assert client.post("/v1/keys", json={"name": "日本"}).json["owner"] == owners[4]


def test_keys_are_listed_page_by_page(client, database) -> None:
    for number in range(4):
        add_key(database, owner=f"o{number}")
    seen, url = [], "/v1/keys?limit=2"
    while url:
        page = client.get(url).json
        seen += [key["owner"] for key in page["keys"]]
        url = f"/v1/keys?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == ["local", "o0", "o1", "o2", "o3"]


@pytest.mark.parametrize(
    "text", ["x", "2030-01-01 x", "2030-01-01T00:00:00 x", "0001-01-01T00:00:00+14:00 x", "2030-01-01T00:00:00Z \0"]
)
def test_a_cursor_that_holds_no_position_is_refused(client, text) -> None:
    cursor = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    assert client.get(f"/v1/keys?cursor={cursor}").json["code"] == "invalid_params"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "a\n"},
        {"name": "a", "owner": "no spaces"},
        {"name": "a", "role": "king"},
        {"name": "a", "max_waiting": 0},
        {"name": "a", "secret": "x"},
    ],
)
def test_a_key_that_cannot_be_is_refused(client, wrong) -> None:
    assert client.post("/v1/keys", json=wrong).json["code"] == "invalid_params"


def test_the_last_key_that_opens_everything_stays(client, key) -> None:
    key_id = key.split("_")[1]
    refused = client.delete(f"/v1/keys/{key_id}")
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_transition")
    client.post("/v1/keys", json={"name": "another", "role": "operator"})
    assert client.delete(f"/v1/keys/{key_id}").status_code == 204
    assert client.get("/v1/keys").status_code == 401


def test_a_key_makes_no_more_requests_a_minute_than_it_may_whatever_the_process(settings, database, redis) -> None:
    token = add_key(database, max_requests_per_min=20)
    apps = [create_app(settings) for _ in range(4)]
    answers = []

    def ask() -> None:
        for app in apps:
            answers.extend(client_with(app, token).get("/v1/jobs") for _ in range(4))

    race(ask, 4)
    assert len(answers) == 64
    assert sorted(answer.status_code for answer in answers) == [200] * 20 + [429] * 44
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    admitted = next(answer for answer in answers if answer.status_code == 200)
    assert admitted.headers["RateLimit-Policy"] == '"minute";q=20;w=60'
    assert client_with(apps[0], add_key(database)).get("/v1/jobs").status_code == 200


def test_without_redis_nobody_is_limited(settings, database) -> None:
    app = create_app(settings)
    limited = client_with(app, add_key(database, max_requests_per_min=1))
    assert {limited.get("/v1/jobs").status_code for _ in range(5)} == {200}


def test_no_more_jobs_wait_than_the_key_says(app, database, png) -> None:
    ann = client_with(app, add_key(database, "client", "ann", max_waiting=3))
    image_id = ann.post("/v1/images", data=png, content_type="image/png").json["id"]
    body = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 4}}
    codes = []

    def submit() -> None:
        caller = app.test_client()
        headers = {"Authorization": ann.environ_base["HTTP_AUTHORIZATION"]}
        codes.append(caller.post("/v1/jobs", json=body, headers=headers).status_code)

    race(submit, 8)
    assert sorted(codes) == [202] * 3 + [429] * 5
    refused = ann.post("/v1/jobs", json=body)
    assert (refused.json["code"], refused.json["limit"], refused.json["used"]) == ("quota_exceeded", 3, 3)
    first = ann.get("/v1/jobs").json["jobs"][0]
    ann.post(first["links"]["cancel"])
    again = ann.post(f"/v1/jobs/{first['id']}/retry")
    assert again.status_code == 202
    assert ann.post(f"/v1/jobs/{first['id']}/retry").status_code == 429


def test_no_more_work_a_day_is_asked_for_than_the_key_says(app, database, png) -> None:
    ann = client_with(app, add_key(database, "client", "ann", max_work_per_day=32 * 21 * 4 * 2.5))
    image_id = ann.post("/v1/images", data=png, content_type="image/png").json["id"]
    body = {"content": image_id, "style": image_id, "preset": "classic", "params": {"size": 32, "steps": 4}}
    answers = [ann.post("/v1/jobs", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert (answers[2].json["unit"], answers[2].json["used"]) == ("px·steps", 32 * 21 * 4 * 2)
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 24 * 3600 + 1
