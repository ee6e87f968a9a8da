"""Who may do what, by the table of routes: a view that is added without a declaration is closed, and fails here."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import NamedTuple

import pytest
import structlog
from sqlalchemy import text
from werkzeug.routing import Rule

from api.access import Access
from api.app import create_app
from api.auth import access_of
from shared import logs
from shared.db import deliveries
from shared.db.access import keys
from shared.db.base import Model
from shared.db.jobs import transitions
from shared.db.models import ApiKey
from shared.states import Role
from tests.support.claims import claim
from tests.support.factories import add_batch, add_key, add_operation
from tests.support.flask_clients import client_with

#: All that answers without a key.
PUBLIC = {"system.alive", "system.ready", "system.specification", "system.docs", "system.home", "static"}
PUBLIC |= {"dashboard.login", "dashboard.sign_in"}
#: What names nothing of its kind, by the argument that names it; an argument that is not here fails every test.
MISSING = {
    "job_id": "01a20a21-0000-7000-8000-000000000000",
    "image_id": "sha256:" + "0" * 64,
    "delivery_id": "01a20a21-0000-7000-8000-000000000001",
    "batch_id": "01a20a21-0000-7000-8000-000000000002",
    "operation_id": "01a20a21-0000-7000-8000-000000000003",
    "name": "nobody",
    "key_id": "0",
}


class Call(NamedTuple):
    """One method of a route that needs a key, on something that is there, and on what is not."""

    endpoint: str
    method: str
    path: str
    missing: str
    access: Access

    @property
    def names_something(self) -> bool:
        return self.path != self.missing


@pytest.fixture
def there(database, job_id, image_id) -> dict[str, str]:
    """One thing of each kind, all of the owner `local`."""
    with database.writing() as session:
        delivery = deliveries.add(session, "local", "https://example.org/hook", "webhook.test")
        key = ApiKey(name="x", owner="local", role=Role.CLIENT)
        keys.create(session, key)
    found = {"job_id": job_id, "image_id": image_id, "batch_id": add_batch(database)}
    found["operation_id"] = add_operation(database, owner="local")
    return found | {"delivery_id": delivery.id, "name": "w1", "key_id": key.id}


@pytest.fixture
def calls(app, there) -> list[Call]:
    return [
        Call(rule.endpoint, method, filled(rule, there), filled(rule, MISSING), access_of(view))
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in PUBLIC and not rule.endpoint.startswith("dashboard.")
        for view in [app.view_functions[rule.endpoint]]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def filled(rule: Rule, values: dict[str, str]) -> str:
    """Write the path of a rule whose arguments are `values`."""
    path = rule.rule
    for argument in rule.arguments:
        path = path.replace(f"<{argument}>", values[argument])
    assert "<" not in path
    return path


def test_only_the_probes_and_the_description_are_public(app) -> None:
    public = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint == "static" or access_of(app.view_functions[rule.endpoint]) is Access.PUBLIC
    }
    assert public == PUBLIC


def test_every_view_of_the_api_says_what_it_needs(app) -> None:
    undeclared = [name for name, view in app.view_functions.items() if name != "static" and not hasattr(view, "access")]
    assert undeclared == []


def test_no_page_opens_without_a_sign_in(app, there, key) -> None:
    pages = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("dashboard.")]
    for rule in pages:
        for method in () if rule.endpoint in PUBLIC else (rule.methods or set()) - {"OPTIONS"}:
            for browser in (app.test_client(), client_with(app, key)):
                answer = browser.open(filled(rule, there | {"action": "pause"}), method=method)
                assert (answer.status_code, answer.location.split("?")[0]) == (303, "/login"), rule


def test_a_view_without_a_declaration_is_the_operators_only(settings, database) -> None:
    app = create_app(settings)
    app.add_url_rule("/v1/forgotten", view_func=lambda: "open")
    assert app.test_client().get("/v1/forgotten").status_code == 401
    assert client_with(app, add_key(database, Role.VIEWER)).get("/v1/forgotten").status_code == 403


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer ", "Bearer nonsense", "Bearer atl_1_2", "Basic abc"])
def test_nothing_opens_without_a_key(app, calls, given) -> None:
    headers = {"Authorization": given} if given is not None else {}
    for call in calls:
        answer = app.test_client().open(call.path, method=call.method, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized"), call
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_opens_nothing(app, client, calls) -> None:
    made = client.post("/v1/keys", json={"name": "x", "role": "operator"}).json
    revoked = client_with(app, made["key"])
    assert revoked.get("/v1/keys").status_code == 200
    assert client.delete(f"/v1/keys/{made['id']}").status_code == 204
    for call in calls:
        assert revoked.open(call.path, method=call.method).status_code == 401, call


def test_a_key_with_a_wrong_secret_opens_nothing(app, database, calls) -> None:
    prefix, key_id, secret = add_key(database).split("_", 2)
    wrong = client_with(app, f"{prefix}_{key_id}_{secret[::-1]}")
    for call in calls:
        assert wrong.open(call.path, method=call.method).status_code == 401, call


@pytest.mark.parametrize("role", list(Role))
def test_a_role_does_what_is_its_own_and_no_more(app, database, calls, role) -> None:
    caller = client_with(app, add_key(database, role, "local"))
    for call in calls:
        if role not in call.access.value:
            answer = caller.open(call.path, method=call.method)
            assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), call
        elif call.method == "GET":
            assert caller.open(call.path).status_code not in (401, 403), call


def test_a_strangers_things_are_as_if_they_were_not(app, client, database, calls, there) -> None:
    stranger = client_with(app, add_key(database, Role.CLIENT, "stranger"))
    theirs = (call for call in calls if call.names_something and Role.CLIENT in call.access.value)
    tried = [call for call in theirs if call.endpoint != "jobs.put"]  # which submits a job of the stranger's own
    assert {argument for call in tried for argument in there if there[argument] in call.path} == {
        "job_id",
        "image_id",
        "batch_id",
        "delivery_id",
        "operation_id",
    }
    for call in tried:
        answer, missing = (stranger.open(path, method=call.method) for path in (call.path, call.missing))
        assert (answer.status_code, answer.json["code"]) == (404, "not_found"), call
        told = answer.text
        for argument, name in there.items():
            told = told.replace(name, MISSING[argument])
        assert (told, answer.content_type) == (missing.text, missing.content_type), call
    for kind in (
        "jobs/" + there["job_id"],
        "images/" + there["image_id"],
        "batches/" + there["batch_id"],
        "webhooks/deliveries/" + there["delivery_id"],
        "operations/" + there["operation_id"],
    ):
        assert client.get(f"/v1/{kind}").status_code == 200, "what was tried is there"
    assert client.get(f"/v1/jobs/{there['job_id']}").json["state"] == "queued"


def test_a_job_cannot_be_put_where_a_strangers_is_and_nothing_is_told_of_that(
    app, client, database, job_id, png
) -> None:
    stranger = client_with(app, add_key(database, Role.CLIENT, "stranger"))
    image_id = stranger.post("/v1/images", data=png, content_type="image/png").json["id"]
    body = {"content": image_id, "style": image_id, "params": {"size": 32, "steps": 8}}
    refused = stranger.put(f"/v1/jobs/{job_id}", json=body)
    assert (refused.status_code, refused.json["code"]) == (409, "id_taken")
    assert set(refused.json) == {"type", "title", "status", "detail", "code"}
    assert "local" not in refused.text
    assert client.get(f"/v1/jobs/{job_id}").json["owner"] == "local"


def test_a_stranger_neither_lists_nor_uses_what_is_anothers(app, client, database, job_id, image_id, png) -> None:
    stranger = client_with(app, add_key(database, Role.CLIENT, "stranger"))
    assert stranger.get("/v1/jobs").json["jobs"] == stranger.get("/v1/jobs?owner=local").json["jobs"] == []
    refused = stranger.post("/v1/jobs", json={"content": image_id, "style": image_id})
    assert refused.json["code"] == "unknown_image"
    uploaded = stranger.post("/v1/images", data=png, content_type="image/png")
    assert (uploaded.status_code, uploaded.json["id"]) == (201, image_id)
    assert stranger.post("/v1/jobs", json={"content": image_id, "style": image_id}).status_code == 202


def test_a_viewer_sees_every_owners_jobs(app, database, job_id) -> None:
    viewer = client_with(app, add_key(database, Role.VIEWER, "boss"))
    assert viewer.get(f"/v1/jobs/{job_id}").status_code == 200
    assert [job["id"] for job in viewer.get("/v1/jobs").json["jobs"]] == [job_id]


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What this process logs, whole."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("json", "DEBUG")
    stream = StringIO()
    root.handlers[0].setStream(stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_no_key_is_in_the_database_the_log_or_an_answer(settings, database, png, written) -> None:
    app = create_app(settings)
    token = add_key(database)
    operator = client_with(app, token)
    made = operator.post("/v1/keys", json={"name": "ann", "role": "client"}, headers={"Idempotency-Key": "k"})
    ann = client_with(app, made.json["key"])
    answers = [ann.post("/v1/images", data=png, content_type="image/png")]
    image_id = answers[0].json["id"]
    answers.append(
        ann.post("/v1/jobs", json={"content": image_id, "style": image_id}, headers={"Idempotency-Key": "k"})
    )
    held = claim(database, answers[-1].json["id"])
    with database.writing() as session:
        transitions.stop(session, held, result=None)
    paths = ("/v1/keys", "/v1/jobs", f"/v1/keys/{made.json['id']}", "/v1/queue", "/v1/nothing", "/openapi.json")
    answers += [operator.get(path) for path in paths]
    secrets = [key.split("_", 2)[2] for key in (token, made.json["key"])]
    told = written.getvalue() + "".join(answer.text + str(answer.headers) for answer in answers)
    with database.reading() as session:
        kept = json.dumps(
            [
                [str(value) for value in row]
                for table in Model.metadata.sorted_tables
                for row in session.execute(text(f"SELECT * FROM {table.name}"))
            ]
        )
        assert keys.find(session, token)
    assert "job_queued" in written.getvalue()
    for secret in secrets:
        assert secret not in told
        assert secret not in kept
